internal import Generation

/// What a model wrote.
public struct Answer: Sendable {
    /// Why it ends.
    public enum Finish: Sendable, Hashable {
        /// The model ended it, or nothing may follow.
        case end
        /// There were no more tokens to be had: the answer is cut.
        case length
        /// A text of ``GenerationOptions/stopStrings``.
        case stop(String)

        init(_ finish: Completion.Finish) {
            switch finish {
            case .end, .stopToken: self = .end
            case .length: self = .length
            case .stopString(let text): self = .stop(text)
            }
        }
    }

    /// A part of an answer while it is written.
    public struct Piece: Sendable {
        public let text: String
        /// The tokens that came since the last piece.
        public let tokens: [Int]
    }

    public internal(set) var text = ""
    public internal(set) var finish = Finish.end
    public let promptTokenCount: Int
    public internal(set) var completionTokenCount = 0
    /// Of the prompt's tokens, those that the cache had already.
    public internal(set) var cachedTokenCount = 0

    init(promptTokenCount: Int) { self.promptTokenCount = promptTokenCount }
}

/// An answer while it is written, piece by piece. It can be iterated once; whoever stops iterating ends the answer.
public struct AnswerStream: AsyncSequence, Sendable {
    public typealias Element = Answer.Piece

    private let pieces: AsyncThrowingStream<Answer.Piece, any Error>

    init(
        _ work: @escaping @Sendable (@Sendable (Answer.Piece) -> Void) async throws -> Void
    ) {
        let (pieces, continuation) = AsyncThrowingStream<Answer.Piece, any Error>.makeStream()
        let task = Task {
            do {
                try await work { continuation.yield($0) }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        self.pieces = pieces
    }

    public func makeAsyncIterator() -> AsyncThrowingStream<Answer.Piece, any Error>.AsyncIterator {
        pieces.makeAsyncIterator()
    }
}
