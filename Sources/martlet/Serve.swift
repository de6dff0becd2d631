import AdapterSources
import AdapterStore
import Adapters
import ArgumentParser
import Foundation
import Generation
import Logging
import Metrics
import Server
import ServiceLifecycle
import Telemetry
import Tensors
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serves a model and its adapters over an OpenAI-compatible API.",
        discussion: """
            Adapters are models of their own: name one in a request's `model`. Everything else has a \
            sensible default.

            Example:
              martlet serve --model SmolLM2-135M-Instruct --adapters Examples/adapters
              curl localhost:8080/v1/chat/completions \\
                -H 'Content-Type: application/json' \\
                -d '{"model": "pirate", "messages":
                     [{"role": "user", "content": "What is rain?"}]}'
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: "The address to listen on. (default: 127.0.0.1)")
    var host: String?

    @Option(help: "The port to listen on; 0 picks a free one. (default: 8080)")
    var port: Int?

    @Option(
        help: ArgumentHelp(
            "The base model's name in requests; may be repeated. (default: the folder's name)",
            valueName: "name"))
    var servedModelName: [String] = []

    @OptionGroup(title: "Tenants") var tenants: TenantOptions
    @OptionGroup(title: "Tracing") var tracing: TracingOptions

    @Option(
        help: ArgumentHelp(
            "A folder that adapters may be read from; may be repeated. (default: any)",
            valueName: "folder"))
    var adapterRoot: [String] = []

    @Option(
        help: ArgumentHelp(
            "A host that https sources of adapters may be on, such as models.example.com or *.example.com; may be repeated.",
            valueName: "host"))
    var sourceHost: [String] = []

    @Option(
        help: ArgumentHelp(
            "A host of sources that may be on this machine or in its private network; may be repeated.",
            valueName: "host"))
    var localSourceHost: [String] = []

    @Flag(help: "Allow sources over plain http.")
    var plainHttpSources = false

    @Option(
        help: ArgumentHelp(
            "Requests may name sources that begin like this as their model, such as hf:acme/; may be repeated.",
            valueName: "prefix"))
    var justInTime: [String] = []

    @Option(
        help:
            "Requests that may wait beyond those that run, before the server answers 429. (default: 1024)"
    )
    var maxWaiting: Int?

    @Option(
        help: ArgumentHelp(
            "Seconds within which the first token of a request must come: where it cannot, as far as that can be told, the server answers 429 at once. (default: wait)",
            valueName: "seconds"))
    var maxQueueDelay: Double?

    @Option(
        help: "Seconds that requests get to finish when the server is told to stop. (default: 30)")
    var drainTimeout: Int?

    @Option(
        help:
            "Seconds that routers and load balancers get to learn of a stop before the server stops listening. (default: 1 while a router follows it, else 0)"
    )
    var drainDelay: Int?

    @Option(
        help: ArgumentHelp(
            "What answers call this replica in x-martlet-replica. (default: the machine's name and the port)",
            valueName: "name"))
    var replicaName: String?

    @Option(
        help: ArgumentHelp(
            "The origin whose pages may call the server from a browser, such as https://chat.example.com, or *. (default: none)",
            valueName: "origin"))
    var corsOrigin: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical. (default: info)")
    var logLevel: String?

    @Option(help: "text or json: how a log line is written. (default: text)")
    var logFormat: String?

    func run() async throws {
        let settings = try Settings(file: model.config)
        let logger = try ServerLog.start(settings, level: logLevel, format: logFormat)
        let metrics = PrometheusMetrics(help: MetricHelp.texts)
        ProcessMetrics.begin()
        MetricsSystem.bootstrap(metrics)

        var server = APIServer.Configuration()
        server.host = host ?? settings.string("host") ?? server.host
        server.port = try settings.integer("port", port, in: 0...65535) ?? server.port
        server.version = Martlet.version
        server.allowedOrigin = corsOrigin ?? settings.string("cors-origin")
        server.opensMetrics = tenants.openMetrics || settings.string("open-metrics") == "true"
        server.prefixSharing = try tenants.sharing(settings)
        let keyFile = tenants.apiKeyFile ?? settings.string("api-key-file")
        var tenancy = try tenants.tenancy(settings, keyFile: keyFile, logger)
        let waiting = try settings.integer("max-waiting", maxWaiting, in: 0...1_000_000) ?? 1024
        let drain = try settings.integer("drain-timeout", drainTimeout, in: 0...86_400) ?? 30

        let queueDelay =
            maxQueueDelay ?? settings.string("max-queue-delay").map { Double($0) ?? -1 }
        if let queueDelay, !(0...86_400).contains(queueDelay) {
            throw ValidationError("--max-queue-delay takes seconds, such as 6 or 2.5.")
        }
        server.maximumQueueDelay = queueDelay
        let delay = try settings.integer("drain-delay", drainDelay, in: 0...3600)
        let identity = ReplicaIdentity(
            name: replicaName ?? settings.string("replica-name")
                ?? "\(ProcessInfo.processInfo.hostName):\(server.port)",
            release: Martlet.version)
        server.identity = identity
        tenancy.spans = try tracing.exporter(settings, replica: identity.name, logger)
        server.tenancy = tenancy

        var modelSettings = try ModelSettings(model, settings)
        OpenFiles.raiseLimit()
        ProcessSignals.ignoreHangUp()
        try await APIServer.checkAddress(server)
        let policy = try sourcePolicy(settings, modelSettings)
        try await modelSettings.fetchModel(policy, Progress(), logger)
        logger.info("loading", metadata: ["model": .string(modelSettings.modelPath)])
        let assembly = try await Assembly(
            modelSettings,
            modelNames: servedModelName.isEmpty
                ? settings.strings("served-model-name") : servedModelName,
            maximumWaiting: waiting, policy: policy,
            justInTime: justInTime.isEmpty ? settings.strings("just-in-time") : justInTime,
            progress: Progress()
        ) { news in
            switch news {
            case .hashing(let path):
                logger.info(
                    "hashing the model, once, so that its packs are told from others'",
                    metadata: ["model": .string(path)])
            case .refused(let name, let reason):
                logger.warning(
                    "adapter refused",
                    metadata: ["adapter": .string(name), "reason": .string(reason)])
            case .notStored(let reason):
                logger.error(
                    "the disk cache is full: adapters are served, and not stored",
                    metadata: ["reason": .string(reason)])
            }
        }
        logger.info("\(assembly.summary)")
        let host = server.host
        let base = assembly.registry.baseNames[0]
        let api = APIServer(
            configuration: server, generator: assembly.generator, registry: assembly.registry,
            metrics: metrics, logger: logger
        )
        .service { port in
            logger.info("listening on http://\(host):\(port), for browsers too")
            logger.info("try", metadata: ["command": .string(Serve.example(host, port, base))])
        }
        let keeper = TenantKeeper(tenancy: tenancy, logger: logger)
        // Services stop in reverse: first the server drains, then the engine ends.
        var group = ServiceGroupConfiguration(
            services: [
                // When its device fails, answers that say so still go out.
                .init(
                    service: assembly.engine,
                    failureTerminationBehavior: .gracefullyShutdownGroup),
                .init(
                    service: LibraryKeeper(
                        library: assembly.library, watched: modelSettings.watchedFolders,
                        logger: logger)),
                .init(
                    service: KeyReloader(
                        tenancy: tenancy, file: keyFile, logger: logger)),
                .init(service: keeper),
                // What requests leave during the drain goes out too.
                .init(service: OptionalService(inner: tenancy.spans)),
                .init(
                    service: Draining(
                        server: api, engine: assembly.engine, library: assembly.library,
                        deadline: .seconds(drain))),
                .init(
                    service: Announcing(identity: identity, delay: delay.map { .seconds($0) })),
            ], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger)
        // After the drain, answers that were cut off say so.
        let longest = drain + (delay ?? 1)
        group.maximumGracefulShutdownDuration = .seconds(longest + 5)
        let lastResort = LastResort(limit: .seconds(longest + 15), logger: logger)
        defer { lastResort.cancel() }
        defer { keeper.keep() }
        try await ServiceGroup(configuration: group).run()
        logger.info("stopped")
    }

    private static func example(_ host: String, _ port: Int, _ model: String) -> String {
        let host = ["127.0.0.1", "0.0.0.0", "::"].contains(host) ? "localhost" : host
        return """
            curl \(host):\(port)/v1/completions -H 'Content-Type: application/json' \
            -d '{"model": "\(model)", "prompt": "Rain is", "max_tokens": 16}'
            """
    }

    /// Where adapters may come from. Credentials come from the environment variables that the Hub's and
    /// Amazon's own tools read.
    private func sourcePolicy(
        _ settings: Settings, _ model: ModelSettings
    ) throws -> SourcePolicy {
        let environment = ProcessInfo.processInfo.environment
        func list(_ flags: [String], _ name: String) -> [String] {
            flags.isEmpty ? settings.strings(name) : flags
        }
        var policy = SourcePolicy()
        policy.allowedRoots = list(adapterRoot, "adapter-root").map {
            URL(fileURLWithPath: $0).standardizedFileURL.path
        }
        if !policy.allowedRoots.isEmpty {
            // What the command line names is allowed by that.
            policy.allowedRoots += model.watchedFolders
            for case .path(let path) in model.adapters.map(\.source) {
                policy.allowedRoots.append(path)
            }
        }
        policy.allowedHosts = try list(sourceHost, "source-host").map { try HostPattern($0) }
        policy.localHosts = try list(localSourceHost, "local-source-host").map {
            try HostPattern($0)
        }
        policy.allowsPlainHTTP = plainHttpSources || settings.string("plain-http-sources") == "true"
        policy.hub = try HubAccess(environment)
        if let region = environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"] {
            var access = S3Access(region: region)
            access.endpoint = try environment["AWS_ENDPOINT_URL"].map { try WebAddress($0) }
            if let key = environment["AWS_ACCESS_KEY_ID"],
                let secret = environment["AWS_SECRET_ACCESS_KEY"]
            {
                access.credentials = S3Credentials(
                    accessKey: key, secretKey: Secret(secret),
                    sessionToken: environment["AWS_SESSION_TOKEN"].map { Secret($0) })
            }
            policy.s3 = access
        }
        return policy
    }
}
