internal import AdapterStore
internal import Adapters
internal import Engine
internal import Foundation
internal import Generation
internal import JSONTree
internal import Logging
internal import Metrics
internal import OpenAIWire
internal import Placement
internal import Synchronization
internal import Tokenization

/// A request under way: its completions, and how their pieces are written.
struct Exchange: Sendable {
    struct Choice: Sendable {
        var index: Int
        var completion: Completion
        /// The prompt's text, when it is to be repeated.
        var echo: String?
    }

    let head: ResponseHead
    let choices: [Choice]
    let stream: StreamOptions?
    let tokenizer: Tokenizer
    let promptTokenCount: Int
    /// The `n` of the request: choices that share a prompt.
    let choicesPerPrompt: Int
    let logprobCount: Int?
    let writesPromptLogprobs: Bool
    let writesTokenIDs: Bool
    /// How answers of a chat are read; nil when they are text.
    let reading: AnswerReading?
    /// Writes the only answer another way.
    let writer: (any AnswerWriter)?
    /// Writes texts another way.
    let takeoff: TakeoffWriter?
    let metrics: ExchangeMetrics
    let texts: TextQueue
    /// Where the adapter was when the request asked for it; nil for the base.
    let tier: AdapterTier?
    /// Whether the answer tells where its time went.
    let tellsTiming: Bool

    func cancel() {
        for choice in choices { choice.completion.cancel() }
    }

    // MARK: Whole

    /// The whole response as JSON, once every completion has ended.
    func whole() async throws -> String {
        let collected = Mutex(choices.map { Collected(reading, index: $0.index) })
        try await forEachPiece { choice, piece in
            let isComplete = collected.withLock { all in
                all[choice.index].add(piece)
                return all[choice.index].answer.isComplete
            }
            if isComplete { throw Enough() }
        }
        let results = collected.withLock { $0 }
        var usage = newUsage
        for choice in choices {
            let result = results[choice.index]
            usage.reasoningTokens? += result.answer.thoughtTokenCount
            usage.completionTokens += result.tokenCount
            usage.cachedTokens += cachedTokens(result.foundPromptCount, choice)
            usage.add(drafted: result.draftedCount, accepted: result.acceptedCount)
        }
        metrics.finish(usage)
        if let takeoff { return takeoff.whole(results.map(\.answer.text)).text() }
        if let writer {
            let result = results[0]
            let end = result.answer.end(result.finish ?? .end)
            return writer.whole(result.answer.message, end, usage).text()
        }
        let scoreCount = results.reduce(0) { $0 + $1.scoreCount }
        return try await write(scoreCount: scoreCount) { [usage] in
            let json = choices.map { self.json(of: results[$0.index], $0) }
            return finalHead.json(choices: json, usage: usage, isChunk: false).text()
        }
    }

    /// Writes an answer, beside everything else where that takes long.
    private func write<Result: Sendable>(
        scoreCount: Int, _ work: @escaping @Sendable () -> Result
    ) async throws -> Result {
        guard scoreCount > 1000 else { return work() }
        return try await texts.run(byteCount: scoreCount * Exchange.scoreByteCount, work)
    }

    /// As JSON, about.
    private static let scoreByteCount = 50

    /// The head, with what is known at the end.
    private var finalHead: ResponseHead {
        var head = head
        if tellsTiming { head.timing = metrics.account.timing.json }
        return head
    }

    var newUsage: Usage {
        var usage = Usage(promptTokens: promptTokenCount)
        if reading != nil { usage.reasoningTokens = 0 }
        return usage
    }

    private struct Collected {
        var answer: ChatAnswer
        var scores: [TokenScores] = []
        var promptScores: [TokenScores]?
        var tokenCount = 0
        var foundPromptCount = 0
        var draftedCount = 0
        var acceptedCount = 0
        var finish: Completion.Finish?

        init(_ reading: AnswerReading?, index: Int) {
            answer = ChatAnswer(reading, index: index)
        }

        var scoreCount: Int {
            (scores + (promptScores ?? [])).reduce(0) { $0 + 1 + $1.top.count }
        }

        mutating func add(_ piece: Completion.Piece) {
            promptScores = piece.promptScores ?? promptScores
            _ = answer.add(piece)
            scores += piece.scores
            tokenCount += piece.tokens.count
            foundPromptCount = piece.foundPromptCount
            (draftedCount, acceptedCount) = (piece.draftedCount, piece.acceptedCount)
            finish = piece.finish ?? finish
            if answer.isComplete { finish = .end }
        }
    }

    /// A prompt counts once, however many completions it has; the first is the one to find it.
    func cachedTokens(_ foundPromptCount: Int, _ choice: Choice) -> Int {
        choice.index % choicesPerPrompt == 0 ? foundPromptCount : 0
    }

    private func json(of result: Collected, _ choice: Choice) -> JSON {
        let tokens = result.scores.map { token($0) }
        let prompt = result.promptScores.map { promptTokens(choice, $0) }
        var json = JSON.Object([("index", .integer(choice.index))])
        switch head.kind {
        case .chat:
            json["message"] = result.answer.message
            json["logprobs"] =
                logprobCount == nil
                ? .null
                : ["content": .array(tokens.map { $0.chatJSON(writesIDs: writesTokenIDs) })]
        case .completion:
            json["text"] = .string((choice.echo ?? "") + result.answer.text)
            let all = (choice.echo == nil ? [] : prompt ?? []) + tokens
            json["logprobs"] =
                logprobCount == nil
                ? .null
                : WireToken.completionJSON(all, offset: 0, writesIDs: writesTokenIDs)
        }
        json["finish_reason"] = result.finish.map { result.answer.reason($0) } ?? .null
        json["stop_reason"] = result.finish?.stop ?? .null
        if writesPromptLogprobs, let prompt {
            json["prompt_logprobs"] = WireToken.promptJSON(prompt)
        }
        return .object(json)
    }

    // MARK: Streamed

    /// Writes server-sent events as the pieces come, usage and the end last.
    func stream(_ options: StreamOptions, write: (String) async throws -> Void) async throws {
        if let writer { return try await stream(by: writer, write: write) }
        if let takeoff { return try await stream(by: takeoff, write: write) }
        let usage = Mutex(newUsage)
        func running() -> Usage? { options.includesRunningUsage ? usage.withLock { $0 } : nil }
        var offsets = Array(repeating: 0, count: choices.count)
        var hasBegun = Array(repeating: false, count: choices.count)
        var answers = choices.map { ChatAnswer(reading, index: $0.index) }
        for choice in choices {
            guard let echo = choice.echo else { continue }
            // With log probabilities the prompt's text goes with their first piece.
            if logprobCount == nil, !echo.isEmpty {
                let json = choiceJSON(choice, text: echo, tokens: nil, offset: 0, finish: nil)
                try await write(chunk(json, running()))
            }
            offsets[choice.index] = logprobCount == nil ? echo.unicodeScalars.count : 0
        }
        try await forEachPieceInOrder { choice, piece in
            if answers[choice.index].isComplete { return }
            // The role comes with the first token: clients take its time for the first token's.
            if head.kind == .chat, !hasBegun[choice.index] {
                hasBegun[choice.index] = true
                let delta: JSON = ["role": "assistant", "content": ""]
                try await write(chunk(choiceJSON(choice, delta: delta, finish: nil), running()))
            }
            var piece = piece
            let before = answers[choice.index].thoughtTokenCount
            let deltas = head.kind == .chat ? answers[choice.index].add(piece) : []
            let answer = answers[choice.index]
            if answer.isComplete { piece.finish = .end }
            usage.withLock {
                $0.completionTokens += piece.tokens.count
                $0.reasoningTokens? += answer.thoughtTokenCount - before
                if piece.finish != nil {
                    $0.cachedTokens += cachedTokens(piece.foundPromptCount, choice)
                    $0.add(drafted: piece.draftedCount, accepted: piece.acceptedCount)
                }
            }
            if head.kind == .chat {
                let text = chunks(deltas, of: piece, choice, answer, running())
                if !text.isEmpty { try await write(text) }
                // Of several, the others go on.
                if answer.isComplete, choices.count == 1 { throw Enough() }
                return
            }
            let scoreCount = (piece.promptScores ?? []).reduce(0) { $0 + 1 + $1.top.count }
            let (offset, usage) = (offsets[choice.index], running())
            let (text, next) = try await self.write(scoreCount: scoreCount) { [piece] in
                var offset = offset
                let json = self.json(of: piece, choice, &offset)
                return (chunk(json, usage), offset)
            }
            offsets[choice.index] = next
            try await write(text)
        }
        let total = usage.withLock { $0 }
        metrics.finish(total)
        if options.includesUsage {
            try await write(
                ServerSentEvent.data(finalHead.json(choices: [], usage: total, isChunk: true)))
        }
        try await write(ServerSentEvent.done)
    }

    private func chunk(_ json: JSON, _ usage: Usage?) -> String {
        ServerSentEvent.data(head.json(choices: [json], usage: usage, isChunk: true))
    }

    /// A chat's deltas as chunks. Scores go with the first, the end with the last; a piece that tells nothing yet has none.
    private func chunks(
        _ deltas: [JSON], of piece: Completion.Piece, _ choice: Choice, _ answer: ChatAnswer,
        _ usage: Usage?
    ) -> String {
        var deltas = deltas
        if deltas.isEmpty, logprobCount != nil || piece.finish != nil { deltas = [[:]] }
        var text = ""
        for (place, delta) in deltas.enumerated() {
            let isLast = place == deltas.count - 1
            var json = JSON.Object([("index", .integer(choice.index)), ("delta", delta)])
            let finish = isLast ? piece.finish : nil
            json["finish_reason"] = finish.map { answer.reason($0) } ?? .null
            if let finish { json["stop_reason"] = finish.stop ?? .null }
            if logprobCount != nil {
                let scores = place == 0 ? piece.scores : []
                json["logprobs"] = [
                    "content": .array(
                        scores.map { token($0).chatJSON(writesIDs: writesTokenIDs) })
                ]
            }
            text += chunk(.object(json), usage)
        }
        return text
    }

    private func json(of piece: Completion.Piece, _ choice: Choice, _ offset: inout Int) -> JSON {
        let tokens = piece.scores.map { token($0) }
        var text = piece.text
        var all = tokens
        if let scores = piece.promptScores, let echo = choice.echo {
            text = echo + text
            all = promptTokens(choice, scores) + all
        }
        defer {
            offset +=
                all.isEmpty
                ? text.unicodeScalars.count : all.reduce(0) { $0 + $1.text.unicodeScalars.count }
        }
        return choiceJSON(
            choice, text: text, tokens: logprobCount == nil ? nil : all, offset: offset,
            finish: piece.finish)
    }

    private func choiceJSON(_ choice: Choice, delta: JSON, finish: Completion.Finish?) -> JSON {
        var json = JSON.Object([("index", .integer(choice.index)), ("delta", delta)])
        json["finish_reason"] = finish?.reason ?? .null
        if let finish { json["stop_reason"] = finish.stop ?? .null }
        return .object(json)
    }

    private func choiceJSON(
        _ choice: Choice, text: String, tokens: [WireToken]?, offset: Int,
        finish: Completion.Finish?
    ) -> JSON {
        var json = JSON.Object([("index", .integer(choice.index)), ("text", .string(text))])
        json["logprobs"] =
            tokens.map { WireToken.completionJSON($0, offset: offset, writesIDs: writesTokenIDs) }
            ?? .null
        json["finish_reason"] = finish?.reason ?? .null
        if let finish { json["stop_reason"] = finish.stop ?? .null }
        return .object(json)
    }

    // MARK: Pieces

    /// A choice's pieces, and when they come.
    private func watch(
        _ choice: Choice, _ body: (Completion.Piece) async throws -> Void
    ) async throws {
        var last: ContinuousClock.Instant?
        var before = Completion.Piece()
        do {
            try await choice.completion.forEachPiece { piece in
                let now = ContinuousClock.now
                let isFirst = last == nil
                metrics.account.note { usage in
                    usage.completionTokens += piece.tokens.count
                    usage.promptTokens = promptTokenCount
                    if isFirst {
                        usage.cachedTokens += cachedTokens(piece.foundPromptCount, choice)
                    }
                }
                metrics.account.time { timing in
                    timing.firstToken = timing.firstToken ?? now - timing.start
                    if isFirst { timing.queued = max(timing.queued, piece.queuedSeconds) }
                    timing.deviceSeconds += piece.deviceSeconds - before.deviceSeconds
                    timing.stepCount += piece.stepCount - before.stepCount
                    timing.neighbourCount += piece.neighbourCount - before.neighbourCount
                }
                before = piece
                metrics.sawToken(after: last.map { (now - $0) / max(1, piece.tokens.count) })
                last = now
                try await body(piece)
            }
        } catch is Enough {
            choice.completion.cancel()
        }
    }

    /// Nobody wants more of a choice.
    struct Enough: Error {}

    /// All choices' pieces, each choice in a task of its own.
    private func forEachPiece(
        _ body: @escaping @Sendable (Choice, Completion.Piece) async throws -> Void
    ) async throws {
        if choices.count == 1 {
            return try await watch(choices[0]) { try await body(choices[0], $0) }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for choice in choices {
                group.addTask { try await watch(choice) { try await body(choice, $0) } }
            }
            try await group.waitForAll()
        }
    }

    /// The same with one piece at a time, for a writer that only one task may use.
    func forEachPieceInOrder(
        _ body: (Choice, Completion.Piece) async throws -> Void
    ) async throws {
        if choices.count == 1 {
            return try await watch(choices[0]) { try await body(choices[0], $0) }
        }
        let (stream, continuation) = AsyncThrowingStream<(Int, Completion.Piece), any Error>
            .makeStream()
        async let done: Void = {
            do {
                try await forEachPiece { choice, piece in continuation.yield((choice.index, piece))
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }()
        for try await (index, piece) in stream { try await body(choices[index], piece) }
        await done
    }

    // MARK: Tokens

    private func token(_ scores: TokenScores) -> WireToken {
        var token = token(scores.chosen)
        token.top = scores.top.map { self.token($0) }
        return token
    }

    private func token(_ scored: TokenLogprob) -> WireToken {
        let bytes = tokenizer.bytes(of: Int(scored.token))
        return WireToken(
            id: Int(scored.token), text: String(decoding: bytes, as: UTF8.self), bytes: bytes,
            logprob: Double(scored.logprob), rank: scored.rank)
    }

    /// The prompt's tokens: the first has nothing before it to be likely after.
    private func promptTokens(_ choice: Choice, _ scores: [TokenScores]) -> [WireToken] {
        let first = choice.completion.prompt[0]
        let bytes = tokenizer.bytes(of: first)
        return [
            WireToken(
                id: first, text: String(decoding: bytes, as: UTF8.self), bytes: bytes, logprob: nil)
        ]
            + scores.map { token($0) }
    }
}

extension Completion.Finish {
    fileprivate var reason: JSON { self == .length ? "length" : "stop" }

    /// vLLM's `stop_reason`: what stopped the completion, when it was something the request named.
    fileprivate var stop: JSON? {
        switch self {
        case .stopString(let text): .string(text)
        case .stopToken(let token): .integer(token)
        case .length, .end: nil
        }
    }
}

/// What is measured of one request.
final class ExchangeMetrics: Sendable {
    private let model: String
    private let start = ContinuousClock.now
    private let logger: Logger
    private let firstToken = Mutex<Duration?>(nil)
    private let tokenGap: Recorder
    private let library: AdapterLibrary
    private let adapter: AdapterDigest?
    let account: RequestAccount

    /// - Parameter adapter: whose tokens are counted, if any.
    init(
        model: String, logger: Logger, library: AdapterLibrary, adapter: AdapterDigest?,
        account: RequestAccount
    ) {
        self.account = account
        self.model = model
        self.logger = logger
        self.library = library
        self.adapter = adapter
        tokenGap = Recorder(
            label: "martlet_inter_token_seconds", dimensions: [("model", model)])
    }

    private var dimensions: [(String, String)] { [("model", model)] }

    /// - Parameter gap: since the completion's token before.
    func sawToken(after gap: Duration?) {
        if let gap { tokenGap.record(gap / .seconds(1)) }
        let time: Duration? = firstToken.withLock { firstToken in
            guard firstToken == nil else { return nil }
            firstToken = ContinuousClock.now - start
            return firstToken
        }
        guard let time else { return }
        Recorder(label: "martlet_time_to_first_token_seconds", dimensions: dimensions)
            .record(time / .seconds(1))
    }

    func finish(_ usage: Usage) {
        let timing = account.timing
        account.finish(usage)
        Recorder(label: "martlet_request_seconds", dimensions: dimensions)
            .record((ContinuousClock.now - start) / .seconds(1))
        Counter(label: "martlet_requests_total", dimensions: dimensions).increment()
        if let adapter {
            library.count(tokens: usage.promptTokens + usage.completionTokens, of: adapter)
        }
        Counter(label: "martlet_prompt_tokens_total", dimensions: dimensions)
            .increment(by: Int64(usage.promptTokens))
        Counter(label: "martlet_completion_tokens_total", dimensions: dimensions)
            .increment(by: Int64(usage.completionTokens))
        func seconds(_ time: Duration?) -> Logger.MetadataValue {
            .string(time.map { "\(($0 / .milliseconds(1)).rounded() / 1000)" } ?? "none")
        }
        var metadata: Logger.Metadata = [
            "model": .string(model), "prompt_tokens": "\(usage.promptTokens)",
            "cached_tokens": "\(usage.cachedTokens)",
            "completion_tokens": "\(usage.completionTokens)",
            "first_token_seconds": seconds(firstToken.withLock { $0 }),
            "seconds": seconds(ContinuousClock.now - start),
        ]
        for (name, value) in timing.pairs { metadata[name] = .string(value) }
        logger.info("completed", metadata: metadata)
    }
}
