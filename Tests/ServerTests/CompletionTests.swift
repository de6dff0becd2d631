import HTTPTypes
import JSONTree
import Testing

/// What completions say, and which requests are refused by name.
struct CompletionTests {
    private static func events(_ text: String) -> [JSON] {
        text.split(separator: "\n").filter { $0.hasPrefix("data: {") }
            .compactMap { try? JSON(parsing: Array($0.dropFirst(6).utf8)) }
    }

    @Test func aStreamSaysWhatTheWholeAnswerSays() async throws {
        try await TinyServer.run { server in
            let body =
                #""model":"dora","prompt":"ab","max_tokens":8,"temperature":0,"ignore_eos":true"#
            let whole = try await server.post("/v1/completions", "{\(body)}")
            let stream = try await server.post(
                "/v1/completions",
                "{\(body),\"stream\":true,\"stream_options\":{\"include_usage\":true}}")
            #expect(stream.text.hasSuffix("data: [DONE]\n\n"))
            let events = Self.events(stream.text)
            let text = events.compactMap { $0["choices"]?.arrayValue?.first?["text"]?.stringValue }
            #expect(text.joined() == whole.json["choices"]?.arrayValue?[0]["text"]?.stringValue)
            #expect(events.last?["usage"]?["completion_tokens"] == 8)
        }
    }

    /// Clients take the first chunk's time for the first token's.
    @Test func theRoleComesWithTheFirstToken() async throws {
        try await TinyServer.run { server in
            let answer = try await server.post(
                "/v1/chat/completions",
                #"{"model":"base","messages":[{"role":"user","content":"a"}],"max_tokens":3,"stream":true,"ignore_eos":true}"#
            )
            let deltas = Self.events(answer.text).compactMap {
                $0["choices"]?.arrayValue?.first?["delta"]
            }
            #expect(deltas.first?["role"] == "assistant" && deltas.count >= 2)
        }
    }

    @Test func whateverSharesTheBatchTheAnswerIsTheSame() async throws {
        try await TinyServer.run { server in
            let bodies = ["base", "plain", "dora"].map {
                "{\"model\":\"\($0)\",\"prompt\":[[5,6,7],[8,9]],\"n\":2,\"max_tokens\":6,"
                    + "\"temperature\":0,\"logprobs\":2,\"ignore_eos\":true}"
            }
            var alone: [JSON?] = []
            for body in bodies {
                alone.append(try await server.post("/v1/completions", body).json["choices"])
            }
            try await withThrowingTaskGroup(of: (Int, JSON?).self) { group in
                for (index, body) in bodies.enumerated() {
                    group.addTask {
                        (index, try await server.post("/v1/completions", body).json["choices"])
                    }
                }
                for try await (index, choices) in group {
                    #expect(choices != nil && choices == alone[index])
                }
            }
        }
    }

    @Test(arguments: [
        ("{", 400, "invalid_json"), ("[]", 400, "invalid_body"),
        (#"{"model":"base","prompt":"a","frobnicate":1}"#, 400, "unsupported_parameter"),
        (#"{"model":"base","prompt":"a","max_tokens":-1}"#, 400, "invalid_value"),
        (#"{"model":"base","prompt":"a","max_tokens":18446744073709551616}"#, 400, "invalid_type"),
        (#"{"model":"base","prompt":[1000]}"#, 400, "invalid_token"),
        (#"{"model":"base","prompt":[-1]}"#, 400, "invalid_token"),
        (#"{"model":"bas","prompt":"a"}"#, 404, "model_not_found"),
        (#"{"model":"base","prompt":"a","logit_bias":{"99":1}}"#, 400, "invalid_token"),
        (#"{"model":"base","prompt":"a","stop_token_ids":[70]}"#, 400, "invalid_token"),
    ])
    func aBadRequestIsRefusedByName(body: String, status: Int, code: String) async throws {
        try await TinyServer.run { server in
            let answer = try await server.post("/v1/completions", body)
            #expect(answer.status == status && answer.code == code, "\(body): \(answer.text)")
        }
    }

    /// An empty list of tools is none; others are refused where the template would not show them.
    @Test func toolsReachTheModelOrAreRefused() async throws {
        try await TinyServer.run { server in
            func ask(_ tools: String) async throws -> TinyServer.Answer {
                try await server.post(
                    "/v1/chat/completions",
                    "{\"model\":\"base\",\"max_tokens\":1,\"tools\":\(tools),"
                        + "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}")
            }
            #expect(try await ask("[]").status == 200)
            #expect(try await ask("null").status == 200)
            let tool = #"[{"type":"function","function":{"name":"f"}}]"#
            let refused = try await ask(tool)
            #expect(refused.status == 400 && refused.code == "unsupported_parameter")
        }
    }

    @Test func aCompressedBodyIsRefused() async throws {
        try await TinyServer.run { server in
            let answer = try await server.send(
                .post, "/v1/completions", "x", headers: [.contentEncoding: "gzip"])
            #expect(answer.status == 415 && answer.code == "unsupported_encoding")
        }
    }

    /// One request has its share of the engine and no more.
    @Test func aRequestHasSoManyChoices() async throws {
        try await TinyServer.run { server in
            let prompts = Array(repeating: "[5]", count: 33).joined(separator: ",")
            let answer = try await server.post(
                "/v1/completions", "{\"model\":\"base\",\"prompt\":[\(prompts)],\"n\":2}")
            #expect(answer.status == 400 && answer.code == "invalid_value", "\(answer.text)")
        }
    }
}
