package import Generation
internal import HTTPTypes
package import Hummingbird
internal import HummingbirdCore
package import Logging
internal import NIOCore
internal import NIOPosix
internal import OpenAIWire
internal import Page
internal import ServiceLifecycle
package import Telemetry

/// The HTTP face: routes, keys, errors, limits.
package struct APIServer {
    /// Where to listen and who may come in.
    package struct Configuration: Sendable {
        package var host = "127.0.0.1"
        package var port = 8080
        package var tenancy = Tenancy()
        /// Whether metrics, which name models, are for everybody where there are keys.
        package var opensMetrics = false
        package var prefixSharing = PrefixSharing.key
        /// Seconds that requests may wait for their first token, unless they say otherwise; nil for ever.
        package var maximumQueueDelay: Double?
        /// The origin whose pages may call the server from browsers, or `*`.
        package var allowedOrigin: String?
        package var maximumConnections = 4096
        package var version = ""
        /// Which replica this is, for routers.
        package var identity = ReplicaIdentity(name: "martlet", release: "")

        package init() {}
    }

    private let configuration: Configuration
    private let generator: TextGenerator
    private let registry: ModelRegistry
    private let metrics: PrometheusMetrics
    private let logger: Logger

    package init(
        configuration: Configuration, generator: TextGenerator, registry: ModelRegistry,
        metrics: PrometheusMetrics, logger: Logger
    ) {
        self.configuration = configuration
        self.generator = generator
        self.registry = registry
        self.metrics = metrics
        self.logger = logger
    }

    /// The server as a service. It drains when the service group shuts down: it stops listening,
    /// lets its requests finish, and returns.
    ///
    /// - Parameter onReady: told the port once it listens.
    package func service(
        onReady: @escaping @Sendable (Int) -> Void = { _ in }
    ) -> some ApplicationProtocol {
        let configuration = configuration
        // `onReady` says where it listens, better than Hummingbird does.
        var logger = logger
        logger.logLevel = max(logger.logLevel, .notice)
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
            onServerRunning: { [logger] channel in
                await channel.prepareForAccepting(logger)
                onReady(channel.localAddress?.port ?? configuration.port)
            },
            logger: logger)
    }

    private func router() -> Router<APIContext> {
        let router = openRouter()
        refuseOtherMethods(router)
        return router
    }

    private func openRouter() -> Router<APIContext> {
        let router = Router(context: APIContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: ErrorMiddleware(meters: configuration.tenancy.meters))
        if let origin = configuration.allowedOrigin {
            router.add(
                middleware: CORSMiddleware(
                    allowOrigin: origin == "*" ? .all : .custom(origin),
                    allowHeaders: [.contentType, .authorization],
                    allowMethods: [.get, .post, .put, .patch, .delete]))
        }
        let identity = configuration.identity
        let tenancy = configuration.tenancy
        let authentication = Authentication(tenancy: tenancy)
        let operation = OperationRoutes(
            generator: generator, registry: registry, metrics: metrics,
            version: configuration.version,
            identity: identity, hasKeys: tenancy.keys != nil)
        operation.add(to: router)
        PageRoutes().add(to: router)
        let seesMetrics = router.group("")
        if tenancy.keys != nil, !configuration.opensMetrics {
            seesMetrics.add(middleware: authentication).add(middleware: AdminOnly())
        }
        operation.addMetrics(to: seesMetrics)
        let texts = TextQueue()
        let models = ModelRoutes(
            registry: registry, contextLength: generator.contextLength, texts: texts)
        let open = router.group("v1").add(middleware: authentication)
        let completions = CompletionRoutes(
            generator: generator, registry: registry, texts: texts, identity: identity,
            tenancy: tenancy,
            prefixSharing: configuration.prefixSharing,
            maximumQueueDelay: configuration.maximumQueueDelay)
        completions.add(to: open)
        WireRoutes(completions: completions).add(to: open)
        EmbeddingRoutes(completions: completions).add(to: open)
        models.add(to: open)
        let plain = router.group("").add(middleware: authentication)
        TextRoutes(generator: generator, registry: registry, texts: texts).add(to: plain)
        TakeoffRoutes(completions: completions).add(to: plain)
        let managing = AdminOnly(letsManagersIn: true)
        let adapters = AdapterRoutes(registry: registry, texts: texts, tenancy: tenancy)
        models.addAdministration(
            adapters,
            to: router.group("v1").add(middleware: authentication).add(middleware: managing))
        adapters.addNames(
            to: router.group("admin").add(middleware: authentication).add(middleware: managing))
        let admin = router.group("admin").add(middleware: authentication)
            .add(middleware: AdminOnly())
        adapters.add(to: admin)
        KeyRoutes(tenancy: tenancy, texts: texts).add(to: admin)
        StateRoutes(
            state: ReplicaState(engine: generator.engine, registry: registry, identity: identity),
            identity: identity
        ).add(to: admin)
        return router
    }

    /// Methods and paths that the router answers, before other methods are refused.
    package var routes: [(method: String, path: String)] {
        openRouter().routes.map {
            ($0.method.rawValue, "/" + $0.path.description.drop { $0 == "/" })
        }
    }

    /// Methods and paths that `GET /openapi.json` describes.
    package static var describedRoutes: [(method: String, path: String)] {
        APIRoute.all.map { ($0.method.rawValue, $0.path) }
    }

    /// A known path with the wrong method says which method it wants.
    private func refuseOtherMethods(_ router: Router<APIContext>) {
        let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete]
        for (path, taken) in APIRoute.fixed {
            let allowed = taken.flatMap { $0 == .get ? [.get, .head] : [$0] }
            let names = taken.map(\.rawValue).joined(separator: " and ")
            let options = (allowed.map(\.rawValue) + ["OPTIONS"]).joined(separator: ", ")
            router.on(RouterPath(path), method: .options) { _, _ -> Response in
                Response(status: .noContent, headers: [.allow: options])
            }
            for method in methods where !allowed.contains(method) {
                router.on(RouterPath(path), method: method) { _, _ -> Response in
                    var response = APIError(
                        status: 405, code: "method_not_allowed",
                        message: "This route takes \(names) only."
                    ).response
                    response.headers[.allow] = options
                    return response
                }
            }
        }
    }

    /// Finds out whether the server will be able to listen, before anything slow begins.
    ///
    /// - Throws: `ListenError`.
    package static func checkAddress(_ configuration: Configuration) async throws {
        guard configuration.port != 0 else { return }
        do {
            let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .bind(host: configuration.host, port: configuration.port).get()
            try await channel.close()
        } catch {
            throw ListenError(host: configuration.host, port: configuration.port, reason: error)
        }
    }
}
