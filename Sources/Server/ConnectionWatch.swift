internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import NIOHTTPTypesHTTP1
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
    private let headDeadline = HeadDeadline()
    private var bodyDeadline: Scheduled<Void>?
    private var probe: Scheduled<Void>?
    /// Whether a final response has begun, between whose parts nothing may be said.
    private var isAnswering = false

    /// For a whole body. Four mebibytes take half of it on a slow line.
    private static let bodyTime = TimeAmount.seconds(60)
    private static let probeInterval = TimeAmount.seconds(1)

    func handlerAdded(context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        try? pipeline.addHandler(headDeadline, position: .first)
        if let codec = try? pipeline.context(handlerType: HTTP1ToHTTPServerCodec.self).handler {
            try? pipeline.addHandler(OldClients(), position: .before(codec))
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            requestsUnderWay += 1
            headDeadline.requestBegan()
            let channel = context.channel
            bodyDeadline = context.eventLoop.scheduleTask(in: ConnectionWatch.bodyTime) {
                channel.close(promise: nil)
            }
            if head.headerFields[.expect]?.lowercased() == "100-continue" { sayContinue(context) }
        case .end: bodyDeadline?.cancel()
        case .body: break
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head: isAnswering = true
        case .end:
            requestsUnderWay -= 1
            isAnswering = false
            if requestsUnderWay == 0 { headDeadline.requestEnded() }
        case .body: break
        }
        context.write(data, promise: promise)
    }

    private func sayContinue(_ context: ChannelHandlerContext) {
        context.writeAndFlush(
            wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
    }

    /// A client that sends no more may wait for its answer or may have gone; only writing tells. While
    /// there is no answer yet, an interim one is written now and then, which every client skips.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed {
            if requestsUnderWay == 0 { departure.happen() } else { probeLater(context) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func probeLater(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        probe = context.eventLoop.scheduleTask(in: ConnectionWatch.probeInterval) {
            let (watch, context) = bound.value
            guard watch.requestsUnderWay > 0, context.channel.isActive else { return }
            if !watch.isAnswering { watch.sayContinue(context) }
            watch.probeLater(context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        departure.happen()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        bodyDeadline?.cancel()
        probe?.cancel()
        departure.happen()
    }

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
