import ArgumentParser
import Foundation
import Logging
import Metrics
import Placement
import Router
import ServiceLifecycle
import Telemetry
import Tensors
import UnixSignals

struct Route: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Decides for a gateway which replica answers each request.",
        discussion: """
            Envoy, or any gateway that knows the Gateway API's endpoint picker, carries the traffic and \
            asks the router where each request is to go: to a replica that has its adapter in memory, or \
            soonest will. Replicas are `martlet serve` processes. Run as many routers as you like; they \
            need not know each other.

            Example, with three replicas and the endpoint file that Envoy watches:
              martlet route --replicas 10.0.0.1:8080,10.0.0.2:8080,10.0.0.3:8080 \\
                --endpoint-file /run/martlet/endpoints.json

            docs/operating/cluster.md has Envoy's configuration, and what to do on Kubernetes.
            """)

    @Option(
        help: ArgumentHelp(
            "Where the replicas are: HOST:PORT,…, file:PATH (a HOST:PORT a line, or llm-d's endpoints), or dns:NAME:PORT (all addresses of a name).",
            valueName: "where"))
    var replicas: String?

    @Option(help: "The address to listen on. (default: 127.0.0.1)")
    var host: String?

    @Option(help: "The port for gateways and KEDA, gRPC without TLS. (default: 9002)")
    var port: Int?

    @Option(help: "The port for the router's own state and metrics, HTTP. (default: 9003)")
    var statusPort: Int?

    @Option(
        help: ArgumentHelp(
            "A file that lists the replicas for Envoy, renamed into place whenever they change; its folder is what Envoy watches. (default: none)",
            valueName: "file"))
    var endpointFile: String?

    @Option(
        help: ArgumentHelp(
            "Where the other routers' status ports are, in the words of --replicas; their waiting requests count when KEDA asks. (default: none)",
            valueName: "where"))
    var peers: String?

    @Option(
        help:
            "Seconds that a request is held while no replica can answer, before it gets 503. (default: 120)"
    )
    var holdSeconds: Int?

    @Option(help: "Requests that may be held, in all. (default: 1000)")
    var holdRequests: Int?

    @Option(help: "Requests that may be held of one tenant. (default: 250)")
    var holdRequestsPerTenant: Int?

    @Option(
        help: ArgumentHelp(
            "Bytes of their bodies, in all, such as 256MB. (default: 256MB)", valueName: "bytes"))
    var holdMemory: String?

    @Option(
        help:
            "Seconds without a request after which an autoscaler is told that no replica is needed. (default: 300)"
    )
    var idleSeconds: Int?

    @Option(
        help:
            "Milliseconds that a replica without the adapter must save to be preferred to one that has it. (default: 250)"
    )
    var spill: Int?

    @Option(help: "trace, debug, info, notice, warning, error or critical. (default: info)")
    var logLevel: String?

    @Option(help: "text or json: how a log line is written. (default: text)")
    var logFormat: String?

    @Option(
        help: ArgumentHelp(
            "A YAML file with options by these names; the command line and MARTLET_* variables win.",
            valueName: "file"))
    var config: String?

    func run() async throws {
        let settings = try Settings(file: config, options: Route.optionNames)
        let logger = try ServerLog.start(settings, level: logLevel, format: logFormat)
        let metrics = PrometheusMetrics(help: MetricHelp.texts)
        MetricsSystem.bootstrap(metrics)
        OpenFiles.raiseLimit()
        ProcessSignals.ignoreHangUp()

        var router = RouterService.Configuration()
        router.host = host ?? settings.string("host") ?? router.host
        router.port = try settings.integer("port", port, in: 1...65535) ?? router.port
        router.statusPort =
            try settings.integer("status-port", statusPort, in: 1...65535) ?? router.statusPort
        guard let place = replicas ?? settings.string("replicas") else {
            throw ValidationError(
                "--replicas says where the replicas are, such as --replicas 10.0.0.1:8080,10.0.0.2:8080, file:PATH or dns:NAME:PORT."
            )
        }
        router.discovery = try Route.discovery("--replicas", place)
        if let place = peers ?? settings.string("peers") {
            router.peers = try Route.discovery("--peers", place)
        }
        router.endpointFile = endpointFile ?? settings.string("endpoint-file")
        router.replicaKey = ProcessInfo.processInfo.environment["MARTLET_ADMIN_KEY"]

        var limits = RouterCore.Limits()
        let longest = 0...86_400
        limits.holdSeconds = Double(
            try settings.integer("hold-seconds", holdSeconds, in: longest) ?? 120)
        limits.idleSeconds = Double(
            try settings.integer("idle-seconds", idleSeconds, in: longest) ?? 300)
        let most = 0...1_000_000
        limits.room.count = try settings.integer("hold-requests", holdRequests, in: most) ?? 1000
        limits.room.tenantCount =
            try settings.integer("hold-requests-per-tenant", holdRequestsPerTenant, in: most)
            ?? 250
        if let text = holdMemory ?? settings.string("hold-memory") {
            guard let bytes = ByteCount.parse(text) else {
                throw ValidationError(
                    "--hold-memory is \"\(text)\"; write a size such as 256MB or 1GiB.")
            }
            limits.room.byteCount = bytes
        }
        var rules = PlacementRules()
        if let milliseconds = try settings.integer("spill", spill, in: 0...60_000) {
            rules.spill = Double(milliseconds) / 1000
        }
        if router.endpointFile != nil { rules.settle = 0.4 }

        let service = RouterService(
            configuration: router, core: RouterCore(rules: rules, limits: limits),
            metrics: metrics, logger: logger)
        var group = ServiceGroupConfiguration(
            services: [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(10)
        let lastResort = LastResort(limit: .seconds(15), logger: logger)
        defer { lastResort.cancel() }
        try await ServiceGroup(configuration: group).run()
        logger.info("stopped")
    }

    private static func discovery(_ option: String, _ text: String) throws -> Discovery {
        do {
            return try Discovery(text)
        } catch {
            throw ValidationError(
                "\(option): \(error). Write HOST:PORT,HOST:PORT, file:PATH or dns:NAME:PORT.")
        }
    }
}
