internal import AdapterStore
internal import Engine
internal import Foundation
internal import Generation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import OpenAIWire
internal import ServiceLifecycle
internal import Telemetry

/// `GET /health`, `/ready` and `/metrics`.
struct OperationRoutes {
    let generator: TextGenerator
    let registry: ModelRegistry
    let metrics: PrometheusMetrics
    let version: String
    let identity: ReplicaIdentity
    let hasKeys: Bool

    func add(to router: Router<APIContext>) {
        router.get("health") { _, _ -> Response in Response(json: ["status": "ok"]) }
        // The second is Takeoff's, and what many probes look for.
        for path in ["ready", "healthz"] {
            router.get(RouterPath(path)) { _, _ -> Response in try ready() }
        }
        let description = APIDescription.document(version: version).text()
        router.get("openapi.json") { _, _ -> Response in Response(jsonText: description) }
        router.get("version") { _, _ -> Response in
            Response(json: ["version": .string(version), "keys": .bool(hasKeys)])
        }
    }

    private func ready() throws(APIError) -> Response {
        guard !Task.isShuttingDownGracefully, !identity.isDraining else {
            throw APIError(
                status: 503, type: "server_error", code: "shutting_down",
                message: "The server is shutting down.")
        }
        return Response(json: ["status": "ready"])
    }

    /// Metrics name models, which are not for everybody where there are keys.
    func addMetrics(to group: RouterGroup<APIContext>) {
        group.get("metrics") { _, _ -> Response in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        }
    }

    private var text: String {
        let build = [("version", version), ("base", registry.baseNames[0])]
            .map { "\($0)=\"\(PrometheusMetrics.escaped($1))\"" }.joined(separator: ",")
        let label = "martlet_build_info"
        return metrics.text()
            + PrometheusMetrics.header(label, "gauge", MetricHelp.texts[label])
            + "\(label){\(build)} 1\n"
            + VLLMMetrics(engine: generator.engine, registry: registry).text()
            + ProcessMetrics.text()
    }
}
