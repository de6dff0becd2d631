internal import AdapterSources
internal import AdapterStore
internal import Adapters
internal import Answers
internal import Engine
internal import Foundation
internal import Generation
internal import Grammar
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import Logging
internal import Metrics
internal import ModelFiles
internal import NIOCore
internal import OpenAIWire
internal import Tenants
internal import Placement
internal import Tokenization

/// `POST /v1/chat/completions` and `POST /v1/completions`.
struct CompletionRoutes {
    let generator: TextGenerator
    let registry: ModelRegistry
    let texts: TextQueue
    let identity: ReplicaIdentity
    let tenancy: Tenancy
    let prefixSharing: PrefixSharing
    let maximumQueueDelay: Double?

    func add(to group: RouterGroup<APIContext>) {
        group.post("chat/completions") { request, context -> Response in
            try await respond(request, context, chatPrompts)
        }
        group.post("completions") { request, context -> Response in
            try await respond(request, context, textPrompts)
        }
    }

    /// Reads the body, starts the completions, and answers whole or as a stream.
    @concurrent
    func respond(
        _ request: Request, _ context: APIContext,
        _ prepare: @escaping @Sendable (JSON, ModelScope) throws -> PreparedRequest
    ) async throws -> Response {
        let account = try RequestAccount(tenancy, context)
        return try await account.closing { try await respond(request, context, account, prepare) }
    }

    @concurrent
    private func respond(
        _ request: Request, _ context: APIContext, _ account: RequestAccount,
        _ prepare: @escaping @Sendable (JSON, ModelScope) throws -> PreparedRequest
    ) async throws -> Response {
        var timing = RequestTiming()
        timing.patience = try request.headers.queueDelay ?? maximumQueueDelay
        let scope = context.scope
        let departure = await context.departure()
        let reading = try await texts.body(of: request, context)
        // A client may leave while its text is worked on or its adapter is on the way.
        let starting = Task {
            var prepared = try await texts.run(on: reading) { try prepare($0, scope) }
            prepared.byteCount = reading.bytes.count
            prepared.tellsTiming = request.headers.wantsTiming
            timing.text = .now - timing.start
            return try await begin(prepared, timing, context, account)
        }
        let exchange = try await departure.whileConnected(onDeparture: { starting.cancel() }) {
            try await withTaskCancellationHandler {
                try await starting.value
            } onCancel: {
                starting.cancel()
            }
        }
        let logger = context.logger
        guard let stream = exchange.stream else {
            let text = try await departure.whileConnected(onDeparture: { exchange.cancel() }) {
                try await exchange.whole()
            }
            var response = Response(jsonText: text)
            response.headers.append(contentsOf: headers(exchange, isWhole: true))
            return response
        }
        var headers = headers(exchange, isWhole: false)
        headers[.contentType] = "text/event-stream; charset=utf-8"
        headers[.cacheControl] = "no-cache"
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { bodyWriter in
                let writer = EventWriter(bodyWriter)
                do {
                    try await departure.whileConnected(onDeparture: { exchange.cancel() }) {
                        try await exchange.stream(stream) { text in
                            try await writer.write(text)
                        }
                    }
                } catch is CancellationError {
                    account.close("cancelled")
                    logger.debug("client left during a stream")
                    throw CancellationError()
                } catch {
                    exchange.cancel()
                    logger.error("stream failed", metadata: ["error": .string("\(error)")])
                    let answer = APIError(error)
                    account.close(answer.code)
                    try await writer.write(
                        exchange.writer?.failure(answer) ?? exchange.takeoff?.failure(answer)
                            ?? ServerSentEvent.data(answer.json))
                }
                try await writer.finish()
            })
    }

    /// Which replica answered, where it had the adapter, and what that took.
    private func headers(_ exchange: Exchange, isWhole: Bool) -> HTTPFields {
        var headers = HTTPFields()
        func set(_ name: String, _ value: String) {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        set("x-martlet-replica", identity.name)
        if let tier = exchange.tier { set("x-martlet-adapter-tier", tier.name) }
        set("server-timing", exchange.metrics.account.timing.header(isWhole: isWhole))
        return headers
    }

    // MARK: Requests to prompts

    @Sendable
    private func chatPrompts(_ json: JSON, _ scope: ModelScope) throws -> PreparedRequest {
        try prepare(try ChatRequest(json), scope)
    }

    func prepare(_ request: ChatRequest, _ scope: ModelScope) throws -> PreparedRequest {
        try registry.check(request.model, mixing: request.adapters, in: scope)
        var prepared = PreparedRequest(
            .chat, request.model, request.sampling, request.stream,
            logprobCount: request.logprobCount)
        prepared.mix = request.adapters
        prepared.chat = request
        if let text = request.prediction {
            // Only a guess, whatever tokens the model has.
            prepared.options.prediction = generator.baseTokenizer.encode(
                text, addsSpecialTokens: false)
        }
        try constrain(&prepared)
        return prepared
    }

    @Sendable
    private func textPrompts(_ json: JSON, _ scope: ModelScope) throws -> PreparedRequest {
        let request = try CompletionRequest(json)
        try registry.check(request.model, mixing: request.adapters, in: scope)
        var prepared = PreparedRequest(
            .completion, request.model, request.sampling, request.stream,
            logprobCount: request.logprobCount)
        prepared.mix = request.adapters
        let tokenizer = generator.baseTokenizer
        prepared.prompts = request.prompts.map { prompt in
            switch prompt {
            case .text(let text):
                PreparedRequest.Prompt(
                    text, tokenizer, addsSpecialTokens: request.addsSpecialTokens,
                    echoes: request.echoes)
            case .tokens(let tokens):
                PreparedRequest.Prompt(
                    tokens,
                    echo: request.echoes
                        ? tokenizer.decode(tokens, skipsSpecialTokens: false) : nil)
            }
        }
        if request.echoes, let count = request.logprobCount {
            prepared.options.promptLogprobCount = max(
                count, prepared.options.promptLogprobCount ?? 0)
        }
        try constrain(&prepared)
        return prepared
    }

    /// What the answer must be is compiled before anything is queued.
    func constrain(_ prepared: inout PreparedRequest) throws {
        guard let form = prepared.sampling.form else { return }
        try CompletionRoutes.naming(prepared.sampling.formParameter) {
            try constrain(&prepared, to: form)
        }
    }

    private func constrain(_ prepared: inout PreparedRequest, to form: AnswerForm) throws {
        let source: GrammarSource
        if case .lenientSchema(let schema) = form {
            let lenient = try LenientSchema(schema) { (schema) throws(GrammarError) in
                _ = try generator.constraint(.schema(schema))
            }
            source = .schema(lenient.schema)
            prepared.unenforced = lenient.dropped.map { ($0.pointer, $0.keyword) }
        } else {
            source = try GrammarSource(form)
        }
        prepared.source = source
        prepared.options.constraint = try generator.constraint(source)
    }

    /// Writes a chat's prompt the model's own way, and says how its answer is to be read and held to what was asked for.
    private func render(
        _ request: ChatRequest, for model: ModelRegistry.Model, _ prepared: inout PreparedRequest
    ) throws {
        let (text, tokens) = try generator.tokens(of: Conversation(request), for: model.text)
        prepared.prompts = [PreparedRequest.Prompt(tokens)]
        let own = try generator.text(of: model.text)
        var format = try own.format
        let use = request.tools.map {
            ToolUse(
                tools: $0, names: request.toolChoice.names, isNeeded: request.toolChoice.isNeeded,
                isSingle: request.callsOnce || request.toolChoice.isNamed)
        }
        if use == nil { format.calls = nil }
        var source = prepared.source
        if let use, source == nil, use.isEnforced {
            source = try CompletionRoutes.naming("tools") { try CallGrammar.answer(use, format) }
        }
        if let source, use?.isEnforced == true || format.thoughts != nil {
            let parameter = prepared.source == nil ? "tools" : prepared.sampling.formParameter
            prepared.options.constraint = try CompletionRoutes.naming(parameter) {
                try generator.constraint(
                    CallGrammar.thoughts(format.thoughts, before: source, prompt: text))
            }
        }
        let markers =
            (format.calls?.markers ?? []) + (format.thoughts.map { [$0.begin, $0.end] } ?? [])
        prepared.options.shownTokens = own.specialTokens(markers)
        if request.reasoning == .inText { format.thoughts = nil }
        guard format != AnswerFormat() else { return }
        prepared.reading = AnswerReading(
            parser: AnswerParser(format, tools: request.tools, prompt: text),
            hidesThoughts: request.reasoning == .hidden, isSingle: use?.isSingle ?? false,
            isNamed: request.toolChoice.isNamed)
    }

    /// Says of which parameter a grammar is.
    private static func naming<Value>(
        _ parameter: String?, _ work: () throws -> Value
    ) throws -> Value {
        do {
            return try work()
        } catch let error as GrammarError {
            var answer = APIError(error)
            answer.parameter = parameter ?? answer.parameter
            throw answer
        }
    }

    // MARK: Prompts to exchanges

    /// What cannot be completed does not wait for its adapter; that may have tokens of its own.
    private func checkFirst(_ prepared: PreparedRequest) throws {
        guard !registry.baseNames.contains(prepared.model) || prepared.mix != nil else {
            return try check(prepared, for: .base)
        }
        for prompt in prepared.prompts where prompt.text == nil {
            try generator.check(length: prompt.tokens.count, prepared.options)
        }
    }

    private func check(_ prepared: PreparedRequest, for model: TextModel) throws {
        try prepared.check(contextLength: generator.contextLength)
        for prompt in prepared.prompts {
            try generator.check(prompt.tokens, prepared.options, for: model)
        }
    }

    private func begin(
        _ prepared: PreparedRequest, _ timing: RequestTiming, _ context: APIContext,
        _ account: RequestAccount
    ) async throws -> Exchange {
        var (prepared, timing) = (prepared, timing)
        let operation = prepared.kind == .chat ? "chat" : "text_completion"
        // What a request makes up is not written down before it turns out to be something.
        if !registry.library.isJustInTime(prepared.model) {
            account.name(operation, prepared.model, digest: nil)
        }
        prepared.options.flow = try context.flow(prepared.sampling.priority)
        try checkFirst(prepared)
        let asked = ContinuousClock.now
        let model = try await registry.model(
            prepared.model, mixing: prepared.mix, context)
        timing.adapter = .now - asked
        timing.adapterEnd = .now - timing.start
        let tier = model.lease.map { self.tier(of: $0) }
        if prepared.tellsTiming, let lease = model.lease {
            timing.adapterTier = tier?.name
            let base = generator.checkpoint.configuration
            timing.adapterShare = lease.adapter.shape.share(on: base)
        }
        account.name(operation, prepared.model, digest: model.lease?.adapter.digest.description)
        prepared.options.prefixScope = prefixSharing.scope(
            salt: prepared.sampling.cacheSalt, of: context.tenant, for: model)
        try Task.checkCancellation()
        if model.text.hasOwnTokenizer, !prepared.prompts.isEmpty {
            prepared = try await texts.run(byteCount: prepared.byteCount, with: model) {
                [prepared] in
                var own = prepared
                let tokenizer = try generator.text(of: model.text).tokenizer
                own.prompts = prepared.prompts.map { $0.with(tokenizer) }
                own.cutPrompts()
                return own
            }
        }
        if !prepared.conversations.isEmpty {
            prepared = try await texts.run(byteCount: prepared.byteCount, with: model) {
                [prepared] in
                var rendered = prepared
                for conversation in prepared.conversations {
                    let (_, tokens) = try generator.tokens(of: conversation, for: model.text)
                    rendered.prompts.append(PreparedRequest.Prompt(tokens))
                }
                return rendered
            }
            prepared.cutPrompts()
        }
        if let chat = prepared.chat {
            // Only now is it known how the adapter writes it.
            let rendering = ContinuousClock.now
            prepared = try await texts.run(byteCount: prepared.byteCount, with: model) {
                [prepared] in
                var rendered = prepared
                try render(chat, for: model, &rendered)
                return rendered
            }
            timing.text += .now - rendering
        }
        try check(prepared, for: model.text)
        let count = prepared.sampling.count
        try account.reserve(prepared.reservedTokenCount(contextLength: generator.contextLength))
        timing.submitted = .now - timing.start
        account.time { [timing] in $0 = timing }
        prepared.options.patience = timing.patience.map { $0 - (.now - timing.start) / .seconds(1) }
        var choices: [Exchange.Choice] = []
        do {
            for prompt in prepared.prompts {
                for index in 0..<count {
                    let completion = try generator.complete(
                        prompt.tokens, with: model.text, options: prepared.options, index: index)
                    choices.append(
                        Exchange.Choice(
                            index: choices.count, completion: completion, echo: prompt.echo))
                    // All or none.
                    prepared.options.patience = nil
                }
            }
        } catch {
            for choice in choices { choice.completion.cancel() }
            throw error
        }
        let prefix = prepared.kind == .chat ? "chatcmpl-" : "cmpl-"
        let head = ResponseHead(
            kind: prepared.kind, id: prefix + context.requestID,
            created: Int(Date().timeIntervalSince1970), model: prepared.model,
            adapter: model.lease?.adapter.digest.description,
            unenforced: prepared.unenforced)
        return Exchange(
            head: head, choices: choices, stream: prepared.stream,
            tokenizer: choices.first?.completion.tokenizer ?? generator.baseTokenizer,
            promptTokenCount: prepared.promptTokenCount, choicesPerPrompt: count,
            logprobCount: prepared.options.logprobCount,
            writesPromptLogprobs: prepared.sampling.promptLogprobCount != nil,
            writesTokenIDs: prepared.sampling.writesTokenIDs, reading: prepared.reading,
            writer: prepared.writer, takeoff: prepared.takeoff,
            metrics: ExchangeMetrics(
                model: prepared.model, logger: context.logger,
                library: registry.library, adapter: model.lease?.adapter.digest,
                account: account),
            texts: texts, tier: tier, tellsTiming: prepared.tellsTiming)
    }
}

extension CompletionRoutes {
    private func tier(of lease: AdapterLease) -> AdapterTier {
        let isOnDevice =
            lease.tier == .host
            && generator.engine.status.deviceAdapters.contains(lease.adapter.digest)
        return isOnDevice ? .device : lease.tier.placement
    }
}

extension HTTPFields {
    /// Whether the answer is to tell where its time went.
    fileprivate var wantsTiming: Bool {
        HTTPField.Name("x-martlet-timing").flatMap { self[$0] } == "true"
    }

    /// Seconds that a request may wait for its first token.
    var queueDelay: Double? {
        get throws(APIError) {
            let name = "x-martlet-max-queue-delay"
            guard let text = HTTPField.Name(name).flatMap({ self[$0] }) else { return nil }
            guard let seconds = Double(text), (0...86_400).contains(seconds) else {
                throw .invalid(name, "The header \(name) must be a number of seconds, such as 2.5.")
            }
            return seconds
        }
    }
}

extension ToolChoice {
    fileprivate var isNamed: Bool { if case .named = self { true } else { false } }
}

extension GrammarSource {
    fileprivate init(_ form: AnswerForm) throws(GrammarError) {
        switch form {
        case .schema(let schema), .lenientSchema(let schema): self = .schema(schema)
        case .jsonObject: self = .jsonObject
        case .pattern(let text): self = .pattern(text)
        case .choice(let texts): self = .choice(texts)
        case .notation(let text): self = .notation(text)
        case .structuralTag(let tag): self = try .structuralTag(tag)
        }
    }
}

extension Conversation {
    init(_ request: ChatRequest) {
        self.init(
            messages: request.messages, tools: request.tools,
            addsGenerationPrompt: request.addsGenerationPrompt,
            variables: request.templateVariables)
    }
}
