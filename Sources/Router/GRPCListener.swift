// The part of gRPC's transport that all systems share has no product of its own: Apple's has the least around it, the other
// one brings certificates that nothing here uses (docs/decisions/0018-what-is-compiled.md).
internal import GRPCNIOTransportHTTP2TransportServices
internal import NIOCore
internal import NIOPosix

/// Where gRPC is listened for, without encryption: gateways and autoscalers reach a router inside their cluster.
struct GRPCListener: HTTP2ServerTransport.ListenerFactory {
    let host: String
    let port: Int
    let eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton

    func makeListeningChannel(
        listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
        connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
    ) async throws -> NIOAsyncChannel<
        HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never
    > {
        try await ServerBootstrap(group: eventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
            .bind(host: host, port: port) { channel in
                connectionConfigurator.configure(channel: channel, tls: .none)
            }
    }
}
