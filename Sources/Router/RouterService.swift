internal import AsyncHTTPClient
internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2TransportServices
internal import Hummingbird
internal import JSONTree
package import Logging
internal import Placement
internal import ServiceLifecycle
package import Telemetry

/// A router as one service: it finds and follows replicas, decides for gateways, speaks to autoscalers.
package struct RouterService: Service, CustomStringConvertible {
    package struct Configuration: Sendable {
        package var host = "127.0.0.1"
        /// Of Envoy's external processing, health checks and KEDA.
        package var port = 9002
        /// Of the router's own status and metrics.
        package var statusPort = 9003
        package var discovery = Discovery.list([])
        /// Where Envoy's endpoint file is to be; nil for none.
        package var endpointFile: String?
        /// Other routers' status addresses.
        package var peers = Discovery.list([])
        /// The replicas' admin key.
        package var replicaKey: String?
        package var assumedSlots = 64
        package var assumedBudget = 8 << 30

        package init() {}
    }

    private let configuration: Configuration
    private let core: RouterCore
    private let metrics: PrometheusMetrics
    private let logger: Logger

    package init(
        configuration: Configuration, core: RouterCore, metrics: PrometheusMetrics, logger: Logger
    ) {
        self.configuration = configuration
        self.core = core
        self.metrics = metrics
        self.logger = logger
    }

    /// Logged by whoever runs it; the key is nobody's business.
    package var description: String { "router" }

    package func run() async throws {
        let http = ReplicaClient.makeClient()
        let client = ReplicaClient(client: http, key: configuration.replicaKey)
        do {
            try await run(client)
            try await http.shutdown()
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    private func run(_ client: ReplicaClient) async throws {
        let watchdog = Watchdog(core: core)
        let keeper = ReplicaKeeper(
            core: core, discovery: configuration.discovery,
            file: configuration.endpointFile.map { EndpointFile(path: $0) }, client: client,
            logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await keeper.run() }
            group.addTask { await cancelWhenGracefulShutdown { await watchdog.run() } }
            group.addTask { try await grpc(watchdog) }
            group.addTask { try await status(watchdog) }
            group.addTask { await cancelWhenGracefulShutdown { await followPeers(client) } }
            try await group.waitForAll()
        }
    }

    private func grpc(_ watchdog: Watchdog) async throws {
        var settings = HTTP2ServerTransport.Custom<GRPCListener>.Config.defaults
        settings.rpc.maxRequestPayloadSize = PickerExchange.bodyByteLimit + (1 << 20)
        // Gateways send all requests of a worker over one connection.
        settings.http2.maxConcurrentStreams = 100_000
        let transport = HTTP2ServerTransport.Custom(
            listenerFactory: GRPCListener(host: configuration.host, port: configuration.port),
            config: settings)
        let server = GRPCServer(
            transport: transport,
            services: [
                EndpointPicker(core: core), HealthService(watchdog: watchdog),
                ScalerService(
                    core: core, targetUse: 0.7, assumedSlots: configuration.assumedSlots,
                    assumedBudget: configuration.assumedBudget),
            ])
        try await withGracefulShutdownHandler {
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await server.serve() }
                if let address = await transport.listeningAddress {
                    logger.info(
                        "deciding for gateways", metadata: ["address": .string("\(address)")])
                }
            }
        } onGracefulShutdown: {
            watchdog.stop()
            server.beginGracefulShutdown()
        }
    }

    private func status(_ watchdog: Watchdog) async throws {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        let application = Application(
            router: StatusServer(core: core, watchdog: watchdog, metrics: metrics).router(),
            configuration: .init(
                address: .hostname(configuration.host, port: configuration.statusPort),
                serverName: "martlet"),
            onServerRunning: { [logger] channel in
                logger.info(
                    "state and metrics",
                    metadata: ["port": "\(channel.localAddress?.port ?? 0)"])
            }, logger: quiet)
        try await application.run()
    }

    /// Adds up what other routers hold: an autoscaler may ask any one of them.
    private func followPeers(_ client: ReplicaClient) async {
        guard configuration.peers != .list([]) else { return }
        repeat {
            var held = 0
            var last: Double?
            for peer in (try? await configuration.peers.endpoints()) ?? [] {
                // A name may stand for all routers, this one too.
                guard let answer = try? await client.peer(peer),
                    answer["router"]?.stringValue != core.id
                else { continue }
                held += min(max(0, answer["held"]?.integerValue ?? 0), 1 << 32)
                if let seconds = answer["last_request_seconds"]?.doubleValue, seconds >= 0 {
                    last = min(last ?? seconds, seconds)
                }
            }
            core.setPeers(held: held, lastRequest: last)
        } while (try? await Task.sleep(for: .seconds(1))) != nil
    }
}
