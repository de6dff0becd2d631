import HTTPTypes
import JSONTree
import OpenAIWire
import TestSupport
import Testing

/// Takeoff's API, as its client 0.7.0 speaks it.
struct TakeoffTests {
    @Test func generatingIsGreedyAndStreamsTheSame() async throws {
        try await TinyServer.run { server in
            let whole = try await server.post(
                "/generate",
                #"{"text":"abc","max_new_tokens":6,"sampling_topk":null,"lora_id":null}"#)
            let text = try #require(whole.json["text"]?.stringValue)
            let plain = try await server.post(
                "/v1/completions", #"{"model":"base","prompt":"abc","max_tokens":6,"top_k":1}"#)
            #expect(plain.json["choices"]?.arrayValue?.first?["text"]?.stringValue == text)
            let stream = try await server.post(
                "/generate_stream", #"{"text":"abc","max_new_tokens":6}"#)
            #expect(Self.data(stream.text).joined() == text && !stream.text.contains("[DONE]"))

            let list = #"{"text":["abc","b"],"max_new_tokens":4,"lora_id":"plain"}"#
            let texts = try await server.post("/generate", list).json["text"]?.arrayValue
            var parts = ["", ""]
            for data in Self.data(try await server.post("/generate_stream", list).text) {
                let json = try JSON(parsing: Array(data.utf8))
                parts[json["batch_id"]?.integerValue ?? 0] += json["text"]?.stringValue ?? ""
            }
            #expect(texts == parts.map { .string($0) })
            // By the template, and a prompt that is cut.
            let cut = try await server.post(
                "/generate", #"{"text":"xyzabc","prompt_max_tokens":3,"max_new_tokens":6}"#)
            #expect(cut.json["text"]?.stringValue == text)
            let rendered = try await server.post(
                "/generate", #"{"text":"abc","use_chat_template":true,"max_new_tokens":2}"#)
            #expect(rendered.status == 200)
        }
    }

    /// What the client's parser makes of events: lines put together, one space behind each colon gone.
    private static func data(_ stream: String) -> [String] {
        stream.split(separator: "\n\n").map { event in
            event.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                let rest = line.dropFirst("data:".count)
                return String(rest.first == " " ? rest.dropFirst() : rest)
            }.joined(separator: "\n")
        }
    }

    @Test(arguments: ["a", " a", "  a", "a\n", "\n\n b\n\nc", "", "é\u{2028}", "a\r\nb\rc"])
    func everyTextSurvivesAnEvent(_ text: String) {
        let event = TakeoffWriter(.one("x")).piece(text, index: 0)
        #expect(event.hasPrefix("data:") && event.hasSuffix("\n\n") && !event.contains("\r"))
        let lines = event.dropLast(2).split(separator: "\n", omittingEmptySubsequences: false)
        let read = lines.map { line in
            let rest = line.dropFirst("data:".count)
            return String(rest.first == " " ? rest.dropFirst() : rest)
        }.joined(separator: "\n")
        #expect(read == (text.contains("\r") ? "a\nb\nc" : text))
    }

    @Test func textsTokensAndReaders() async throws {
        try await TinyServer.run { server in
            let tokens = try await server.post("/tokenize/primary", #"{"text":"ab"}"#).json
            #expect(tokens == ["tokens": ["a", "b"], "tokens_count": 2])
            for list in [#"["a","b"]"#, "[3,4]"] {
                let text = try await server.post("/detokenize/primary", "{\"tokens\":\(list)}").json
                #expect(text == ["text": "ab"])
            }
            let prompts = try await server.post(
                "/chat_template/primary",
                #"{"inputs":[[{"role":"user","content":"x"}]],"add_generation_prompt":true}"#)
            #expect(prompts.json == ["messages": ["ux.a"]])
            let groups = try await server.send(.get, "/reader_groups").json["primary"]?.arrayValue
            #expect(groups?.first?["reader_id"] == "primary")
            #expect(groups?.first?["loras"] == "dora,plain")
            let status = try await server.send(.get, "/status").json
            #expect(status["live_readers"]?.objectValue?.count == 1)
            let sizes = try await server.send(.get, "/config/primary").json
            #expect(sizes["hidden_size"]?.integerValue != nil)
            #expect(try await server.send(.get, "/config/other").code == "reader_not_found")
        }
    }

    @Test(
        arguments: [
            (#"{"text":"a","lora_id":"nobody"}"#, "model_not_found"),
            (#"{"text":5}"#, "invalid_value"), (#"{"text":[]}"#, "invalid_value"),
            (#"{"text":"a","no_repeat_ngram_size":2}"#, "unsupported_parameter"),
            (#"{"text":"a","consumer_group":"other"}"#, "unsupported_parameter"),
            (#"{"text":"a","return_metadata":true}"#, "unsupported_parameter"),
            (#"{"text":"a","regex_string":"("}"#, "invalid_grammar"),
            (#"{"text":"a","nonsense":1}"#, "unsupported_parameter"),
        ])
    func whatIsNotDoneIsRefused(_ body: String, _ code: String) async throws {
        try await TinyServer.run { server in
            let answer = try await server.post("/generate", body)
            #expect(answer.code == code)
        }
    }
}
