internal import Foundation
internal import Logging
internal import NIOCore
internal import NIOPosix

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
