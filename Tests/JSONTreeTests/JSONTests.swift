import JSONTree
import Testing

/// RFC 8259, strictly, in the order of the text.
struct JSONTests {
    @Test(arguments: [
        "", " ", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "1e", "-", "nul",
        "\"\u{1}\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
        "[1] 2", "NaN", "Infinity", "'a'", "{\"a\":1,\"a\":2}", "\u{FEFF}\u{FEFF}1", "[1//\n]",
        "\"a",
        "1e999",
    ])
    func whatIsNotJSONIsRefused(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test func invalidUTF8IsRefused() {
        for bytes: [UInt8] in [
            [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82],
        ] {
            #expect(throws: JSONError.self) {
                try JSON(parsing: [UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")])
            }
        }
    }

    @Test func valuesKeepTheirKind() throws {
        #expect(try JSON(parsing: "-0") == .integer(0))
        #expect(try JSON(parsing: "9223372036854775807") == .integer(.max))
        #expect(try JSON(parsing: "9223372036854775808") == .largeInteger("9223372036854775808"))
        #expect(try JSON(parsing: "[-18446744073709551615]").text() == "[-18446744073709551615]")
        #expect(try JSON(parsing: "9223372036854775808").doubleValue == 9_223_372_036_854_775_808)
        #expect(try JSON(parsing: "1.0") == .number(1))
        // RFC 8259 allows to skip a byte order mark.
        #expect(try JSON(parsing: "\u{FEFF}1") == .integer(1))
        #expect(try JSON(parsing: "1e2").integerValue == 100)
        #expect(try JSON(parsing: "1.5").integerValue == nil)
        #expect(try JSON(parsing: #""\ud83d\ude00\u00e9\n\/""#) == .string("😀é\n/"))
        #expect(try JSON(parsing: " [ true , null ] ") == .array([.bool(true), .null]))
    }

    @Test func depthAndSizeAreBounded() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try JSON(parsing: nested(128)).arrayValue?.count == 1)
        #expect(throws: JSONError.self) { try JSON(parsing: nested(129)) }
        #expect(throws: JSONError.self) {
            try JSON(parsing: "[1,2,3]", limits: JSON.Limits(byteCount: 6))
        }
    }

    /// Names are bytes: é in one or two scalars are two names.
    @Test func namesAreComparedByBytes() throws {
        let json = try JSON(parsing: "{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(json["\u{E9}"] == .integer(1) && json["e\u{301}"] == .integer(2))
        let one = try JSON(parsing: "{\"\u{E9}\":1}")
        #expect(try JSON(parsing: "{\"e\u{301}\":1}") != one)
    }

    @Test(arguments: [3, 40]) func objectsKeepOrderAndIndex(count: Int) throws {
        var object = JSON.Object((0..<count).map { ("k\($0 * 7 % count)-\($0)", .integer($0)) })
        let names = object.names
        object[names[1]] = nil
        object[names[0]] = .string("new")
        object["last"] = .null
        #expect(object.names == [names[0]] + names[2...] + ["last"])
        #expect(object[names[0]] == .string("new") && object[names[1]] == nil)
        #expect(object[names[count - 1]] == .integer(count - 1))
        #expect(try JSON(parsing: JSON.object(object).text()) == .object(object))
    }

    /// As Python's json.dumps writes the same values.
    @Test func writesAsPythonDoes() throws {
        let json = try JSON(
            parsing: #"{"a":[1,2.5,1e16,1e-7,100000.0],"é":"\u0001\"\\😀","o":{},"l":[]}"#)
        #expect(
            json.text(.python())
                == #"{"a": [1, 2.5, 1e+16, 1e-07, 100000.0], "\u00e9": "\u0001\"\\\ud83d\ude00", "o": {}, "l": []}"#
        )
        #expect(
            try JSON(parsing: #"{"a":[1,{"b":2}]}"#).text(.python(indent: "  "))
                == "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ]\n}")
        #expect(
            json.text() == #"{"a":[1,2.5,1e+16,1e-07,100000.0],"é":"\u0001\"\\😀","o":{},"l":[]}"#)
    }

    @Test func stringsAreEqualByTheirBytes() throws {
        #expect(JSON.string("\u{E9}") != JSON.string("e\u{301}"))
        let marks = String(repeating: "\u{301}\u{316}", count: 200_000)
        #expect(JSON.string(marks) == JSON.string(marks))
    }

    @Test func manyEscapesAreReadInOneGo() throws {
        let text = String(repeating: #"\n\u00e9"#, count: 200_000)
        #expect(
            try JSON(parsing: "\"\(text)\"")
                == .string(String(repeating: "\n\u{E9}", count: 200_000)))
    }

    /// Swift compares texts with many marks in quadratic time, so a request could hold up a server for hours.
    @Test func longRunsOfMarksAreRefused() {
        for mark in ["\u{301}", "\u{F73}", #"\u0316"#, "\u{301}\u{316}"] {
            let count = mark.unicodeScalars.count == 2 ? 256 : 512
            let most = "e" + String(repeating: mark, count: count)
            #expect(throws: Never.self) { try JSON(parsing: #"["\#(most)e\#(most)"]"#) }
            for text in [#"["\#(most)\#(mark)"]"#, #"{"\#(most)\#(mark)":1}"#] {
                let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
                #expect(error?.description.contains("combining marks") == true)
            }
        }
        let letters = String(repeating: "日本é\u{940}", count: 10_000)
        #expect(throws: Never.self) { try JSON(parsing: "\"\(letters)\"") }
    }

    @Test func longNamesAreRefused() {
        let limits = JSON.Limits(nameByteCount: 8)
        #expect(throws: JSONError.self) { try JSON(parsing: #"{"123456789":1}"#, limits: limits) }
        #expect(throws: Never.self) { try JSON(parsing: #"{"12345678":1}"#, limits: limits) }
    }
}
