import HTTPTypes
import JSONTree
import Testing

/// What clients send by themselves is understood, and what would change an answer is refused by name.
struct ClientDefaultTests {
    static func chat(_ more: String) -> String {
        #"{"model":"base","messages":[{"role":"user","content":"ab"}],"max_tokens":1,"temperature":0\#(more)}"#
    }

    @Test(arguments: [
        #""reasoning_effort":"low""#, #""reasoning_effort":null"#, #""verbosity":"medium""#,
        #""prediction":{"type":"content","content":"ab"}"#,
        #""prediction":{"type":"content","content":[{"type":"text","text":"ab"}]}"#,
        #""prompt_cache_key":"a""#,
        #""prompt_cache_retention":"24h""#, #""safety_identifier":"u""#,
        #""service_tier":"auto""#, #""parallel_tool_calls":false"#, #""functions":null"#,
    ])
    func defaultsChangeNothing(_ parameter: String) async throws {
        try await TinyServer.run { server in
            let plain = try await server.post("/v1/chat/completions", Self.chat(""))
            let answer = try await server.post(
                "/v1/chat/completions", Self.chat("," + parameter))
            #expect(answer.status == 200, "\(answer.text)")
            #expect(answer.json["choices"] == plain.json["choices"])
            let message = answer.json["choices"]?.arrayValue?[0]["message"]
            #expect(message?["refusal"] == .null)
        }
    }

    @Test(arguments: [
        (#""verbosity":"low""#, "verbosity"), (#""reasoning_effort":"much""#, "reasoning_effort"),
        (#""functions":[]"#, "functions"), (#""web_search_options":{}"#, "web_search_options"),
        (#""priority":-101"#, "priority"),
    ])
    func whatWouldChangeTheAnswerIsRefused(_ parameter: String, _ name: String) async throws {
        try await TinyServer.run { server in
            let answer = try await server.post(
                "/v1/chat/completions", Self.chat("," + parameter))
            #expect(answer.status == 400, "\(answer.text)")
            #expect(answer.json["error"]?["param"]?.stringValue == name)
        }
    }

    @Test func predictionsAreVerified() async throws {
        try await TinyServer.run { server in
            func send(_ more: String) async throws -> JSON {
                try await server.post(
                    "/v1/chat/completions",
                    #"{"model":"base","messages":[{"role":"user","content":"ab"}],"max_tokens":30,"temperature":0,"ignore_eos":true\#(more)}"#
                ).json
            }
            func text(_ answer: JSON) -> String? {
                answer["choices"]?.arrayValue?.first?["message"]?["content"]?.stringValue
            }
            let plain = text(try await send(""))
            let right = try await send(
                #","prediction":{"type":"content","content":"\#(plain ?? "")"}"#)
            #expect(text(right) == plain)
            let details = right["usage"]?["completion_tokens_details"]
            #expect(details?["accepted_prediction_tokens"]?.integerValue ?? 0 > 10)
            #expect(details?["rejected_prediction_tokens"]?.integerValue != nil)
            let wrong = try await send(
                #","prediction":{"type":"content","content":"zzzzzzzzzzzzzzzz"}"#)
            #expect(text(wrong) == plain)
            for bad in [
                #"{"type":"other","content":""}"#, #"{"content":5}"#, #"{"text":"a"}"#, "5",
            ] {
                let answer = try await server.post(
                    "/v1/chat/completions", Self.chat(#","prediction":\#(bad)"#))
                #expect(answer.status == 400, "\(bad)")
            }
        }
    }

    @Test func requestsHaveTheNameThatClientsGive() async throws {
        try await TinyServer.run { server in
            let name = try #require(HTTPField.Name("x-request-id"))
            func send(_ given: String?) async throws -> TinyServer.Answer {
                try await server.send(
                    .post, "/v1/chat/completions", Self.chat(""),
                    headers: given.map { [name: $0] } ?? [:])
            }
            let named = try await send("job-7:a.b_c")
            #expect(named.headers[name] == "job-7:a.b_c")
            #expect(named.json["id"] == "chatcmpl-job-7:a.b_c")
            for bad in ["", "a b", "a\"b", String(repeating: "a", count: 65), "ä"] {
                let answer = try await send(bad)
                #expect(answer.headers[name] != bad && answer.headers[name]?.count == 32)
            }
            #expect(try await send(nil).headers[name] != (try await send(nil)).headers[name])
        }
    }
}
