internal import NIOCore
internal import NIOHTTP1

/// What a scripted server answers.
package struct ScriptedReply: Sendable {
    /// What follows the last byte of the body.
    package enum Ending: Sendable {
        case whole
        /// Nothing: the connection closes once the gate opens.
        case cutOff(Gate)
        /// Nothing, and the connection stays.
        case silent
        /// The body over and over again.
        case endless
        /// Nothing: the body itself waits until the gate opens.
        case heldUp(Gate)
    }

    package var status = 200
    package var headers: [(String, String)] = []
    package var body: [UInt8] = []
    /// Nil sends the body in chunks.
    package var declaredLength: Int?
    package var ending = Ending.whole

    package init(
        status: Int = 200, headers: [(String, String)] = [], body: [UInt8] = []
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        declaredLength = body.count
    }

    package static func redirect(
        to location: String, headers: [(String, String)] = []
    ) -> ScriptedReply {
        ScriptedReply(status: 302, headers: headers + [("Location", location)])
    }

    /// The file as servers of files send it: from where a `Range` says, when `If-Range` fits.
    package static func file(
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
        if case .heldUp(let gate) = ending { await gate.wait() }
        let piece = HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: body)))
        try await outbound.write(piece)
        switch ending {
        case .whole, .heldUp:
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
package final class Gate: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    package init() {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        self.stream = stream
        self.continuation = continuation
    }

    package func open() { continuation.finish() }

    func wait() async { for await _ in stream {} }
}
