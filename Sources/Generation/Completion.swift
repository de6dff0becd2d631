package import Engine
package import Tokenization

/// One completion as it comes: text with the tokens it is made of.
///
/// Iterate it to the end, or drop it: a completion that nobody iterates any more is cancelled.
package struct Completion: Sendable {
    package let id: RequestID
    package let prompt: [Int]
    private let events: AsyncThrowingStream<EngineEvent.Step, any Error>
    private let engine: InferenceEngine
    package let tokenizer: Tokenizer
    private var detokenizer: Detokenizer
    private var stops: StopFinder
    private let options: CompletionOptions

    /// A piece of a completion.
    package struct Piece: Sendable {
        package var text = ""
        /// Tokens generated since the last piece.
        package var tokens: [Int] = []
        /// Their scores, when asked for.
        package var scores: [TokenScores] = []
        /// With the first piece, when asked for: of the prompt's tokens from the second on.
        package var promptScores: [TokenScores]?
        /// Tokens of the prompt that were in the cache.
        package var foundPromptCount = 0
        /// Tokens that were drafted so far, and those of them that came true.
        package var draftedCount = 0
        package var acceptedCount = 0
        /// How long the device has worked for it so far, by its share of each step's rows.
        package var deviceSeconds = 0.0
        /// Steps that it was in so far, and the other sequences in them.
        package var stepCount = 0
        package var neighbourCount = 0
        /// How long it waited for its seat.
        package var queuedSeconds = 0.0
        /// With the last piece.
        package var finish: Finish?
        /// The prompt as a vector, when that was asked for.
        package var vector: [Float]?

        package init() {}
    }

    /// Why a completion ended.
    package enum Finish: Sendable, Equatable {
        case length
        /// The model's own end of text.
        case end
        /// A token or a string that the request named.
        case stopToken(Int)
        case stopString(String)
    }

    init(
        id: RequestID, prompt: [Int], events: AsyncThrowingStream<EngineEvent.Step, any Error>,
        engine: InferenceEngine, tokenizer: Tokenizer, options: CompletionOptions
    ) {
        self.id = id
        self.prompt = prompt
        self.events = events
        self.options = options
        self.engine = engine
        self.tokenizer = tokenizer
        detokenizer = Detokenizer(
            tokenizer, skipsSpecialTokens: options.skipsSpecialTokens,
            showing: options.shownTokens)
        stops = StopFinder(options.stopStrings, includesStop: options.includesStopString)
    }

    /// Ends the completion; its iteration throws `CancellationError`.
    package func cancel() { engine.cancel(id) }

    /// Calls `body` with each piece in order. A piece has text, scores, or an end; tokens without
    /// any of these are counted with the next one.
    ///
    /// - Throws: `GenerationError`, `CancellationError`, or what `body` throws.
    package func forEachPiece(_ body: (Piece) async throws -> Void) async throws {
        var state = self
        var next = Piece()
        var tokenCount = 0
        do {
            for try await step in events {
                next.promptScores = step.promptScores ?? next.promptScores
                next.vector = step.vector
                next.foundPromptCount = step.foundPromptCount
                next.draftedCount = step.draftedCount
                next.acceptedCount = step.acceptedCount
                next.deviceSeconds = step.deviceSeconds
                next.stepCount = step.stepCount
                next.neighbourCount = step.neighbourCount
                next.queuedSeconds = step.queuedSeconds
                tokenCount += step.token == nil ? 0 : 1
                state.add(step, to: &next, tokenCount: tokenCount)
                guard
                    !next.text.isEmpty || !next.scores.isEmpty || next.promptScores != nil
                        || next.finish != nil
                else { continue }
                let isLast = next.finish != nil
                if isLast, step.finish == nil { engine.cancel(id) }
                try await body(next)
                if isLast { return }
                next = Piece()
            }
        } catch let failure as EngineFailure {
            throw GenerationError(failure)
        }
        // A stream that ends without a last event was cancelled.
        throw CancellationError()
    }

    private mutating func add(_ step: EngineEvent.Step, to piece: inout Piece, tokenCount: Int) {
        var isEndToken = false
        if case .endToken = step.finish { isEndToken = true }
        if let token = step.token {
            piece.tokens.append(Int(token))
            // The end of text is not part of it; a stop token that was asked for is, when it is text.
            if !isEndToken || options.includesStopString {
                emit(detokenizer.append(Int(token)), to: &piece, tokenCount)
            }
        }
        if let scores = step.scores { piece.scores.append(scores) }
        guard let finish = step.finish, piece.finish == nil else { return }
        emit(detokenizer.finish(), to: &piece, tokenCount)
        guard piece.finish == nil else { return }
        piece.text += stops.finish()
        switch finish {
        case .length: piece.finish = .length
        case .complete: piece.finish = .end
        case .endToken(let token):
            piece.finish = options.stopTokens.contains(Int(token)) ? .stopToken(Int(token)) : .end
        }
    }

    private mutating func emit(_ text: String, to piece: inout Piece, _ tokenCount: Int) {
        guard !text.isEmpty, piece.finish == nil else { return }
        guard tokenCount > options.minimumTokens else {
            piece.text += text
            return
        }
        let (sure, stop) = stops.append(text)
        piece.text += sure
        if let stop { piece.finish = .stopString(stop) }
    }
}

extension GenerationError {
    fileprivate init(_ failure: EngineFailure) {
        switch failure {
        case .constraintFailed:
            self.init(
                .constraintFailed,
                "What the answer must be leaves the model no token, or takes too much work to follow."
            )
        case .notFinite:
            self.init(
                .modelFailed,
                "The model computed a value that is not a number: the weights of the base or the adapter are broken."
            )
        case .stopped: self.init(.shuttingDown, "The server is shutting down.")
        case .adapterRefused:
            self.init(
                .adapterTooLarge,
                "The device has no room for the adapter beside what is there: give --device-memory more."
            )
        case .deviceLost:
            self.init(
                .deviceLost,
                "The server's device has failed; the server ends and may be started anew.")
        }
    }
}
