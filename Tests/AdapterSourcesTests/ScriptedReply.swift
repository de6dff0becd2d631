import NIOCore
import NIOHTTP1

/// What a scripted server answers.
struct ScriptedReply: Sendable {
    /// What follows the last byte of the body.
    enum Ending: Sendable {
        case whole
        /// Nothing: the connection closes once the gate opens.
        case cutOff(Gate)
        /// Nothing, and the connection stays.
        case silent
        /// The body over and over again.
        case endless
    }

    var status = 200
    var headers: [(String, String)] = []
    var body: [UInt8] = []
    /// Nil sends the body in chunks.
    var declaredLength: Int?
    var ending = Ending.whole

    init(status: Int = 200, headers: [(String, String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
        declaredLength = body.count
    }

    static func redirect(to location: String, headers: [(String, String)] = []) -> ScriptedReply {
        ScriptedReply(status: 302, headers: headers + [("Location", location)])
    }

    /// The file as servers of files send it: from where a `Range` says, when `If-Range` fits.
    static func file(
        _ bytes: [UInt8], tag: String, to request: ScriptedServer.Request,
        headers: [(String, String)] = []
    ) -> ScriptedReply {
        let common = headers + [("ETag", tag)]
        guard let range = request.header("Range"), request.header("If-Range") ?? tag == tag,
            let start = Int(range.dropFirst("bytes=".count).dropLast())
        else { return ScriptedReply(headers: common, body: bytes) }
        let span = "bytes \(start)-\(bytes.count - 1)/\(bytes.count)"
        return ScriptedReply(
            status: 206, headers: common + [("Content-Range", span)],
            body: Array(bytes.dropFirst(start)))
    }

    /// - Returns: whether the connection can take another request.
    func send(
        to outbound: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>, hasBody: Bool
    ) async throws -> Bool {
        var fields = HTTPHeaders(headers)
        if let declaredLength {
            fields.add(name: "Content-Length", value: String(declaredLength))
        }
        let head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: fields)
        try await outbound.write(.head(head))
        guard hasBody else {
            try await outbound.write(.end(nil))
            return true
        }
        let piece = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: body)))
        try await outbound.write(piece)
        switch ending {
        case .whole:
            try await outbound.write(.end(nil))
            return true
        case .cutOff(let gate):
            await gate.wait()
            return false
        case .silent:
            return true
        case .endless:
            while true { try await outbound.write(piece) }
        }
    }
}

/// Holds a server up until a test lets it go on.
final class Gate: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        self.stream = stream
        self.continuation = continuation
    }

    func open() { continuation.finish() }

    func wait() async { for await _ in stream {} }
}
