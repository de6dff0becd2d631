import JSONTree
import OpenAIWire
import Testing

/// What the answer must be, in all the ways that clients say it.
struct AnswerFormTests {
    private static func form(_ members: String) throws -> AnswerForm? {
        let body = #"{"model":"m","messages":[{"role":"user","content":"a"}],"# + members + "}"
        return try ChatRequest(try JSON(parsing: Array(body.utf8))).sampling.form
    }

    static let schema: JSON = ["type": "integer"]

    @Test(
        arguments: [
            (#""response_format":{"type":"text"}"#, nil), (#""response_format":null"#, nil),
            (#""response_format":{"type":"json_object"}"#, .jsonObject),
            (
                #""response_format":{"type":"json_object","schema":{"type":"integer"}}"#,
                .schema(schema)
            ),
            (
                #""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"integer"}}}"#,
                .schema(schema)
            ),
            (
                #""response_format":{"type":"json_schema","schema":{"type":"integer"}}"#,
                .schema(schema)
            ),
            (#""structured_outputs":{"json":{"type":"integer"}}"#, .schema(schema)),
            (#""structured_outputs":{"regex":"a+"}"#, .pattern("a+")),
            (#""structured_outputs":{"choice":["x","y"]}"#, .choice(["x", "y"])),
            (#""structured_outputs":{"json_object":true}"#, .jsonObject),
            (#""guided_json":"{\"type\":\"integer\"}""#, .schema(schema)),
            (#""guided_regex":"a+""#, .pattern("a+")), (#""regex":"a+""#, .pattern("a+")),
            (#""guided_choice":["x","y"]"#, .choice(["x", "y"])),
            (#""json_schema":{"type":"integer"}"#, .schema(schema)),
            (#""grammar":"root ::= x""#, .notation("root ::= x")),
            (#""structured_outputs":{"grammar":"x"}"#, .notation("x")),
            (#""ebnf":"x""#, .notation("x")),
            (
                #""response_format":{"type":"structural_tag","format":{}}"#,
                .structuralTag(["type": "structural_tag", "format": [:]])
            ), (#""structured_outputs":{"structural_tag":"{}"}"#, .structuralTag([:])),
        ] as [(String, AnswerForm?)])
    func everyWayIsUnderstood(_ members: String, _ expected: AnswerForm?) throws {
        #expect(try Self.form(members) == expected)
    }

    @Test(
        arguments: [
            (#""response_format":{"type":"grammar"}"#, "response_format"),
            (#""response_format":{"type":"json_schema"}"#, "response_format"),
            (
                #""response_format":{"type":"json_schema","json_schema":{"name":"n"}}"#,
                "response_format"
            ),
            (
                #""response_format":{"type":"json_schema","json_schema":{"schema":{},"stict":true}}"#,
                nil
            ),
            (#""structured_outputs":{}"#, "structured_outputs"),
            (#""structured_outputs":{"regex":"a","choice":["b"]}"#, "structured_outputs"),
            (#""structured_outputs":{"grammar":1}"#, "structured_outputs.grammar"),
            (#""structural_tag":"{""#, "structural_tag"),
            (#""guided_grammar":["x"]"#, "guided_grammar"), (#""ebnf":{}"#, "ebnf"),
            (#""guided_json":"{""#, "guided_json"), (#""guided_json":1"#, "guided_json"),
            (#""guided_choice":[]"#, "guided_choice"),
            (#""guided_choice":["a",1]"#, "guided_choice"),
            (#""regex":"a","guided_choice":["b"]"#, "guided_choice"),
        ] as [(String, String?)])
    func whatIsNotIsRefusedByName(_ members: String, _ parameter: String?) {
        let error = #expect(throws: APIError.self) { _ = try Self.form(members) }
        #expect(error?.status == 400)
        if let parameter { #expect(error?.parameter == parameter) }
    }
}
