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

/// An answer while it is written, piece by piece. It begins with its iteration and ends with it: whoever leaves the loop
/// ends the answer.
public struct AnswerStream: AsyncSequence, Sendable {
    typealias Work =
        @Sendable (@escaping @Sendable (Answer.Piece) -> Void) async throws -> Void

    private let work: Work

    init(_ work: @escaping Work) { self.work = work }

    public func makeAsyncIterator() -> Iterator { Iterator(work) }

    public struct Iterator: AsyncIteratorProtocol {
        private let writing: Writing
        private var pieces: AsyncThrowingStream<Answer.Piece, any Error>.Iterator

        init(_ work: @escaping Work) {
            let (stream, continuation) = AsyncThrowingStream<Answer.Piece, any Error>.makeStream()
            writing = Writing(
                Task {
                    do {
                        try await work { continuation.yield($0) }
                        continuation.finish()
                    } catch {
                        continuation.finish(throwing: error)
                    }
                })
            pieces = stream.makeAsyncIterator()
        }

        /// - Throws: ``MartletError``; `CancellationError` when the task that iterates is cancelled.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws -> Answer.Piece? {
            let piece = try await pieces.next(isolation: actor)
            if piece == nil { try Task.checkCancellation() }
            return piece
        }
    }

    /// The task that writes, which ends with whoever reads.
    private final class Writing: Sendable {
        private let task: Task<Void, Never>

        init(_ task: Task<Void, Never>) { self.task = task }

        deinit { task.cancel() }
    }
}
