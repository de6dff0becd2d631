internal import Foundation
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Closes a connection whose request line and headers do not arrive in time.
///
/// It stands before the decoder, as the server's idle timeout starts anew with each byte.
final class HeadDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let time = TimeAmount.seconds(30)
    private var timer: Scheduled<Void>?
    /// Whether bytes belong to a request whose head has arrived.
    private var isInsideRequest = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isInsideRequest, timer == nil {
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
        isInsideRequest = true
    }

    func requestArrived() { isInsideRequest = false }

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

/// Pauses accepting when the process has no descriptors left, says so, and goes on.
///
/// NIO keeps the listening socket open then and asks again at once, at the full speed of a processor.
final class AcceptPause: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = any Channel

    private static let time = TimeAmount.milliseconds(100)
    private static let reportInterval = TimeAmount.seconds(10)
    private let logger: Logger
    private var isPaused = false
    private var lastReport: NIODeadline?

    init(_ logger: Logger) { self.logger = logger }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let systemError = error as? IOError,
            [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(systemError.errnoCode)
        else { return context.fireErrorCaught(error) }
        guard !isPaused else { return }
        isPaused = true
        if lastReport.map({ NIODeadline.now() - $0 > AcceptPause.reportInterval }) ?? true {
            lastReport = .now()
            logger.error(
                "new connections wait: the system has no more files for this process",
                metadata: ["error": .string("\(systemError)")])
        }
        let channel = context.channel
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: AcceptPause.time) {
            self.isPaused = false
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }
}

extension Channel {
    /// Prepares a listening channel: it survives a lack of descriptors, and programs that are started
    /// by this one do not keep its port.
    func prepareForAccepting(_ logger: Logger) async {
        try? await eventLoop.submit {
            let pipeline = self.pipeline.syncOperations
            _ = try? pipeline.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                fcntl($0, F_SETFD, FD_CLOEXEC)
            }
            try pipeline.addHandler(AcceptPause(logger), position: .first)
        }.get()
    }
}
