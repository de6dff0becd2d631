import Foundation
import HTTPTypes
import JSONTree
import TestSupport
import Testing

/// Each adapter's conversations are written its own way.
struct AdapterTextTests {
    private func adapter(_ name: String, _ files: [String: String], in folder: TemporaryFolder)
        throws -> (String, String)
    {
        try folder.copyAdapter(Repository.conformance("llama/plain"), to: name)
        for (file, text) in files { try folder.write(text, to: name + "/" + file) }
        return (name, folder.path(name))
    }

    @Test func requestsAreRenderedByTheirAdaptersTemplate() async throws {
        let folder = try TemporaryFolder()
        let sources = [
            try adapter("silent", [:], in: folder),
            try adapter(
                "own",
                ["chat_template.jinja": "{% for m in messages %}{{ m.content }}X{% endfor %}"],
                in: folder),
            try adapter(
                "short",
                [
                    "generation_config.json": #"{"max_new_tokens":3}"#,
                    "tokenizer_config.json":
                        #"{"chat_template":"{% for t in tools or [] %}T{% endfor %}{{ messages[0].content }}"}"#,
                ], in: folder),
            try adapter(
                "odd", ["chat_template.jinja": "{# martlet: calls=odd #}{{ messages[0].content }}"],
                in: folder),
            try adapter("broken", ["chat_template.jinja": "{% for %}"], in: folder),
            try adapter("beams", ["generation_config.json": #"{"num_beams":2}"#], in: folder),
        ]
        try await TinyServer.run(adapters: [], sources: sources) { server in
            func prompt(_ model: String, _ more: String = "") async throws -> String? {
                let answer = try await server.post(
                    "/v1/chat/completions/render",
                    #"{"model":"\#(model)","messages":[{"role":"user","content":"hi"}]\#(more)}"#)
                return answer.json["prompt"]?.stringValue ?? answer.code
            }
            #expect(try await prompt("base") == "uhi.a")
            #expect(try await prompt("silent") == "uhi.a")
            #expect(try await prompt("own") == "hiX")
            #expect(try await prompt("short") == "hi")
            let tools = #","tools":[{"type":"function","function":{"name":"f"}}]"#
            #expect(try await prompt("short", tools) == "Thi")
            #expect(try await prompt("own", tools) == "unsupported_parameter")
            #expect(try await prompt("broken") == "unsupported_chat_template")
            #expect(try await prompt("odd") == "unsupported_chat_template")
            #expect(try await prompt("beams") == "unsupported_field")
            let tokens = try await server.post(
                "/tokenize", #"{"model":"own","messages":[{"role":"user","content":"hi"}]}"#)
            #expect(tokens.json["count"] == 3)

            func usage(_ model: String) async throws -> JSON? {
                let answer = try await server.post(
                    "/v1/chat/completions",
                    #"{"model":"\#(model)","ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}"#
                )
                return answer.json["usage"]
            }
            #expect(try await usage("own")?["prompt_tokens"] == 3)
            #expect(try await usage("short")?["completion_tokens"] == 3)

            let models = try await server.send(.get, "/v1/models").json["data"]?.arrayValue ?? []
            func text(_ name: String) -> JSON? {
                models.first { $0["id"] == .string(name) }?["text"]
            }
            #expect(text("silent") == .null)
            #expect(text("own") == ["chat_template": ["default"]])
            #expect(text("short")?["generation"] == ["max_new_tokens": 3])
        }
    }
}
