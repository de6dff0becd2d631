import HTTPTypes
import JSONTree
import Testing

/// Text to tokens and back, and what the template makes of a conversation.
struct TextRouteTests {
    @Test func textBecomesTokensAndTextAgain() async throws {
        try await TinyServer.run { server in
            let there = try await server.post(
                "/tokenize", #"{"model":"plain","prompt":"abba","return_token_strs":true}"#)
            #expect(there.status == 200)
            let tokens = try #require(there.json["tokens"]?.arrayValue)
            #expect(there.json["count"]?.integerValue == tokens.count && !tokens.isEmpty)
            #expect(there.json["max_model_len"] == 64)
            #expect(there.json["token_strs"]?.arrayValue?.count == tokens.count)
            let back = try await server.post(
                "/detokenize", #"{"tokens":\#(JSON.array(tokens).text())}"#)
            #expect(back.json == ["prompt": "abba"])
            let silent = try await server.post("/tokenize", #"{"prompt":"abba"}"#)
            #expect(silent.json["token_strs"] == .null)
            #expect(silent.json["tokens"] == there.json["tokens"])
        }
    }

    /// The rendering is what a completion of the same messages has as its prompt.
    @Test func aConversationIsRenderedAsForACompletion() async throws {
        try await TinyServer.run { server in
            let messages = #""messages":[{"role":"user","content":"ab"}]"#
            let rendered = try await server.post(
                "/v1/chat/completions/render", #"{"model":"base",\#(messages)}"#)
            #expect(rendered.status == 200)
            let tokens = try #require(rendered.json["prompt_token_ids"]?.arrayValue)
            #expect(rendered.json["prompt"]?.stringValue?.contains("ab") == true)
            let tokenized = try await server.post("/tokenize", #"{\#(messages)}"#)
            #expect(tokenized.json["tokens"]?.arrayValue == tokens)
            let completion = try await server.post(
                "/v1/chat/completions", #"{"model":"base",\#(messages),"max_tokens":1}"#)
            #expect(completion.json["usage"]?["prompt_tokens"]?.integerValue == tokens.count)
            let open = try await server.post(
                "/tokenize", #"{\#(messages),"add_generation_prompt":false}"#)
            #expect((open.json["count"]?.integerValue ?? 99) <= tokens.count)
        }
    }

    static let refused = [
        ("/tokenize", #"{}"#, 400, "missing_parameter"),
        ("/tokenize", #"{"prompt":"a","messages":[]}"#, 400, "invalid_value"),
        ("/tokenize", #"{"prompt":["a"]}"#, 400, "invalid_type"),
        ("/tokenize", #"{"prompt":"a","truncate":3}"#, 400, "unsupported_parameter"),
        ("/tokenize", #"{"prompt":"a","model":"nobody"}"#, 404, "model_not_found"),
        (
            "/tokenize",
            #"{"messages":[{"role":"user","content":"a"}],"continue_final_message":true}"#, 400,
            "unsupported_parameter"
        ),
        ("/detokenize", #"{}"#, 400, "missing_parameter"),
        ("/detokenize", #"{"tokens":[99999999]}"#, 400, "invalid_token"),
        ("/detokenize", #"{"tokens":[-1]}"#, 400, "invalid_token"),
        ("/detokenize", #"{"tokens":"a"}"#, 400, "invalid_type"),
        ("/v1/chat/completions/render", #"{"model":"base"}"#, 400, "missing_parameter"),
    ]

    @Test(arguments: refused)
    func whatCannotBeDoneIsRefused(
        path: String, body: String, status: Int, code: String
    ) async throws {
        try await TinyServer.run { server in
            let answer = try await server.post(path, body)
            #expect(answer.status == status && answer.code == code, "\(body): \(answer.text)")
        }
    }

    @Test func theyNeedAKeyWhereThereAreKeys() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            for path in ["/tokenize", "/detokenize", "/v1/chat/completions/render"] {
                let answer = try await server.send(.post, path, "{}", key: "wrong-key")
                #expect(answer.status == 401, "\(path)")
                let wrong = try await server.send(.get, path)
                #expect(wrong.status == 405 && wrong.headers[.allow] == "POST, OPTIONS", "\(path)")
            }
        }
    }
}
