import HTTPTypes
import JSONTree
import Testing

/// Several adapters in one request, from the wire to the answer.
struct MixTests {
    private func chat(_ more: String, model: String = "base") -> String {
        #"{"model":"\#(model)","messages":[{"role":"user","content":"hello"}],"temperature":0,"max_tokens":8,"ignore_eos":true\#(more)}"#
    }

    private func text(_ answer: TinyServer.Answer) -> String {
        answer.json["choices"]?.arrayValue?.first?["message"]?["content"]?.stringValue
            ?? answer.text
    }

    @Test func otherAPIsTakeSumsToo() async throws {
        try await TinyServer.run(adapters: ["plain", "all-linear"]) { server in
            let two = #""adapters":[{"name":"plain","scale":3},{"name":"all-linear","scale":2}]"#
            func texts(_ more: String) async throws -> [String] {
                let turn = #""messages":[{"role":"user","content":"hello"}],"max_tokens":8"#
                let start = #"{"model":"base","temperature":0"#
                let chat = try await server.post("/v1/chat/completions", "\(start),\(turn)\(more)}")
                let messages = try await server.post("/v1/messages", "\(start),\(turn)\(more)}")
                let responses = try await server.post(
                    "/v1/responses", #"\#(start),"input":"hello","max_output_tokens":8\#(more)}"#)
                return [
                    text(chat),
                    messages.json["content"]?.arrayValue?.first?["text"]?.stringValue
                        ?? messages.text,
                    responses.json["output"]?.arrayValue?.first?["content"]?.arrayValue?.first?[
                        "text"]?
                        .stringValue ?? responses.text,
                ]
            }
            let (base, mixed) = (try await texts(""), try await texts("," + two))
            #expect(Set(base).count == 1 && Set(mixed).count == 1 && base != mixed)
            #expect(try await texts(#","priority":3,"cache_salt":"x""#) == base)
            let counted = try await server.post(
                "/v1/messages/count_tokens",
                #"{"model":"base","messages":[{"role":"user","content":"hello"}],\#(two)}"#)
            #expect(counted.status == 200 && counted.json["input_tokens"]?.integerValue == 8)
            let unknown = try await server.post(
                "/v1/messages",
                #"{"model":"base","max_tokens":1,"messages":[{"role":"user","content":"a"}],"adapters":[{"name":"nobody"}]}"#
            )
            #expect(unknown.status == 404)
        }
    }

    @Test func requestsNameSumsOfAdapters() async throws {
        try await TinyServer.run(adapters: ["plain", "all-linear", "rslora"]) { server in
            func answer(_ more: String, model: String = "base") async throws -> String {
                text(try await server.post("/v1/chat/completions", chat(more, model: model)))
            }
            let two = #","adapters":[{"name":"plain","scale":3},{"name":"all-linear","scale":2}]"#
            let base = try await answer("")
            let mixed = try await answer(two)
            #expect(mixed != base)
            let swapped =
                #","adapters":[{"name":"all-linear","scale":2},{"scale":3,"name":"plain"}]"#
            #expect(try await answer(swapped) == mixed)
            let llama = #","lora":[{"id":"plain","scale":3},{"id":"all-linear","scale":2}]"#
            #expect(try await answer(llama) == mixed)
            #expect(try await answer(#","adapters":[]"#) == base)
            #expect(try await answer(#","adapters":[{"name":"plain","scale":0}]"#) == base)
            let one = try await answer("", model: "plain")
            #expect(try await answer(#","adapters":[{"name":"plain"}]"#) == one)
            #expect(try await answer(#","lora":null"#, model: "plain") == one)
            // Eight at the same time say what each says alone.
            let mixes = (0..<8).map {
                #","adapters":[{"name":"plain","scale":\#($0)},{"name":"rslora","scale":\#(8 - $0)}]"#
            }
            var alone: [String] = []
            for mix in mixes { alone.append(try await answer(mix)) }
            #expect(Set(alone).count > 4)
            let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for (index, mix) in mixes.enumerated() {
                    group.addTask { (index, try await answer(mix)) }
                }
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            #expect((0..<8).map { together[$0] } == alone)
            let completion = try await server.post(
                "/v1/completions",
                #"{"model":"base","prompt":"hi","max_tokens":2,"adapters":[{"name":"plain"}]}"#)
            #expect(completion.status == 200)
            let metrics = try await server.send(.get, "/metrics").text
            #expect(!metrics.contains("mix"))
        }
    }

    @Test func whatIsNoMixIsRefused() async throws {
        let cases: [(body: String, model: String, code: String, parameter: String)] = [
            (#","adapters":{}"#, "base", "invalid_value", "adapters"),
            (#","adapters":[{"scale":1}]"#, "base", "invalid_value", "adapters[0].name"),
            (
                #","adapters":[{"name":"plain"},{"name":"plain"}]"#, "base", "invalid_value",
                "adapters[1]"
            ),
            (
                #","adapters":[{"name":"plain","scale":1e9}]"#, "base", "invalid_value",
                "adapters[0].scale"
            ),
            (
                #","adapters":[{"name":"plain","weight":1}]"#, "base", "unsupported_parameter",
                "adapters[0].weight"
            ),
            (#","lora":[{"id":0,"scale":1}]"#, "base", "invalid_value", "lora[0].id"),
            (
                #","lora":[{"id":"plain"}],"adapters":[{"name":"plain"}]"#, "base",
                "invalid_value", "lora"
            ),
            (#","adapters":[{"name":"plain"}]"#, "plain", "invalid_value", "model"),
            (#","adapters":[{"name":"base"}]"#, "base", "invalid_value", "model"),
            (#","adapters":[{"name":"nobody"}]"#, "base", "model_not_found", "model"),
            (
                #","adapters":[{"name":"plain"},{"name":"dora"}]"#, "base",
                "adapter_cannot_be_mixed", "model"
            ),
        ]
        try await TinyServer.run { server in
            for (body, model, code, parameter) in cases {
                let answer = try await server.post(
                    "/v1/chat/completions", chat(body, model: model))
                #expect(answer.code == code, "\(body): \(answer.text)")
                #expect(answer.json["error"]?["param"]?.stringValue == parameter, "\(body)")
            }
        }
    }

    @Test func aMixCanHaveAName() async throws {
        try await TinyServer.run(adapters: ["plain", "all-linear"], hasKeys: true) { server in
            func load(_ name: String, _ recipe: String) async throws -> TinyServer.Answer {
                try await server.post(
                    "/v1/load_lora_adapter",
                    #"{"lora_name":"\#(name)","lora_path":"mix:\#(recipe)"}"#)
            }
            #expect(try await load("both", "plain=3,all-linear=2").status == 200)
            let named = text(try await server.post("/v1/chat/completions", chat("", model: "both")))
            let parts = #","adapters":[{"name":"plain","scale":3},{"name":"all-linear","scale":2}]"#
            let sent = text(try await server.post("/v1/chat/completions", chat(parts)))
            #expect(named == sent)
            // It may be a part of a request's mix, but not of another one's recipe.
            let more = #","adapters":[{"name":"both","scale":0.5}]"#
            #expect(try await server.post("/v1/chat/completions", chat(more)).status == 200)
            #expect(try await load("third", "both=1").code == "adapter_cannot_be_mixed")
            #expect(try await load("bad", "plain").code == "malformed_source")
            #expect(try await load("bad", "plain=1,plain=2").code == "malformed_source")
            #expect(try await load("bad", "plain=nan").code == "malformed_source")
            #expect(try await load("bad", "nobody=1").code == "adapter_not_found")
        }
    }
}
