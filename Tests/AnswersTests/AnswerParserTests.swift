import Answers
import Foundation
import JSONTree
import TestSupport
import Testing

/// What a model writes becomes the same parts however it is cut.
struct AnswerParserTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var format: AnswerFormat
        var text: String
        var parts: [AnswerPart]
        var prompt = ""
        var isCut = false

        var testDescription: String { String(text.prefix(60)) }

        init(
            _ calls: CallFormat?, _ text: String, _ parts: [AnswerPart], thinks: Bool = false,
            prompt: String = "", isCut: Bool = false
        ) {
            format = AnswerFormat(calls: calls, thoughts: thinks ? .think : nil)
            self.text = text
            self.parts = parts
            self.prompt = prompt
            self.isCut = isCut
        }
    }

    private static let tools: JSON = [
        [
            "type": "function",
            "function": [
                "name": "f",
                "parameters": [
                    "properties": [
                        "n": ["type": "integer"], "s": ["type": "string"],
                        "o": ["anyOf": [["type": "object"], ["type": "null"]]],
                        "b": ["type": "boolean"],
                    ]
                ],
            ],
        ],
        ["type": "function", "function": ["name": "g.h"]],
    ]

    private static let f = AnswerPart.call(name: "f", arguments: #"{"s": "x"}"#)
    private static let call =
        #"<tool_call>\#n{"name": "f", "arguments": {"s": "x"}}\#n</tool_call>"#

    static let cases: [Case] = [
        Case(
            nil, "  plain <tool_call> text </think> \n",
            [.text("  plain <tool_call> text </think> \n")]),
        Case(.hermes, " plain < text <tool_ca ", [.text(" plain < text <tool_ca ")]),
        Case(.hermes, call, [f]),
        Case(.hermes, "Let me see.\n\n\(call)\n\(call)\n", [.text("Let me see."), f, f]),
        Case(.hermes, "\(call) and then", [f, .text("and then")]),
        Case(
            .hermes,
            #"<tool_call>{"arguments":{"s":"</tool_call> \" <tool_call>{"},"name":"f"}</tool_call>"#,
            [.call(name: "f", arguments: #"{"s":"</tool_call> \" <tool_call>{"}"#)]),
        Case(.hermes, #"<tool_call>{"name":"f"}</tool_call>"#, [.call(name: "f", arguments: "{}")]),
        Case(
            .hermes, #"<tool_call>{"name":"f","arguments":"{\"s\": 1}"}</tool_call>"#,
            [.call(name: "f", arguments: #"{"s": 1}"#)]),
        Case(
            .hermes, #"<tool_call>{"name":"\u0066","arguments":{"é":"ü🪶"}}</tool_call>"#,
            [.call(name: "f", arguments: #"{"é":"ü🪶"}"#)]),
        // What is no call is text, whole.
        Case(
            .hermes, #"<tool_call>{"name":"f","arguments":[1]}</tool_call> x"#,
            [.text(#"<tool_call>{"name":"f","arguments":[1]}</tool_call> x"#)]),
        Case(
            .hermes, "<tool_call>{\"name\":\"f\", broken}</tool_call>\(call)",
            [.text("<tool_call>{\"name\":\"f\", broken}</tool_call>"), f]),
        Case(.hermes, "<tool_call><tool_call>\(call)", [.text("<tool_call><tool_call>"), f]),
        // Without its last tag it is one where the model ended, and none where it was cut off.
        Case(.hermes, #"a<tool_call>{"name": "f", "arguments": {"s": "x"}}"#, [.text("a"), f]),
        Case(
            .hermes, #"a <tool_call>{"name": "f", "arguments": {"s": "x"}}"#,
            [.text(#"a <tool_call>{"name": "f", "arguments": {"s": "x"}}"#)], isCut: true),
        Case(
            .hermes, #"a <tool_call>{"name": "f", "arguments": {"s"#,
            [.text(#"a <tool_call>{"name": "f", "arguments": {"s"#)]),
        // Thoughts.
        Case(
            .hermes, "<think>\nHm, <tool_call>{}\n\n</think>\n\n\(call)",
            [.thought("Hm, <tool_call>{}"), f], thinks: true),
        Case(nil, "\n<think>a</think>\n\nb ", [.thought("a"), .text("b ")], thinks: true),
        Case(
            nil, "a\n </think>b", [.thought("a"), .text("b")], thinks: true, prompt: "…<think>\n"),
        Case(
            nil, "<think>a</think>b", [.thought("a"), .text("b")], thinks: true, prompt: "<think>"),
        Case(nil, "no thoughts", [.text("no thoughts")], thinks: true),
        Case(nil, "<thi", [.text("<thi")], thinks: true),
        Case(nil, "<think>cut off", [.thought("cut off")], thinks: true, isCut: true),
        Case(nil, "<think></think>b", [.text("b")], thinks: true),
        // Qwen's coder writes values as they are.
        Case(
            .qwenCoder,
            "<tool_call>\n<function=f>\n<parameter=n>\n12\n</parameter>\n<parameter=s>\n a\n</parameter>\nb\"\n</parameter>\n<parameter=o>\n{'k': True}\n</parameter>\n</function>\n</tool_call>",
            [
                .call(
                    name: "f",
                    arguments: #"{"n":12,"s":" a\n</parameter>\nb\"","o":{"k":true}}"#)
            ]),
        Case(
            .qwenCoder,
            "Yes.\n<function=f>\n<parameter=o>\nnull\n</parameter>\n<parameter=x>\n1\n</parameter>\n<parameter=b>True</parameter></function>",
            [.text("Yes."), .call(name: "f", arguments: #"{"o":null,"x":"1","b":true}"#)]),
        Case(
            .qwenCoder, "<tool_call>\n<function=f>\n</function>\n</tool_call>",
            [.call(name: "f", arguments: "{}")]),
        // Llama writes nothing else, and an answer that is JSON is no call.
        Case(
            .llama, #"{"name": "f", "parameters": {"s": "x"}}; {"name": "f", "parameters": {}}"#,
            [f, .call(name: "f", arguments: "{}")]),
        Case(.llama, #"<|python_tag|>{"name": "f", "parameters": {"s": "x"}}"#, [f]),
        Case(
            .llama, #"{"name": "other", "parameters": {}}"#,
            [.text(#"{"name": "other", "parameters": {}}"#)]),
        Case(.llama, #"{"answer": 1} "#, [.text(#"{"answer": 1} "#)]),
        Case(.llama, #"  {"answer": 1}"#, [.text(#"  {"answer": 1}"#)]),
        Case(
            .llama, #" {"name": "f", "parameters": {"s": "x"}} ; {"a": 1}"#,
            [f, .text(#"; {"a": 1}"#)]),
        Case(.llama, "<think>a</think>\n\n{}", [.thought("a"), .text("{}")], thinks: true),
        Case(
            .llama, #"See {"name": "f", "parameters": {}}"#,
            [.text(#"See {"name": "f", "parameters": {}}"#)]),
        Case(.llama, #"<|python_tag|>print(1)"#, [.text(#"<|python_tag|>print(1)"#)]),
        Case(
            .pythonic, #"[f(n=-1, s='it\'s "x"'), g.h(a=[1, 2.5], b={"k": None})]"#,
            [
                .call(name: "f", arguments: #"{"n":-1,"s":"it's \"x\""}"#),
                .call(name: "g.h", arguments: #"{"a":[1,2.5],"b":{"k":null}}"#),
            ]),
        Case(.pythonic, "[1, 2]", [.text("[1, 2]")]),
        Case(.pythonic, "<|python_start|>[f()]<|python_end|>", [.call(name: "f", arguments: "{}")]),
        // Mistral's old and new ones.
        Case(
            .mistral,
            #"[TOOL_CALLS] [{"name": "f", "arguments": {"s": "x"}}, {"name": "g", "arguments": {}}]"#,
            [f, .call(name: "g", arguments: "{}")]),
        Case(
            .mistral, #"Ok[TOOL_CALLS]f[CALL_ID]abcdef123[ARGS]{"s": "x"}[TOOL_CALLS]f{"s": "x"}"#,
            [.text("Ok"), f, f]),
        Case(
            .mistral, #"[TOOL_CALLS]f[ARGS]{"s": "[TOOL_CALLS]}"}"#,
            [.call(name: "f", arguments: #"{"s": "[TOOL_CALLS]}"}"#)]),
        Case(
            .deepseek,
            "<think>a</think>Now.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\": \"x\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"s\": \"x\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            [.thought("a"), .text("Now."), f, f], thinks: true),
    ]

    private func parse(
        _ one: Case, _ pieces: [Substring], tools: JSON = tools
    ) -> [AnswerPart] {
        var parser = AnswerParser(
            one.format, tools: one.format.calls == nil ? nil : tools, prompt: one.prompt)
        var parts: [AnswerPart] = []
        for piece in pieces { parts += parser.append(String(piece)) }
        return Self.merged(parts + parser.finish(isCut: one.isCut))
    }

    private static func merged(_ parts: [AnswerPart]) -> [AnswerPart] {
        var result: [AnswerPart] = []
        for part in parts {
            switch (result.last, part) {
            case (.text(let a)?, .text(let b)): result[result.count - 1] = .text(a + b)
            case (.thought(let a)?, .thought(let b)): result[result.count - 1] = .thought(a + b)
            default: result.append(part)
            }
        }
        return result
    }

    @Test(arguments: cases)
    func anAnswerIsReadTheSameHoweverItIsCut(_ one: Case) {
        #expect(parse(one, [one.text[...]]) == one.parts)
        #expect(parse(one, one.text.map { Substring(String($0)) }) == one.parts)
        for cut in one.text.indices {
            let parts = parse(one, [one.text[..<cut], one.text[cut...]])
            #expect(
                parts == one.parts,
                "cut at \(one.text.distance(from: one.text.startIndex, to: cut))")
        }
    }

    /// An answer as a client sees it.
    private struct Message: Equatable {
        var content = ""
        var reasoning = ""
        var calls: [JSON] = []

        init(_ parts: [AnswerPart]) {
            for part in parts {
                switch part {
                case .text(let text): content += text
                case .thought(let text): reasoning += text
                case .call(let name, let arguments):
                    calls.append([.string(name), (try? JSON(parsing: arguments)) ?? "not JSON"])
                }
            }
        }

        init(_ json: JSON) {
            content = json["content"]?.stringValue ?? ""
            reasoning = json["reasoning"]?.stringValue ?? ""
            calls = json["calls"]?.arrayValue ?? []
        }
    }

    /// What models write of each format, as they should and as they have been seen to.
    @Test func whatModelsWriteIsReadTheSameHoweverItIsCut() throws {
        let path = Repository.path("Tests/AnswersTests/Cases/calls.json")
        let file = try JSON(parsing: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
        let cases = file["cases"]?.arrayValue ?? []
        #expect(cases.count > 80)
        for json in cases {
            let format = try #require(CallFormat(rawValue: json["format"]?.stringValue ?? ""))
            var one = Case(
                format, json["text"]?.stringValue ?? "", [],
                prompt: json["prompt"]?.stringValue ?? "")
            one.format.thoughts = json["thoughts"]?.stringValue.flatMap(ThoughtFormat.init)
            let tools = file["tools"]?[json["tools"]?.stringValue ?? ""] ?? .null
            let (expected, note) = (
                Message(json), Comment(rawValue: json["note"]?.stringValue ?? "")
            )
            #expect(Message(parse(one, [one.text[...]], tools: tools)) == expected, note)
            let characters = one.text.unicodeScalars.map { Substring(String($0)) }
            let parts = parse(one, characters, tools: tools)
            #expect(Message(parts) == expected, note)
            for cut in one.text.unicodeScalars.indices {
                let pieces = [one.text[..<cut], one.text[cut...]]
                #expect(parse(one, pieces, tools: tools) == parts, note)
            }
        }
    }

    /// Text is told as soon as it is certain: only what may begin something else is held back.
    @Test func nothingIsHeldBackWithoutReason() {
        var parser = AnswerParser(AnswerFormat(calls: .hermes), tools: Self.tools, prompt: "")
        #expect(parser.append("Hello") == [.text("Hello")])
        #expect(parser.append(" wor <") == [.text(" wor")])
        #expect(parser.append("b>") == [.text(" <b>")])
        #expect(parser.append("<tool_call>{\"name\":\"f\",\"arguments\":{}") == [])
        #expect(parser.append("}</tool_call>") == [.call(name: "f", arguments: "{}")])
        #expect(parser.callCount == 1)
    }

    /// A text that is made to be read again and again ends soon all the same.
    @Test func hostileTextsAreRead() {
        for text in [
            "<tool_call>{", "<tool_call>", "<function=f><parameter=s>", "{\"", "[TOOL_CALLS][",
        ] {
            for format in CallFormat.allCases {
                var parser = AnswerParser(
                    AnswerFormat(calls: format, thoughts: .think), tools: Self.tools, prompt: "")
                let whole = String(repeating: text, count: 20_000)
                var parts: [AnswerPart] = []
                var rest = whole[...]
                while !rest.isEmpty {
                    parts += parser.append(String(rest.prefix(1000)))
                    rest = rest.dropFirst(1000)
                }
                parts += parser.finish(isCut: false)
                #expect(Self.merged(parts) == [.text(whole)], "\(format) \(text)")
            }
        }
    }
}
