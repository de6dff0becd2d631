internal import AdapterStore
internal import Adapters
internal import Dispatch
internal import Generation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import NIOCore
internal import OpenAIWire
internal import Synchronization

/// Where request bodies are parsed, rendered and tokenized: on two threads of their own, so that no
/// text, however long, keeps the tasks that serve everybody waiting.
///
/// Long texts have a thread for themselves; short ones do not wait for them.
final class TextQueue: Sendable {
    private let short = DispatchQueue(label: "martlet.text.short")
    private let long = DispatchQueue(label: "martlet.text.long")
    private let bytesTaken = Mutex(0)

    /// A body longer than this is long.
    private static let shortByteCount = 64 << 10
    /// Bytes of all bodies that are being received or worked on.
    private static let byteLimit = 256 << 20

    /// Runs work on a text of some length. Returns as soon as the task is cancelled, whatever the
    /// work still does; work that has not begun is then dropped.
    func run<Result: Sendable>(
        byteCount: Int, _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        let queue = byteCount > TextQueue.shortByteCount ? long : short
        let job = Job<Result>()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard job.begin(continuation) else { return }
                queue.async {
                    guard job.isWanted else { return }
                    job.finish(Swift.Result { try work() })
                }
            }
        } onCancel: {
            job.finish(.failure(CancellationError()))
        }
    }

    /// Runs work on a text by a model's template. One that an adapter brings is not trusted to be quick: what only the
    /// base's has to do does not wait for it.
    func run<Result: Sendable>(
        byteCount: Int, with model: ModelRegistry.Model,
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        let isForeign = model.lease?.adapter.text != nil
        return try await run(
            byteCount: isForeign ? max(byteCount, Self.shortByteCount + 1) : byteCount, work)
    }

    // MARK: Bodies

    /// A request's body, which has room here as long as it is kept.
    final class Body: Sendable {
        let bytes: [UInt8]
        private let queue: TextQueue
        private let room: Int

        fileprivate init(_ bytes: [UInt8], _ queue: TextQueue, room: Int) {
            self.bytes = bytes
            self.queue = queue
            self.room = room
        }

        deinit { queue.giveBack(room) }
    }

    /// Reads a request's body.
    ///
    /// - Throws: `APIError`: 413 for one that is too long, 415 for a compressed one, 503 when too many
    ///   are under way.
    func body(of request: Request, _ context: APIContext) async throws -> Body {
        let limit = context.maxUploadSize
        if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" {
            throw APIError(
                status: 415, code: "unsupported_encoding",
                message: "The body's Content-Encoding is \(encoding); send it uncompressed.")
        }
        let length = request.headers[.contentLength].flatMap { Int($0) } ?? limit
        guard length <= limit else { throw NIOTooManyBytesError(maxBytes: limit) }
        try take(length)
        do {
            let buffer = try await request.body.collect(upTo: limit)
            return Body(Array(buffer.readableBytesView), self, room: length)
        } catch {
            giveBack(length)
            throw error
        }
    }

    /// Parses a body and goes on with it, beside everything else.
    func run<Result: Sendable>(
        on body: Body, _ work: @escaping @Sendable (JSON) throws -> Result
    ) async throws -> Result {
        try await run(byteCount: body.bytes.count) {
            try work(
                try JSON(
                    parsing: body.bytes,
                    limits: JSON.Limits(
                        byteCount: body.bytes.count, depth: 64, nameByteCount: 1024)))
        }
    }

    /// A request's body as JSON.
    func json(of request: Request, _ context: APIContext) async throws -> JSON {
        try await run(on: try await body(of: request, context)) { $0 }
    }

    private func take(_ byteCount: Int) throws(APIError) {
        let fits = bytesTaken.withLock { taken in
            guard taken + byteCount <= TextQueue.byteLimit else { return false }
            taken += byteCount
            return true
        }
        guard fits else {
            throw APIError(
                status: 503, type: "server_error", code: "too_many_bodies",
                message: "The server is receiving as many long requests as it has memory for.",
                retryAfter: 1)
        }
    }

    private func giveBack(_ byteCount: Int) { bytesTaken.withLock { $0 -= byteCount } }
}

/// Work that somebody waits for, answered once.
private final class Job<Result: Sendable>: Sendable {
    private enum State {
        case new
        case waiting(CheckedContinuation<Result, any Error>)
        case cancelled
        case done
    }

    private let state: Mutex<State>

    init() { state = Mutex(.new) }

    var isWanted: Bool {
        state.withLock { if case .waiting = $0 { true } else { false } }
    }

    /// - Returns: false when the work was cancelled before; the continuation is resumed then.
    func begin(_ continuation: CheckedContinuation<Result, any Error>) -> Bool {
        let begins = state.withLock { state in
            guard case .new = state else { return false }
            state = .waiting(continuation)
            return true
        }
        if !begins { continuation.resume(throwing: CancellationError()) }
        return begins
    }

    func finish(_ result: sending Swift.Result<Result, any Error>) {
        let continuation: CheckedContinuation<Result, any Error>? = state.withLock { state in
            guard case .waiting(let continuation) = state else {
                if case .new = state { state = .cancelled }
                return nil
            }
            state = .done
            return continuation
        }
        continuation?.resume(with: result)
    }
}
