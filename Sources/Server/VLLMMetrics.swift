internal import AdapterStore
internal import Adapters
internal import Engine
internal import Foundation
internal import Generation
internal import Telemetry

/// The metrics that routers for vLLM schedule by, under its names and with its meanings
/// (https://docs.vllm.ai/en/latest/usage/metrics/, and for what is loaded
/// https://github.com/vllm-project/vllm/pull/54830).
struct VLLMMetrics {
    let engine: InferenceEngine
    let registry: ModelRegistry

    /// Adapters with a series of their own; the counts have all.
    private static let adapterLimit = 5000

    func text() -> String {
        let status = engine.status
        let model = "model_name=\"\(escaped(registry.baseNames[0]))\""
        let used =
            status.blockCount == 0
            ? 0 : 1 - Double(status.freeBlockCount) / Double(status.blockCount)
        return gauge("vllm:num_requests_running", [(model, Double(status.runningCount))])
            + gauge("vllm:num_requests_waiting", [(model, Double(status.waitingCount))])
            + gauge("vllm:kv_cache_usage_perc", [(model, used)])
            + gauge(
                "vllm:cache_config_info",
                [
                    (
                        "block_size=\"\(EngineLimits.blockPositions)\",num_gpu_blocks=\"\(status.blockCount)\"",
                        1
                    )
                ]) + requests(status) + loaded(status)
    }

    /// Adapters that run and wait: vLLM gives both lists the same adapters, Martlet each its own.
    private func requests(_ status: EngineStatus) -> String {
        func names(_ names: [String]) -> String { escaped(names.joined(separator: ",")) }
        let labels = [
            "max_lora=\"\(registry.library.count)\"",
            "running_lora_adapters=\"\(names(status.runningAdapters))\"",
            "waiting_lora_adapters=\"\(names(status.waitingAdapters))\"",
        ]
        return gauge(
            "vllm:lora_requests_info",
            [(labels.joined(separator: ","), Date().timeIntervalSince1970)])
    }

    /// Adapters by where they are. `gpu` is what a step can use at once, which without
    /// `--device-memory` is all of RAM.
    private func loaded(_ status: EngineStatus) -> String {
        let library = registry.library
        let standings = library.standings(of: library.residents).filter { $0.tier == .host }
        let hasDevice = engine.limits.deviceMemory != nil
        let onDevice = standings.filter {
            !hasDevice || status.deviceAdapters.contains($0.digest)
        }
        func series(_ standings: [AdapterStanding], _ level: String) -> [(String, Double)] {
            standings.flatMap { standing in
                standing.names.prefix(10).map { name in
                    (
                        "adapter_name=\"\(escaped(name))\",level=\"\(level)\",pinned=\"\(standing.isPinned)\",rank=\"\(standing.rank)\"",
                        1.0
                    )
                }
            }
        }
        let all = series(onDevice, "gpu") + series(standings, "cpu")
        return gauge("vllm:lora_adapter_loaded", all.prefix(2 * VLLMMetrics.adapterLimit))
            + gauge("vllm:num_gpu_loaded_lora_adapters", [("", Double(onDevice.count))])
            + gauge("vllm:num_cpu_loaded_lora_adapters", [("", Double(standings.count))])
    }

    private func escaped(_ text: String) -> String { PrometheusMetrics.escaped(text) }

    /// - Parameter series: labels and values.
    private func gauge(_ name: String, _ series: some Sequence<(String, Double)>) -> String {
        PrometheusMetrics.header(name, "gauge", MetricHelp.texts[name])
            + series.map { labels, value in
                labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
            }.joined()
    }
}
