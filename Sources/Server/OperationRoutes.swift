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
    let metrics: PrometheusMetrics
    let version: String

    func add(to router: Router<APIContext>) {
        router.get("health") { _, _ -> Response in Response(json: ["status": "ok"]) }
        router.get("ready") { _, _ -> Response in
            guard !Task.isShuttingDownGracefully else {
                throw APIError(
                    status: 503, type: "server_error", code: "shutting_down",
                    message: "The server is shutting down.")
            }
            return Response(json: ["status": "ready"])
        }
        router.get("version") { _, _ -> Response in Response(json: ["version": .string(version)]) }
        router.get("metrics") { _, _ -> Response in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.text() + adapterInfo)))
        }
    }

    /// vLLM's gauge that routers read to send requests where an adapter already runs.
    private var adapterInfo: String {
        let status = generator.engine.status
        func names(_ names: [String]) -> String {
            PrometheusMetrics.escaped(names.joined(separator: ","))
        }
        let labels = [
            "max_lora=\"\(generator.registry.library.count)\"",
            "running_lora_adapters=\"\(names(status.runningAdapters))\"",
            "waiting_lora_adapters=\"\(names(status.waitingAdapters))\"",
        ]
        return "# TYPE vllm:lora_requests_info gauge\n"
            + "vllm:lora_requests_info{\(labels.joined(separator: ","))} \(Date().timeIntervalSince1970)\n"
    }
}
