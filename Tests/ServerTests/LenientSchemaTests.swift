import JSONTree
import Testing

/// Schemas of which not all can be enforced: refused, unless the request says that they need not be.
struct LenientSchemaTests {
    private static let schema =
        ##"{"allOf":[{"$dynamicRef":"#x"}],"$ref":"#/$defs/d~1e","$defs":{"d/e":{"type":"integer","minimum":0,"maximum":99,"$recursiveRef":"#"}}}"##

    private func send(
        _ strict: String, schema: String = schema, _ server: TinyServer, stream: Bool = false
    ) async throws -> TinyServer.Answer {
        try await server.post(
            "/v1/chat/completions",
            #"{"model":"plain","messages":[{"role":"user","content":"ab"}],"max_tokens":2,"stream":\#(stream),"response_format":{"type":"json_schema","json_schema":{"name":"n"\#(strict),"schema":\#(schema)}}}"#
        )
    }

    @Test func whatIsDroppedIsListed() async throws {
        try await TinyServer.run(adapters: ["plain"]) { server in
            for strict in ["", #","strict":true"#, #","strict":null"#] {
                let refused = try await send(strict, server)
                #expect(refused.status == 400 && refused.code == "unsupported_grammar")
            }
            let answer = try await send(#","strict":false"#, server)
            #expect(answer.status == 200, "\(answer.text)")
            let expected: JSON = [
                ["pointer": "/allOf/0", "keyword": "$dynamicRef"],
                ["pointer": "/$defs/d~1e", "keyword": "$recursiveRef"],
            ]
            let found = answer.json["martlet"]?["unenforced"]?.arrayValue ?? []
            #expect(Set(found) == Set(expected.arrayValue ?? []), "\(found)")
            #expect(answer.json["martlet"]?["adapter_digest"] != nil)
            let chunk = try await send(#","strict":false"#, server, stream: true).text
            #expect(chunk.contains(#""keyword":"$recursiveRef""#))
            // What is left is enforced, and what no keyword's absence would help is refused.
            let whole = try await send(
                #","strict":false"#, schema: #"{"type":"integer"}"#, server)
            #expect(whole.status == 200 && whole.json["martlet"]?["unenforced"] == nil)
            let broken = try await send(#","strict":false"#, schema: #"{"type":5}"#, server)
            #expect(broken.status == 400)
            let empty = try await send(
                #","strict":false"#, schema: #"{"type":"string","enum":[5]}"#, server)
            #expect(empty.code == "unsatisfiable_grammar")
        }
    }

    /// Each keyword that is dropped costs compiling once more, so large schemas have few.
    @Test func theWorkIsBounded() async throws {
        try await TinyServer.run(adapters: []) { server in
            func answer(_ values: Int) async throws -> TinyServer.Answer {
                let many = (0..<values).map { "\($0)" }.joined(separator: ",")
                let parts = (0..<4).map { _ in ##"{"$dynamicRef":"#x"}"## }.joined(separator: ",")
                return try await server.post(
                    "/v1/completions",
                    #"{"model":"base","prompt":"a","max_tokens":2,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":false,"schema":{"allOf":[\#(parts)],"type":"integer","examples":[\#(many)]}}}}"#
                )
            }
            let (small, large) = (try await answer(100), try await answer(30_000))
            #expect(small.json["martlet"]?["unenforced"]?.arrayValue?.count == 4)
            #expect(large.code == "unsupported_grammar")
        }
    }

    /// What is refused is named as the request names it.
    @Test(arguments: [
        (#""guided_json":{"type":5}"#, "guided_json"), (#""regex":"(""#, "regex"),
        (#""guided_regex":"a\\b""#, "guided_regex"), (#""grammar":"x""#, "grammar"),
        (#""structured_outputs":{"json":{"type":5}}"#, "structured_outputs"),
        (#""response_format":{"type":"json_object","schema":{"type":5}}"#, "response_format"),
    ])
    func errorsNameTheParameter(_ parameter: String, _ name: String) async throws {
        try await TinyServer.run(adapters: []) { server in
            for (path, text) in [
                ("chat/completions", #""messages":[{"role":"user","content":"a"}]"#),
                ("completions", #""prompt":"a""#),
            ] {
                let answer = try await server.post(
                    "/v1/\(path)", #"{"model":"base",\#(text),\#(parameter)}"#)
                #expect(answer.status == 400)
                #expect(answer.json["error"]?["param"]?.stringValue == name, "\(answer.text)")
            }
        }
    }

    @Test func responsesListItToo() async throws {
        try await TinyServer.run(adapters: []) { server in
            let answer = try await server.post(
                "/v1/responses",
                #"{"model":"base","input":"ab","max_output_tokens":2,"text":{"format":{"type":"json_schema","name":"n","strict":false,"schema":\#(Self.schema)}}}"#
            )
            #expect(answer.json["martlet"]?["unenforced"]?.arrayValue?.count == 2, "\(answer.text)")
        }
    }
}
