import Answers
import ChatTemplates
import Foundation
import JSONTree
import TestSupport
import Testing

/// A template shows how its model writes.
struct AnswerFormatTests {
    @Test(
        arguments: [
            ("qwen2.5", .hermes, nil), ("qwen3", .hermes, .think),
            ("hermes-3-tool-use", .hermes, nil),
            ("llama-3.1", .llama, nil), ("mistral-nemo", .mistral, nil), ("smollm2", nil, nil),
            ("chatml", nil, nil), ("gemma-2", nil, nil), ("phi-3.5", nil, nil),
        ] as [(String, CallFormat?, ThoughtFormat?)])
    func aFormatIsFoundByItsTemplate(
        _ name: String, _ calls: CallFormat?, _ thoughts: ThoughtFormat?
    ) throws {
        let path = Repository.path("Tests/ChatTemplatesTests/Goldens/templates/\(name).jinja")
        try expect(
            try String(contentsOfFile: path, encoding: .utf8),
            AnswerFormat(calls: calls, thoughts: thoughts))
    }

    private func expect(_ source: String, _ format: AnswerFormat) throws {
        let template = try ChatTemplate(source)
        let found = try AnswerFormat.find(source: source) { messages, tools in
            try? template.render(
                JSON.Object([
                    ("messages", .array(messages)), ("tools", tools),
                    ("add_generation_prompt", false), ("bos_token", "<s>"), ("eos_token", "</s>"),
                ]))
        }
        #expect(found == format)
    }

    /// Templates as short as can be, each in the manner of a family.
    @Test(
        arguments: [
            ("<function={{ c.function.name }}><parameter=x>", .qwenCoder),
            ("<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.function.name }}", .deepseek),
            (
                "[{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %})]",
                .pythonic
            ),
            (
                #"{"name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }}}"#,
                .llama
            ),
            (#"<tool_call>{"name": "{{ c.function.name }}"}"#, .hermes),
            ("[TOOL_CALLS]{{ c.function.name }}[ARGS]", .mistralNew),
            (
                #"{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}"#,
                .generic
            ), ("{{ c.function.name }}", nil),
        ] as [(String, CallFormat?)])
    func aFormatIsFoundByWhatACallLooksLike(_ call: String, _ format: CallFormat?) throws {
        try expect(
            "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}\(call){% endfor %}{% endfor %}",
            AnswerFormat(calls: format))
    }

    @Test func toolsThatAreOnlyShownAreCalledInAPlainWay() throws {
        try expect(
            "{{ tools | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}",
            AnswerFormat(calls: .generic))
        try expect(
            "{% if tools %}x{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}",
            AnswerFormat())
    }

    /// A comment has the last word, and one that says what there is not is an error.
    @Test func aCommentSaysTheFormat() throws {
        let shown = "{{ tools | tojson }}<tool_call></think>{{ messages[0].content }}"
        try expect(
            "{#- martlet: calls=deepseek thoughts=none -#}" + shown, AnswerFormat(calls: .deepseek))
        try expect(
            shown + "{# martlet: calls=none #}", AnswerFormat(calls: nil, thoughts: .think))
        try expect("{# martlet #}" + shown, AnswerFormat(calls: .hermes, thoughts: .think))
        for bad in ["calls=other", "calls", "tools=hermes", "thoughts=", "calls=hermes=x"] {
            #expect(throws: FormatError.self, "\(bad)") {
                try expect("{# martlet: \(bad) #}" + shown, AnswerFormat())
            }
        }
    }
}
