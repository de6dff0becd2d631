import Foundation
import HTTPTypes
import JSONTree
import TestSupport
import Testing

/// Other APIs' routes say the same as a chat, in their own words.
struct WireTests {
    private static let chat =
        #"{"model":"base","max_tokens":4,"temperature":0,"messages":[{"role":"user","content":"ab"}]}"#

    @Test func allAPIsAnswerTheSame() async throws {
        try await TinyServer.run { server in
            let chat = try await server.post("/v1/chat/completions", Self.chat).json
            let text = chat["choices"]?.arrayValue?.first?["message"]?["content"]
            let message = try await server.post("/v1/messages", Self.chat).json
            #expect(message["content"] == [["type": "text", "text": text ?? .null]])
            #expect(message["usage"]?["output_tokens"] == chat["usage"]?["completion_tokens"])
            let response = try await server.post(
                "/v1/responses",
                #"{"model":"base","max_output_tokens":4,"temperature":0,"input":"ab"}"#
            ).json
            let item = response["output"]?.arrayValue?.first
            #expect(item?["content"]?.arrayValue?.first?["text"] == text)
            #expect(response["usage"]?["total_tokens"] == chat["usage"]?["total_tokens"])
            let count = try await server.post("/v1/messages/count_tokens", Self.chat)
            #expect(count.json["input_tokens"] == chat["usage"]?["prompt_tokens"])
        }
    }

    @Test(arguments: ["/v1/messages", "/v1/responses"])
    func aStreamEndsWithItsLastEvent(_ path: String) async throws {
        try await TinyServer.run { server in
            let mine =
                path == "/v1/responses"
                ? #""input":"ab","max_output_tokens":3"#
                : #""messages":[{"role":"user","content":"ab"}],"max_tokens":3"#
            let answer = try await server.post(path, #"{"model":"plain","stream":true,\#(mine)}"#)
            #expect(answer.status == 200)
            #expect(answer.headers[.contentType]?.hasPrefix("text/event-stream") == true)
            let names = answer.text.split(separator: "\n").filter { $0.hasPrefix("event: ") }
            #expect(
                ["event: message_stop", "event: response.completed", "event: response.incomplete"]
                    .contains(names.last ?? ""))
            #expect(!answer.text.contains("[DONE]"))
        }
    }

    @Test func errorsAreInTheWordsOfTheirAPI() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let body = Self.chat.replacing("base", with: "nobody")
            let missing = try await server.post("/v1/messages", body)
            #expect(missing.status == 404 && missing.json["type"] == "error")
            #expect(missing.json["error"]?["type"] == "not_found_error")
            #expect(
                try await server.post("/v1/responses", #"{"model":"nobody","input":"a"}"#).code
                    == "model_not_found")
            let field = try #require(HTTPField.Name("x-api-key"))
            let keyless = TinyServer(client: server.client, key: nil)
            let refused = try await keyless.post("/v1/messages", Self.chat)
            #expect(
                refused.status == 401 && refused.json["error"]?["type"] == "authentication_error")
            let known = try await keyless.send(
                .post, "/v1/messages", Self.chat, headers: [field: TinyServer.userKey])
            #expect(known.status == 200)
        }
    }

    @Test(
        arguments: [
            ("/v1/messages", #""max_tokens":5"#, "messages"),
            (
                "/v1/messages", #""max_tokens":5,"messages":[{"role":"tool","content":"x"}]"#,
                "messages[0].role"
            ),
            (
                "/v1/messages",
                #""max_tokens":5,"messages":[{"role":"user","content":[{"type":"image"}]}]"#,
                "messages[0].content[0]"
            ),
            (
                "/v1/messages",
                #""max_tokens":5,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"bash_20250124","name":"bash"}]"#,
                "tools[0].type"
            ),
            (
                "/v1/messages",
                #""max_tokens":5,"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"some"}"#,
                "tool_choice"
            ),
            ("/v1/messages", #""messages":[{"role":"user","content":"x"}]"#, "max_tokens"),
            (
                "/v1/messages",
                #""max_tokens":5,"messages":[{"role":"user","content":"x"}],"thinking":{"type":"x"}"#,
                "thinking"
            ),
            ("/v1/responses", #""input":5"#, "input"),
            ("/v1/responses", #""input":"x","tools":"y""#, "tools"),
            ("/v1/responses", #""input":"x","include":5"#, "include"),
            (
                "/v1/messages",
                #""max_tokens":5,"messages":[{"role":"user","content":"x"}],"tools":{}"#, "tools"
            ),
            ("/v1/responses", #""input":[{"type":"item_reference","id":"x"}]"#, "input[0]"),
            (
                "/v1/responses", #""input":[{"role":"user","content":[{"type":"input_image"}]}]"#,
                "input[0].content[0]"
            ),
            ("/v1/responses", #""input":"x","store":true"#, "store"),
            ("/v1/responses", #""input":"x","include":["file_search_call.results"]"#, "include"),
            ("/v1/responses", #""input":"x","tools":[{"type":"web_search"}]"#, "tools[0]"),
        ])
    func whatIsNotUnderstoodIsRefusedByName(
        _ path: String, _ members: String, _ parameter: String
    ) async throws {
        try await TinyServer.run { server in
            let answer = try await server.post(path, #"{"model":"base",\#(members)}"#)
            #expect(answer.status == 400)
            #expect(answer.json["error"]?["param"] == .string(parameter), "\(answer.text)")
        }
    }

    @Test func aTextIsReadAsAnAnswer() async throws {
        let folder = try TemporaryFolder()
        try folder.copyAdapter(Repository.conformance("llama/plain"))
        let template = Repository.path("Tests/ChatTemplatesTests/Goldens/templates/qwen3.jinja")
        try FileManager.default.copyItem(
            atPath: template, toPath: folder.path("chat_template.jinja"))
        try await TinyServer.run(adapters: [], sources: [("own", folder.url.path)]) { server in
            let text =
                #"<think>\nHm\n</think>\n\nYes.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"#
            let tools = #","tools":[{"type":"function","function":{"name":"f"}}]"#
            let body = #"{"model":"own","text":"\#(text)"\#(tools)}"#
            let answer = try await server.post("/v1/chat/completions/parse", body).json
            #expect(answer["finish_reason"] == "tool_calls")
            #expect(answer["message"]?["content"] == "Yes.")
            #expect(answer["message"]?["reasoning_content"] == "Hm")
            let call = answer["message"]?["tool_calls"]?.arrayValue?.first?["function"]
            #expect(call == ["name": "f", "arguments": #"{"a": 1}"#])
            let plain = body.replacing("own", with: "base").replacing(tools, with: "")
            let base = try await server.post("/v1/chat/completions/parse", plain).json
            #expect(base["message"]?["content"]?.stringValue?.hasPrefix("<think>") == true)
            #expect(base["finish_reason"] == "stop")
        }
    }
}
