internal import NIOCore
internal import NIOHTTP1

/// Closes a connection whose request line and headers do not arrive in time.
///
/// It stands before the decoder, as the server's idle timeout starts anew with each byte.
final class HeadDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let time = TimeAmount.seconds(30)
    private var timer: Scheduled<Void>?
    /// Whether a request is being received or answered; what else comes then is the next one's.
    private var isBusy = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isBusy, timer == nil {
            let channel = context.channel
            timer = context.eventLoop.scheduleTask(in: HeadDeadline.time) {
                channel.close(promise: nil)
            }
        }
        context.fireChannelRead(data)
    }

    func requestBegan() {
        timer?.cancel()
        timer = nil
        isBusy = true
    }

    func requestEnded() { isBusy = false }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }
}

/// Gives HTTP/1.0 clients a body that ends where the connection does, as they know no chunks.
final class OldClients: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private var isOld = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data) { isOld = head.version == .http1_0 }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard isOld else { return context.write(data, promise: promise) }
        switch unwrapOutboundIn(data) {
        case .head(var head):
            // What HTTP/1.0 does not have is not said to it.
            guard head.status.code >= 200 else {
                promise?.succeed()
                return
            }
            head.version = .http1_0
            head.headers.replaceOrAdd(name: "connection", value: "close")
            head.headers.remove(name: "transfer-encoding")
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end:
            let channel = context.channel
            let promise = promise ?? context.eventLoop.makePromise()
            promise.futureResult.whenComplete { _ in channel.close(promise: nil) }
            context.write(data, promise: promise)
        case .body: context.write(data, promise: promise)
        }
    }
}
