import Adapters
import ArgumentParser
import Foundation
import Generation
import Logging
import Metrics
import Server
import ServiceLifecycle
import Telemetry
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serves a model and its adapters over an OpenAI-compatible API.",
        discussion: """
            Adapters are models of their own: name one in a request's `model`. Everything else has a \
            sensible default.

            Example:
              martlet serve --model SmolLM2-135M-Instruct --adapters Examples/adapters
              curl localhost:8080/v1/chat/completions -H 'Content-Type: application/json' \\
                -d '{"model": "pirate", "messages": [{"role": "user", "content": "What is rain?"}]}'
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

    @Option(
        help: ArgumentHelp(
            "API keys, one \"name: key\" a line; the name admin may load and unload adapters. Without it the API is open.",
            valueName: "file"))
    var apiKeyFile: String?

    @Option(
        help: ArgumentHelp(
            "A folder that /v1/load_lora_adapter may load from; may be repeated. (default: any)",
            valueName: "folder"))
    var adapterRoot: [String] = []

    @Option(
        help:
            "Requests that may wait beyond those that run, before the server answers 429. (default: 1024)"
    )
    var maxWaiting: Int?

    @Option(
        help: "Seconds that requests get to finish when the server is told to stop. (default: 30)")
    var drainTimeout: Int?

    @Option(help: "trace, debug, info, notice, warning, error or critical. (default: info)")
    var logLevel: String?

    func run() async throws {
        let settings = try await Settings(file: model.config)
        let levelName = logLevel ?? settings.string("log-level") ?? "info"
        guard let level = Logger.Level(rawValue: levelName) else {
            throw ValidationError("--log-level is \"\(levelName)\".")
        }
        LoggingSystem.bootstrap { LineLogHandler(label: $0, level: level) }
        let logger = Logger(label: "martlet")
        let metrics = PrometheusMetrics()
        MetricsSystem.bootstrap(metrics)

        var server = APIServer.Configuration()
        server.host = host ?? settings.string("host") ?? server.host
        server.port = try port ?? settings.integer("port") ?? server.port
        guard (0...65535).contains(server.port) else {
            throw ValidationError("--port is \(server.port).")
        }
        server.adapterRoots = adapterRoot.isEmpty ? settings.strings("adapter-root") : adapterRoot
        server.version = Martlet.version
        if let file = apiKeyFile ?? settings.string("api-key-file") {
            server.keys = try APIKeys(text: try String(contentsOfFile: file, encoding: .utf8))
        }
        let waiting = try maxWaiting ?? settings.integer("max-waiting") ?? 1024
        guard (0...1_000_000).contains(waiting) else {
            throw ValidationError("--max-waiting is \(waiting).")
        }
        let drain = try drainTimeout ?? settings.integer("drain-timeout") ?? 30
        guard (0...86_400).contains(drain) else {
            throw ValidationError("--drain-timeout is \(drain).")
        }

        let assembly = try Assembly(
            try ModelSettings(model, settings),
            modelNames: servedModelName.isEmpty
                ? settings.strings("served-model-name") : servedModelName,
            maximumWaiting: waiting, progress: Progress())
        logger.info("\(assembly.summary)")
        for entry in assembly.generator.registry.adapters {
            logger.debug(
                "adapter",
                metadata: [
                    "adapter": .string(entry.name), "digest": "\(entry.adapter.digest.short)",
                ])
        }
        let host = server.host
        let api = APIServer(
            configuration: server, generator: assembly.generator, metrics: metrics, logger: logger
        )
        .service { port in logger.info("listening on http://\(host):\(port)") }
        // Services stop in reverse: first the server drains, then the engine ends.
        var group = ServiceGroupConfiguration(
            services: [assembly.engine, api], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(drain)
        group.maximumCancellationDuration = .seconds(10)
        try await ServiceGroup(configuration: group).run()
        logger.info("stopped")
    }
}
