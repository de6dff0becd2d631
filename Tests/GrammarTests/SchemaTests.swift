import Grammar
import JSONTree
import Testing

/// What schemas let a model write, and which are refused. scripts/check-schemas runs whole suites of others.
struct SchemaTests {
    struct Case: Sendable {
        var schema: String
        var valid: [String]
        var invalid: [String]
    }

    static let cases: [Case] = [
        Case(schema: "true", valid: ["1", "{\"a\":[null]}"], invalid: []),
        Case(
            schema: #"{"type":["integer","null"],"minimum":-3,"exclusiveMaximum":12}"#,
            valid: ["-3", "0", "11", "null"], invalid: ["-4", "12", "1.5", "\"1\""]),
        Case(
            schema: #"{"type":"number","minimum":0.25,"maximum":10.5}"#,
            valid: ["0.25", "0.3", "1", "10.5", "10.49", "10"],
            invalid: ["0.24", "0", "-1", "10.51", "11"]),
        Case(
            schema: #"{"type":"number","multipleOf":0.25}"#, valid: ["0.5", "-1.75", "3"],
            invalid: ["0.3", "1.1"]),
        Case(
            schema: #"{"type":"integer","multipleOf":7,"minimum":1}"#, valid: ["7", "70"],
            invalid: ["0", "8", "-7"]),
        Case(
            schema: #"{"type":"string","minLength":2,"maxLength":3}"#,
            valid: ["\"ab\"", "\"äöü\"", "\"\\n\\\"\""], invalid: ["\"a\"", "\"abcd\""]),
        Case(
            schema: #"{"type":"string","pattern":"^a(b|c)+$","maxLength":4}"#,
            valid: ["\"ab\"", "\"abcb\""], invalid: ["\"a\"", "\"abcbc\"", "\"xab\""]),
        Case(
            schema: #"{"type":"string","pattern":"b\\d"}"#, valid: ["\"ab3c\"", "\"b0\""],
            invalid: ["\"b\"", "\"\""]),
        Case(
            schema: #"{"type":"string","pattern":"^(?!no)\\w+$"}"#, valid: ["\"yes\"", "\"on\""],
            invalid: ["\"no\"", "\"nope\""]),
        Case(
            schema: #"{"type":"string","format":"date"}"#, valid: ["\"2024-02-29\""],
            invalid: ["\"2023-02-29\"", "\"2024-13-01\"", "\"soon\""]),
        Case(
            schema: #"{"$schema":"https://json-schema.org/draft/2020-12/schema","format":"date"}"#,
            valid: ["\"soon\"", "1"], invalid: []),
        Case(
            schema: #"{"enum":["a",1,null,{"x":[1]}]}"#,
            valid: ["\"a\"", "1", "null", "{\"x\":[1]}"], invalid: ["\"b\"", "2", "{}"]),
        Case(
            schema: #"{"type":"string","enum":["a",1,"bb"],"maxLength":1}"#, valid: ["\"a\""],
            invalid: ["\"bb\"", "1"]),
        Case(
            schema:
                #"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
            valid: ["{\"a\":1}", "{\"b\":\"x\",\"a\":1}"],
            invalid: ["{}", "{\"b\":\"x\"}", "{\"a\":1,\"c\":2}", "{\"a\":\"1\"}"]),
        Case(
            schema:
                #"{"type":"object","properties":{"a":{"type":"integer"}},"patternProperties":{"^n_":{"type":"null"}},"additionalProperties":{"type":"boolean"}}"#,
            valid: ["{}", "{\"n_x\":null,\"z\":true}"],
            invalid: ["{\"n_x\":true}", "{\"z\":null}", "{\"a\":true}"]),
        Case(
            schema:
                #"{"type":"object","minProperties":1,"maxProperties":2,"propertyNames":{"pattern":"^[a-c]$"}}"#,
            valid: ["{\"a\":1}", "{\"a\":1,\"b\":2}"],
            invalid: ["{}", "{\"d\":1}", "{\"a\":1,\"b\":2,\"c\":3}"]),
        Case(
            schema:
                #"{"type":"object","properties":{"a":{},"b":{}},"dependentRequired":{"a":["b"]},"additionalProperties":false}"#,
            valid: ["{}", "{\"b\":1}", "{\"a\":1,\"b\":2}"], invalid: ["{\"a\":1}"]),
        Case(
            schema: #"{"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3}"#,
            valid: ["[1]", "[1,2,3]"], invalid: ["[]", "[1,2,3,4]", "[\"1\"]"]),
        Case(
            schema: #"{"prefixItems":[{"type":"string"},{"type":"integer"}],"items":false}"#,
            valid: ["[]", "[\"a\"]", "[\"a\",1]", "3"], invalid: ["[1]", "[\"a\",1,2]"]),
        Case(
            schema:
                #"{"type":"array","contains":{"type":"null"},"maxContains":1,"items":{"type":["null","integer"]}}"#,
            valid: ["[null]", "[1,null,2]"], invalid: ["[]", "[1]", "[null,null]"]),
        Case(
            schema: #"{"type":"array","uniqueItems":true,"items":{"enum":["a","b"]}}"#,
            valid: ["[]", "[\"b\",\"a\"]"], invalid: ["[\"a\",\"a\"]"]),
        Case(
            schema: #"{"anyOf":[{"type":"string"},{"type":"integer","minimum":5}]}"#,
            valid: ["\"x\"", "5"], invalid: ["4", "null"]),
        Case(
            schema:
                #"{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k","v"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]}"#,
            valid: ["{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\"}"],
            invalid: ["{\"k\":\"a\"}", "{\"k\":\"c\"}"]),
        Case(
            schema: #"{"type":"object","oneOf":[{"required":["a","b"]},{"required":["a","c"]}]}"#,
            valid: ["{\"a\":1,\"b\":2}"], invalid: ["{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1}"]),
        Case(
            schema: #"{"allOf":[{"type":"integer","minimum":2},{"maximum":4}],"not":{"const":3}}"#,
            valid: ["2", "4"], invalid: ["1", "3", "5"]),
        Case(
            schema:
                #"{"if":{"properties":{"t":{"const":1}},"required":["t"]},"then":{"required":["x"]},"else":{"required":["y"]},"type":"object"}"#,
            valid: ["{\"t\":1,\"x\":0}", "{\"t\":2,\"y\":0}", "{\"y\":0}"],
            invalid: ["{\"t\":1,\"y\":0}", "{}"]),
        Case(
            schema:
                ##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"$ref":"#/$defs/n"}},"required":["v"],"additionalProperties":false}}}"##,
            valid: ["{\"v\":1,\"next\":{\"v\":2}}"], invalid: ["{\"v\":1,\"next\":{}}"]),
        Case(
            schema:
                #"{"type":"object","properties":{"a":{}},"allOf":[{"properties":{"b":{}}}],"unevaluatedProperties":false}"#,
            valid: ["{\"a\":1,\"b\":2}"], invalid: ["{\"c\":1}"]),
    ]

    @Test(arguments: cases)
    func whatASchemaAllowsIsAllowed(_ one: Case) throws {
        var checker = try SchemaChecker(try JSON(parsing: Array(one.schema.utf8)))
        for text in one.valid {
            #expect(try checker.accepts(try JSON(parsing: Array(text.utf8))), "\(text)")
        }
        for text in one.invalid {
            #expect(try !checker.accepts(try JSON(parsing: Array(text.utf8))), "\(text)")
        }
    }

    @Test(
        arguments: [
            (#"{"type":"string","pattern":"(a)\\1"}"#, "", "pattern", "unsupported_grammar"),
            (#"{"type":"string","pattern":"("}"#, "", "pattern", "invalid_grammar"),
            (#"{"type":"string","pattern":"(?=b)^b"}"#, "", "pattern", "unsupported_grammar"),
            (#"{"type":"string","pattern":"(?=^b)b"}"#, "", "pattern", "unsupported_grammar"),
            (
                #"{"properties":{"a":{"$ref":"other.json"}}}"#, "/properties/a", "$ref",
                "unsupported_grammar"
            ),
            (#"{"type":"array","uniqueItems":true}"#, "", "uniqueItems", "unsupported_grammar"),
            (#"{"type":"strin"}"#, "", "type", "invalid_grammar"),
            (
                #"{"items":{"not":{"format":"date"}}}"#, "/items/not", "format",
                "unsupported_grammar"
            ),
            (
                #"{"oneOf":[{"pattern":"a"},{"format":"date","type":"string"}]}"#, "", "oneOf",
                "unsupported_grammar"
            ),
            (#"{"type":"integer","minimum":2,"maximum":1}"#, "", nil, "unsatisfiable_grammar"),
            (##"{"$dynamicRef":"#x"}"##, "", "$dynamicRef", "unsupported_grammar"),
        ] as [(String, String, String?, String)])
    func whatCannotBeEnforcedIsRefusedByName(
        _ schema: String, _ pointer: String, _ keyword: String?, _ code: String
    ) throws {
        let json = try JSON(parsing: Array(schema.utf8))
        let error = #expect(throws: GrammarError.self) { _ = try SchemaChecker(json) }
        #expect(
            error?.pointer == pointer && error?.keyword == keyword, "\(String(describing: error))")
        #expect(error?.code.rawValue == code)
    }

    /// Nested, wide, deep and endless: refused or answered, and soon.
    @Test func hostileSchemasAreBounded() throws {
        let deep =
            String(repeating: #"{"items":"#, count: 100) + "true"
            + String(repeating: "}", count: 100)
        let wide =
            "{\"enum\":[" + (0..<50_000).map { "\"value \($0)\"" }.joined(separator: ",") + "]}"
        let repeats = #"{"type":"string","pattern":"^((a{1,100}){1,100}){1,100}$"}"#
        let many =
            "{\"anyOf\":["
            + (0..<40).map { _ in "{\"anyOf\":[{\"minLength\":1},{\"maxLength\":9}]}" }.joined(
                separator: ",") + "]}"
        let both =
            "{\"allOf\":["
            + (0..<40).map { "{\"anyOf\":[{\"minLength\":\($0)},{\"pattern\":\"a\($0)\"}]}" }
            .joined(separator: ",") + "]}"
        let loop = ##"{"$ref":"#"}"##
        let negative =
            #"{"contains":{"const":1},"maxContains":2,"minContains":-9223372036854775808}"#
        let huge =
            #"{"minLength":1e300,"maxItems":1e308,"multipleOf":1e-300,"minimum":-1e308,"items":{"enum":[1e300]}}"#
        for text in [deep, wide, repeats, many, both, loop, negative, huge] {
            let schema = try JSON(parsing: Array(text.utf8))
            do {
                var checker = try SchemaChecker(schema)
                _ = try checker.accepts(.string(String(repeating: "a", count: 300)))
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
        var checker = try SchemaChecker(try JSON(parsing: Array(wide.utf8)))
        #expect(try checker.accepts("value 49999"))
        #expect(try !checker.accepts("value 50000"))
    }

    /// Each of these once took seconds to minutes; the bound is counted, so that it is the same everywhere.
    @Test(
        arguments: [
            #"{"type":"string","pattern":"^((a{2,100}){1010},){1,10z0}$"}"#,
            "{\"dependentSchemas\":{"
                + (0..<30).map { "\"p\($0)\":{\"required\":[\"q\($0)\"]}" }
                .joined(separator: ",") + "}}",
            "{\"anyOf\":[" + (0..<190).map { "{\"minLength\":\($0)}" }.joined(separator: ",")
                + "],\"allOf\":[{\"enum\":["
                + (0..<5000).map { "\"v\($0)\"" }.joined(separator: ",") + "]}]}",
        ])
    func whatTakesTooMuchWorkIsRefused(_ schema: String) throws {
        let json = try JSON(parsing: Array(schema.utf8))
        let error = #expect(throws: GrammarError.self) { _ = try SchemaChecker(json) }
        #expect(error?.code == .tooComplex)
    }
}
