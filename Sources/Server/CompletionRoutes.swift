internal import AdapterStore
internal import Adapters
internal import Foundation
internal import Generation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import Logging
internal import Metrics
internal import NIOCore
internal import OpenAIWire
internal import Tokenization

/// `POST /v1/chat/completions` and `POST /v1/completions`.
struct CompletionRoutes {
    let generator: TextGenerator

    func add(to group: RouterGroup<APIContext>) {
        group.post("chat/completions") { request, context -> Response in
            try await respond(request, context, chatExchange)
        }
        group.post("completions") { request, context -> Response in
            try await respond(request, context, completionExchange)
        }
    }

    /// Reads the body, starts the completions, and answers whole or as a stream.
    @concurrent
    private func respond(
        _ request: Request, _ context: APIContext,
        _ start: @escaping @Sendable (JSON, APIContext) async throws -> Exchange
    ) async throws -> Response {
        let json = try await body(of: request, context)
        let departure = await context.departure()
        // A client may leave while its adapter is on the way.
        let starting = Task { try await start(json, context) }
        let exchange = try await departure.whileConnected(onDeparture: { starting.cancel() }) {
            try await withTaskCancellationHandler {
                try await starting.value
            } onCancel: {
                starting.cancel()
            }
        }
        let logger = context.logger
        guard let stream = exchange.stream else {
            let json = try await departure.whileConnected(onDeparture: { exchange.cancel() }) {
                try await exchange.whole()
            }
            return Response(json: json)
        }
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { bodyWriter in
                let writer = EventWriter(bodyWriter)
                do {
                    try await departure.whileConnected(onDeparture: { exchange.cancel() }) {
                        try await exchange.stream(stream) { text in
                            try await writer.write(text)
                        }
                    }
                } catch is CancellationError {
                    logger.debug("client left during a stream")
                    throw CancellationError()
                } catch {
                    exchange.cancel()
                    logger.error("stream failed", metadata: ["error": .string("\(error)")])
                    try await writer.write(ServerSentEvent.data(APIError(error).json))
                }
                try await writer.finish()
            })
    }

    // MARK: Requests to exchanges

    @Sendable
    private func chatExchange(_ json: JSON, _ context: APIContext) async throws -> Exchange {
        let request = try ChatRequest(json)
        try generator.registry.check(request.model)
        let prompt = try generator.prompt(
            messages: request.messages, tools: request.tools,
            addsGenerationPrompt: request.addsGenerationPrompt, variables: request.templateVariables
        )
        var options = CompletionOptions(request.sampling)
        options.logprobCount = request.logprobCount
        return try await exchange(
            .chat, request.model, prompts: [(prompt, nil)], options,
            count: request.sampling.count, request.sampling, request.stream, context)
    }

    @Sendable
    private func completionExchange(_ json: JSON, _ context: APIContext) async throws -> Exchange {
        let request = try CompletionRequest(json)
        try generator.registry.check(request.model)
        var prompts: [(tokens: [Int], text: String?)] = []
        for prompt in request.prompts {
            switch prompt {
            case .text(let text):
                prompts.append(
                    (
                        generator.tokenizer.encode(
                            text, addsSpecialTokens: request.addsSpecialTokens), text
                    ))
            case .tokens(let tokens): prompts.append((tokens, nil))
            }
        }
        var options = CompletionOptions(request.sampling)
        options.logprobCount = request.logprobCount
        if request.echoes, let count = request.logprobCount {
            options.promptLogprobCount = max(count, options.promptLogprobCount ?? 0)
        }
        if request.echoes {
            prompts = prompts.map {
                (
                    $0.tokens,
                    $0.text ?? generator.tokenizer.decode($0.tokens, skipsSpecialTokens: false)
                )
            }
        }
        return try await exchange(
            .completion, request.model, prompts: prompts, options,
            count: request.sampling.count, request.sampling, request.stream, context,
            echoes: request.echoes)
    }

    private func exchange(
        _ kind: ResponseHead.Kind, _ name: String, prompts: [(tokens: [Int], text: String?)],
        _ options: CompletionOptions, count: Int, _ sampling: SamplingOptions,
        _ stream: StreamOptions?, _ context: APIContext, echoes: Bool = false
    ) async throws -> Exchange {
        let model = try await generator.registry.model(name)
        try Task.checkCancellation()
        var choices: [Exchange.Choice] = []
        do {
            for prompt in prompts {
                for index in 0..<count {
                    let completion = try generator.complete(
                        prompt.tokens, with: model, options: options, index: index)
                    choices.append(
                        Exchange.Choice(
                            index: choices.count, completion: completion,
                            echo: echoes ? prompt.text : nil))
                }
            }
        } catch {
            for choice in choices { choice.completion.cancel() }
            throw error
        }
        let prefix = kind == .chat ? "chatcmpl-" : "cmpl-"
        let head = ResponseHead(
            kind: kind, id: prefix + context.requestID, created: Int(Date().timeIntervalSince1970),
            model: name, adapter: model.lease?.adapter.digest.description)
        return Exchange(
            head: head, choices: choices, stream: stream, tokenizer: generator.tokenizer,
            promptTokenCount: prompts.reduce(0) { $0 + $1.tokens.count },
            choicesPerPrompt: count,
            logprobCount: options.logprobCount,
            writesPromptLogprobs: sampling.promptLogprobCount != nil,
            writesTokenIDs: sampling.writesTokenIDs,
            metrics: ExchangeMetrics(model: name))
    }
}

/// Reads and parses a request's body.
func body(of request: Request, _ context: APIContext) async throws -> JSON {
    let limit = context.maxUploadSize
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
        throw NIOTooManyBytesError(maxBytes: limit)
    }
    let buffer = try await request.body.collect(upTo: limit)
    return try JSON(
        parsing: Array(buffer.readableBytesView), limits: JSON.Limits(byteCount: limit, depth: 64))
}

extension CompletionOptions {
    fileprivate init(_ sampling: SamplingOptions) {
        self.init()
        maximumTokens = sampling.maximumTokens
        minimumTokens = sampling.minimumTokens
        temperature = sampling.temperature
        topP = sampling.topP
        topK = sampling.topK
        minP = sampling.minP
        repetitionPenalty = sampling.repetitionPenalty
        presencePenalty = sampling.presencePenalty
        frequencyPenalty = sampling.frequencyPenalty
        logitBias = sampling.logitBias
        seed = sampling.seed
        stopStrings = sampling.stopStrings
        stopTokens = sampling.stopTokens
        includesStopString = sampling.includesStopString
        ignoresEnd = sampling.ignoresEnd
        skipsSpecialTokens = sampling.skipsSpecialTokens
        promptLogprobCount = sampling.promptLogprobCount
    }
}
