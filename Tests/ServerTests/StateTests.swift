import HTTPTypes
import JSONTree
import Placement
import Testing

/// What a server tells routers.
struct StateTests {
    static func report(_ server: TinyServer, _ query: String = "") async throws -> ReplicaReport {
        try ReplicaReport(try await server.send(.get, "/admin/state" + query).json)
    }

    @Test func itCountsWhatRequestsDo() async throws {
        try await TinyServer.run { server in
            let before = try await Self.report(server)
            #expect(before.isWhole && before.base == ["base"] && before.slotCount == 8)
            #expect(!before.isDraining && before.hostBudget > 0)
            let ask = #"{"model":"plain","prompt":"a b","max_tokens":3,"ignore_eos":true}"#
            var tiers: [String?] = []
            for _ in 0..<3 {
                let answer = try await server.post("/v1/completions", ask)
                tiers.append(
                    HTTPField.Name("x-martlet-adapter-tier").flatMap { answer.headers[$0] })
                let replica = HTTPField.Name("x-martlet-replica").flatMap { answer.headers[$0] }
                #expect(replica == "martlet")
                let timing = HTTPField.Name("server-timing").flatMap { answer.headers[$0] } ?? ""
                #expect(timing.contains("adapter;dur=") && timing.contains("total;dur="))
            }
            #expect(tiers == ["source", "host", "host"])
            let after = try await Self.report(
                server, "?since=\(before.version)&boot=\(before.boot)")
            #expect(!after.isWhole && after.version > before.version)
            let plain = after.adapters.first
            #expect(after.adapters.count == 1 && plain?.names == ["plain"] && plain?.tier == .host)
            #expect(plain?.requestCount == 3 && plain?.hits == [1, 0, 2, 0])
            #expect((plain?.tokenCount ?? 0) >= 9 && (plain?.busySeconds ?? 0) > 0)
            #expect(after.finishedCount == 3 && after.sourceLoads.count == 1)
            #expect(after.prefillRate > 0 && after.decodeRate > 0)
            let base = try await server.post(
                "/v1/completions", #"{"model":"base","prompt":"a","max_tokens":1}"#)
            #expect(
                HTTPField.Name("x-martlet-adapter-tier").map { base.headers[$0] == nil } == true)
        }
    }

    @Test func namesThatGoAreTold() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let ask = #"{"model":"plain","prompt":"a","max_tokens":1}"#
            #expect(try await server.post("/v1/completions", ask).status == 200)
            let before = try await Self.report(server)
            #expect(before.adapters.count == 1)
            #expect(try await server.send(.delete, "/admin/adapters/plain").status == 200)
            var gone: [String] = []
            for _ in 0..<200 where gone.isEmpty {
                let after = try await Self.report(
                    server, "?since=\(before.version)&boot=\(before.boot)")
                gone = after.removed
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(gone == before.adapters.map(\.digest))
        }
    }

    @Test func anotherLifesVersionsMeanNothing() async throws {
        try await TinyServer.run { server in
            let other = try await Self.report(server, "?since=0&boot=another")
            #expect(other.isWhole)
            for query in ["?since=x&boot=b", "?since=-1&boot=b", "?since=1", "?stream=maybe"] {
                let answer = try await server.send(.get, "/admin/state" + query)
                #expect(answer.status == 400 && answer.code == "invalid_value", "\(query)")
            }
        }
    }

    @Test func onlyTheAdminSeesIt() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let answer = try await server.send(.get, "/admin/state", key: TinyServer.userKey)
            #expect(answer.status == 403 && answer.code == "admin_key_required")
            #expect(try await server.send(.get, "/admin/state").status == 200)
        }
    }

    /// Bringing an adapter is no more than a request for it does; everything else needs a key.
    @Test func anOpenServerLetsRoutersWarm() async throws {
        try await TinyServer.run { server in
            #expect(try await server.send(.post, "/admin/adapters/plain/warm").status == 200)
            #expect(try await server.send(.post, "/admin/adapters/plain/pin").status == 403)
            let report = try await Self.report(server)
            #expect(report.adapters.first?.requestCount == 0)
        }
    }

    @Test func routersForVLLMFindWhatTheyRead() async throws {
        try await TinyServer.run { server in
            let ask = #"{"model":"plain","prompt":"a","max_tokens":1}"#
            #expect(try await server.post("/v1/completions", ask).status == 200)
            let text = try await server.send(.get, "/metrics").text
            for line in [
                "vllm:num_requests_running{model_name=\"base\"} 0.0",
                "vllm:num_requests_waiting{model_name=\"base\"} 0.0",
                "vllm:kv_cache_usage_perc{model_name=\"base\"} ",
                "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"64\"} 1.0",
                "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"} ",
                "vllm:lora_adapter_loaded{adapter_name=\"plain\",level=\"gpu\",pinned=\"false\",rank=\"",
                "vllm:lora_adapter_loaded{adapter_name=\"plain\",level=\"cpu\",pinned=\"false\",rank=\"",
                "vllm:num_gpu_loaded_lora_adapters 1.0", "vllm:num_cpu_loaded_lora_adapters 1.0",
            ] { #expect(text.contains("\n" + line), "\(line)") }
        }
    }
}
