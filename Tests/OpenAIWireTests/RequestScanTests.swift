import JSONTree
import OpenAIWire
import Testing

struct RequestScanTests {
    static func scan(_ text: String) -> RequestScan { RequestScan(Array(text.utf8)) }

    @Test(arguments: [
        #"{"model":"a","prompt":"x"}"#, #" { "prompt" : "x" , "model" : "a" } "#,
        #"{"tools":[{"model":"b"}],"nested":{"model":"c"},"model":"a"}"#,
        #"{"prompt":"\"model\":\"b\"","model":"a"}"#,
        #"{"messages":[{"content":"\\"}],"model":"a"}"#,
        #"{"model":"\u0061"}"#, #"{"mo\u0064el":"a"}"#,
        #"{"n":1,"stop":[],"x":{},"y":null,"model":"a"}"#,
    ])
    func theModelIsFound(text: String) throws {
        #expect(Self.scan(text).model == "a")
        #expect(try JSON(parsing: text)["model"]?.stringValue == "a", "the test's own text")
    }

    @Test(arguments: [
        "", "{", "{}", "[]", "null", #"{"model"#, #"{"model":"#, #"{"model":"a"#, #"{"model":1}"#,
        #"{"model":null}"#, #"{"model":["a"]}"#, #"["model","a"]"#, #"{"model" "a"}"#,
        #"{"x":{"model":"a"}}"#, #"{"x":"\"#, #"{"x":[[[[[[["#, #"{"model":"\ud800"}"#,
        "{\"model\":\"\\",
        #"{1:2,"model":"a"}"#,
    ])
    func whatIsNoModelIsNone(text: String) {
        #expect(Self.scan(text).model == nil)
    }

    @Test func aLongNameIsNone() {
        #expect(
            Self.scan(#"{"model":""# + String(repeating: "a", count: 1001) + #""}"#).model == nil)
        #expect(
            Self.scan(#"{"model":""# + String(repeating: "a", count: 1000) + #""}"#).model != nil)
    }

    @Test func theTextIsFound() {
        let body = Array(#"{"model":"a","messages":[{"role":"user","content":"hi"}],"n":1}"#.utf8)
        let range = RequestScan(body).text
        #expect(
            range.map { String(decoding: body[$0], as: UTF8.self) }
                == #"[{"role":"user","content":"hi"}]"#)
        #expect(Self.scan(#"{"prompt":[1,2,3]}"#).text == 10..<17)
    }

    /// Any cut, and any byte changed, gives something or nothing, and ends.
    @Test func brokenBodiesDoNoHarm() {
        let body = Array(
            #"{"model":"a\n\u0041","messages":[{"content":"\\\" {[ \ud83d\ude00"}],"x":[1,{"y":2}]}"#
                .utf8)
        for end in body.indices { _ = RequestScan(Array(body[..<end])) }
        for index in body.indices {
            for byte: UInt8 in [0, 0x22, 0x5C, 0x7B, 0x7D, 0x2C, 0xFF] {
                var changed = body
                changed[index] = byte
                _ = RequestScan(changed)
            }
        }
    }
}
