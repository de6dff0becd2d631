package import Generation
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
package import Logging
internal import NIOCore
internal import OpenAIWire
package import ServiceLifecycle
package import Telemetry

/// The HTTP face: routes, keys, errors, limits.
package struct APIServer {
    /// Where to listen and who may come in.
    package struct Configuration: Sendable {
        package var host = "127.0.0.1"
        package var port = 8080
        package var keys: APIKeys?
        package var maximumConnections = 4096
        package var version = ""

        package init() {}
    }

    private let configuration: Configuration
    private let generator: TextGenerator
    private let metrics: PrometheusMetrics
    private let logger: Logger

    package init(
        configuration: Configuration, generator: TextGenerator, metrics: PrometheusMetrics,
        logger: Logger
    ) {
        self.configuration = configuration
        self.generator = generator
        self.metrics = metrics
        self.logger = logger
    }

    /// The server as a service. It drains when the service group shuts down: it stops listening,
    /// lets its requests finish, and returns.
    ///
    /// - Parameter onReady: told the port once it listens.
    package func service(onReady: @escaping @Sendable (Int) -> Void) -> some Service {
        let (configuration, logger) = (configuration, logger)
        return Application(
            router: router(),
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [ConnectionWatch()], idleTimeout: .seconds(120),
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 64 << 10,
                        maxHeaderFieldCount: 100))),
            configuration: .init(
                address: .hostname(configuration.host, port: configuration.port),
                serverName: "martlet",
                backlog: 1024, reuseAddress: true,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    configuration.maximumConnections, logger: logger)),
            onServerRunning: { channel in onReady(channel.localAddress?.port ?? configuration.port)
            },
            logger: logger)
    }

    private func router() -> Router<APIContext> {
        let router = Router(context: APIContext.self)
        router.add(middleware: ErrorMiddleware())
        OperationRoutes(generator: generator, metrics: metrics, version: configuration.version).add(
            to: router)
        let open = router.group("v1").add(middleware: Authentication(keys: configuration.keys))
        let texts = TextQueue()
        CompletionRoutes(generator: generator, texts: texts).add(to: open)
        let models = ModelRoutes(generator: generator, texts: texts)
        models.add(to: open)
        let closed = router.group("v1").add(middleware: Authentication(keys: configuration.keys))
            .add(middleware: AdminOnly())
        models.addAdministration(to: closed)
        let admin = router.group("admin").add(middleware: Authentication(keys: configuration.keys))
            .add(middleware: AdminOnly())
        AdapterRoutes(registry: generator.registry, texts: texts).add(to: admin)
        refuseOtherMethods(router)
        return router
    }

    /// A known path with the wrong method says which method it wants.
    private func refuseOtherMethods(_ router: Router<APIContext>) {
        let methods: [HTTPRequest.Method] = [.get, .post, .put, .patch, .delete]
        let routes: [(String, HTTPRequest.Method)] = [
            ("v1/chat/completions", .post), ("v1/completions", .post), ("v1/models", .get),
            ("v1/load_lora_adapter", .post), ("v1/unload_lora_adapter", .post), ("health", .get),
            ("ready", .get), ("metrics", .get), ("admin/adapters", .get), ("admin/tiers", .get),
            ("admin/events", .get),
        ]
        for (path, allowed) in routes {
            for method in methods where method != allowed {
                router.on(RouterPath(path), method: method) { _, _ -> Response in
                    var response = APIError(
                        status: 405, code: "method_not_allowed",
                        message: "This route takes \(allowed.rawValue) only."
                    ).response
                    response.headers[.allow] = allowed.rawValue
                    return response
                }
            }
        }
    }
}
