internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import OpenAIWire
internal import Synchronization

/// Tells requests when their client has gone, also while nothing is being written to it.
///
/// Hummingbird's own way to notice reads the connection to its end, which costs keep-alive; this
/// handler only looks on.
final class ConnectionWatch: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    let departure = Departure()
    private var requestsUnderWay = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head = unwrapInboundIn(data) { requestsUnderWay += 1 }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { requestsUnderWay -= 1 }
        context.write(data, promise: promise)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed { departure.happen() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        departure.happen()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { departure.happen() }

    /// A request that is not HTTP gets an answer in the API's own words before the connection ends.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        departure.happen()
        guard requestsUnderWay == 0, let parserError = error as? HTTPParserError else {
            return context.fireErrorCaught(error)
        }
        var answer = APIError(parserError)
        if case .headerOverflow = parserError {
            answer.status = 431
            answer.code = "headers_too_large"
            answer.message = "The request's headers are too large."
        }
        let body = ByteBuffer(string: answer.json.text())
        let head = HTTPResponse(
            status: HTTPResponse.Status(code: answer.status),
            headerFields: [
                .contentType: "application/json", .contentLength: "\(body.readableBytes)",
                .connection: "close",
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.close(promise: nil)
    }
}

/// A client's leaving, and what is to be done then.
final class Departure: Sendable {
    private struct State {
        var hasHappened = false
        var actions: [Int: @Sendable () -> Void] = [:]
        var count = 0
    }

    private let state = Mutex(State())

    func happen() {
        let actions = state.withLock { state in
            state.hasHappened = true
            defer { state.actions = [:] }
            return Array(state.actions.values)
        }
        for action in actions { action() }
    }

    /// Runs `action` when the client leaves while `body` runs, or at once if it has left.
    func whileConnected<Result>(
        onDeparture action: @escaping @Sendable () -> Void, _ body: () async throws -> Result
    ) async throws -> Result {
        let number: Int? = state.withLock { state in
            guard !state.hasHappened else { return nil }
            state.count += 1
            state.actions[state.count] = action
            return state.count
        }
        if number == nil { action() }
        defer { if let number { state.withLock { $0.actions[number] = nil } } }
        return try await body()
    }
}
