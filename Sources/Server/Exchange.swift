internal import Engine
internal import Foundation
internal import Generation
internal import JSONTree
internal import Logging
internal import Metrics
internal import OpenAIWire
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
    let metrics: ExchangeMetrics

    func cancel() {
        for choice in choices { choice.completion.cancel() }
    }

    // MARK: Whole

    /// The whole response, once every completion has ended.
    func whole() async throws -> JSON {
        let collected = Mutex<[Int: Collected]>([:])
        try await forEachPiece { choice, piece in
            collected.withLock { $0[choice.index, default: Collected()].add(piece, choice, self) }
        }
        let results = collected.withLock { $0 }
        var usage = Usage(promptTokens: promptTokenCount)
        let json = choices.map { choice in
            let result = results[choice.index] ?? Collected()
            usage.completionTokens += result.tokenCount
            usage.cachedTokens += cachedTokens(result.foundPromptCount, choice)
            return self.json(of: result, choice)
        }
        metrics.finish(usage)
        return head.json(choices: json, usage: usage, isChunk: false)
    }

    private struct Collected {
        var text = ""
        var tokens: [WireToken] = []
        var promptTokens: [WireToken]?
        var tokenCount = 0
        var foundPromptCount = 0
        var finish: Completion.Finish?

        mutating func add(_ piece: Completion.Piece, _ choice: Choice, _ exchange: Exchange) {
            if let scores = piece.promptScores {
                promptTokens = exchange.promptTokens(choice, scores)
            }
            text += piece.text
            tokens += piece.scores.map { exchange.token($0) }
            tokenCount += piece.tokens.count
            foundPromptCount = piece.foundPromptCount
            finish = piece.finish ?? finish
        }
    }

    /// A prompt counts once, however many completions it has; the first is the one to find it.
    private func cachedTokens(_ foundPromptCount: Int, _ choice: Choice) -> Int {
        choice.index % choicesPerPrompt == 0 ? foundPromptCount : 0
    }

    private func json(of result: Collected, _ choice: Choice) -> JSON {
        var json = JSON.Object([("index", .integer(choice.index))])
        switch head.kind {
        case .chat:
            json["message"] = ["role": "assistant", "content": .string(result.text)]
            json["logprobs"] =
                logprobCount == nil
                ? .null
                : [
                    "content": .array(result.tokens.map { $0.chatJSON(writesIDs: writesTokenIDs) })
                ]
        case .completion:
            json["text"] = .string((choice.echo ?? "") + result.text)
            json["logprobs"] = logprobCount == nil ? .null : completionLogprobs(result, choice)
        }
        json["finish_reason"] = result.finish?.reason ?? .null
        json["stop_reason"] = result.finish?.stop ?? .null
        if writesPromptLogprobs, let tokens = result.promptTokens {
            json["prompt_logprobs"] = WireToken.promptJSON(tokens)
        }
        return .object(json)
    }

    private func completionLogprobs(_ result: Collected, _ choice: Choice) -> JSON {
        let tokens = (choice.echo == nil ? [] : result.promptTokens ?? []) + result.tokens
        return WireToken.completionJSON(tokens, offset: 0, writesIDs: writesTokenIDs)
    }

    // MARK: Streamed

    /// Writes server-sent events as the pieces come, usage and the end last.
    func stream(_ options: StreamOptions, write: (String) async throws -> Void) async throws {
        let usage = Mutex(Usage(promptTokens: promptTokenCount))
        func chunk(_ json: JSON) -> String {
            ServerSentEvent.data(
                head.json(
                    choices: [json],
                    usage: options.includesRunningUsage ? usage.withLock { $0 } : nil, isChunk: true
                ))
        }
        var offsets = Array(repeating: 0, count: choices.count)
        var hasBegun = Array(repeating: false, count: choices.count)
        for choice in choices {
            guard let echo = choice.echo else { continue }
            // With log probabilities the prompt's text goes with their first piece.
            if logprobCount == nil, !echo.isEmpty {
                try await write(
                    chunk(choiceJSON(choice, text: echo, tokens: nil, offset: 0, finish: nil)))
            }
            offsets[choice.index] = logprobCount == nil ? echo.unicodeScalars.count : 0
        }
        try await forEachPieceInOrder { choice, piece in
            // The role comes with the first token: clients take its time for the first token's.
            if head.kind == .chat, !hasBegun[choice.index] {
                hasBegun[choice.index] = true
                let delta: JSON = ["role": "assistant", "content": ""]
                try await write(chunk(choiceJSON(choice, delta: delta, finish: nil)))
            }
            usage.withLock {
                $0.completionTokens += piece.tokens.count
                if piece.finish != nil {
                    $0.cachedTokens += cachedTokens(piece.foundPromptCount, choice)
                }
            }
            try await write(chunk(self.json(of: piece, choice, &offsets[choice.index])))
        }
        let total = usage.withLock { $0 }
        metrics.finish(total)
        if options.includesUsage {
            try await write(
                ServerSentEvent.data(head.json(choices: [], usage: total, isChunk: true)))
        }
        try await write(ServerSentEvent.done)
    }

    private func json(of piece: Completion.Piece, _ choice: Choice, _ offset: inout Int) -> JSON {
        let tokens = piece.scores.map { token($0) }
        guard head.kind == .completion else {
            var json = choiceJSON(
                choice, delta: piece.text.isEmpty ? [:] : ["content": .string(piece.text)],
                finish: piece.finish)
            if logprobCount != nil, case .object(var object) = json {
                object["logprobs"] = [
                    "content": .array(tokens.map { $0.chatJSON(writesIDs: writesTokenIDs) })
                ]
                json = .object(object)
            }
            return json
        }
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
        if let stop = finish?.stop { json["stop_reason"] = stop }
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
        if let stop = finish?.stop { json["stop_reason"] = stop }
        return .object(json)
    }

    // MARK: Pieces

    /// All choices' pieces, each choice in a task of its own.
    private func forEachPiece(
        _ body: @escaping @Sendable (Choice, Completion.Piece) async throws -> Void
    ) async throws {
        if choices.count == 1 {
            return try await choices[0].completion.forEachPiece { piece in
                metrics.sawToken()
                try await body(choices[0], piece)
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for choice in choices {
                group.addTask {
                    try await choice.completion.forEachPiece { piece in
                        metrics.sawToken()
                        try await body(choice, piece)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// The same with one piece at a time, for a writer that only one task may use.
    private func forEachPieceInOrder(
        _ body: (Choice, Completion.Piece) async throws -> Void
    ) async throws {
        if choices.count == 1 {
            return try await choices[0].completion.forEachPiece { piece in
                metrics.sawToken()
                try await body(choices[0], piece)
            }
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

    init(model: String, logger: Logger) {
        self.model = model
        self.logger = logger
    }

    private var dimensions: [(String, String)] { [("model", model)] }

    func sawToken() {
        let time: Duration? = firstToken.withLock { firstToken in
            guard firstToken == nil else { return nil }
            firstToken = ContinuousClock.now - start
            return firstToken
        }
        guard let time else { return }
        Recorder(label: "martlet_time_to_first_token_seconds").record(time / .seconds(1))
    }

    func finish(_ usage: Usage) {
        Recorder(label: "martlet_request_seconds").record(
            (ContinuousClock.now - start) / .seconds(1))
        Counter(label: "martlet_requests_total", dimensions: dimensions).increment()
        Counter(label: "martlet_prompt_tokens_total", dimensions: dimensions)
            .increment(by: Int64(usage.promptTokens))
        Counter(label: "martlet_completion_tokens_total", dimensions: dimensions)
            .increment(by: Int64(usage.completionTokens))
        func seconds(_ time: Duration?) -> Logger.MetadataValue {
            .string(time.map { "\(($0 / .milliseconds(1)).rounded() / 1000)" } ?? "none")
        }
        logger.info(
            "completed",
            metadata: [
                "model": .string(model), "prompt_tokens": "\(usage.promptTokens)",
                "cached_tokens": "\(usage.cachedTokens)",
                "completion_tokens": "\(usage.completionTokens)",
                "first_token_seconds": seconds(firstToken.withLock { $0 }),
                "seconds": seconds(ContinuousClock.now - start),
            ])
    }
}
