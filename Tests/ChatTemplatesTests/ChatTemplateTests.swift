import ChatTemplates
import Foundation
import JSONTree
import TestSupport
import Testing

/// Templates as published, rendered as transformers renders them.
/// scripts/make_text_goldens.py makes the goldens.
struct ChatTemplateTests {
    static let folder =
        ProcessInfo.processInfo.environment["MARTLET_TEMPLATE_GOLDENS"]
        ?? Repository.path("Tests/ChatTemplatesTests/Goldens")

    @Test func rendersEveryConversationAsTransformersDoes() throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/cases.json"))
        let golden = try JSON(parsing: Array(data))
        let cases = golden["cases"]?.arrayValue ?? []
        #expect(cases.count >= 500)
        var templates: [String: Result<ChatTemplate, any Error>] = [:]
        for item in cases {
            let name = item["template"]?.stringValue ?? ""
            if templates[name] == nil {
                let source = try String(
                    contentsOfFile: Self.folder + "/templates/\(name)", encoding: .utf8)
                templates[name] = Result { try ChatTemplate(source) }
            }
            let conversation = item["conversation"]?.stringValue ?? ""
            let usesTools = item["tools"]?.boolValue ?? false
            let variables = JSON.Object([
                ("messages", golden["conversations"]?[conversation] ?? .null),
                ("tools", usesTools ? golden["tools"] ?? .null : .null), ("documents", .null),
                ("add_generation_prompt", item["generation"] ?? .null), ("bos_token", "<s>"),
                ("eos_token", "</s>"), ("date_string", "26 Jul 2024"),
                ("enable_thinking", .bool(conversation != "thinking")),
            ])
            let what =
                "\(name), \(conversation), tools \(usesTools), generation \(item["generation"]?.text() ?? "")"
            let template = try #require(templates[name])
            let result = Result { try template.get().render(variables) }
            switch (result, item["text"]?.stringValue) {
            case (.success(let text), let expected?):
                #expect(
                    text.utf8.elementsEqual(expected.utf8),
                    "\(what)\n\(text.debugDescription)\n\(expected.debugDescription)")
            case (.failure(let error), let expected?):
                Issue.record("\(what): \(error), expected \(expected.debugDescription)")
            case (.success(let text), nil):
                Issue.record("\(what): an error was expected, not \(text.debugDescription)")
            case (.failure, nil): break
            }
        }
    }

    static func render(_ source: String, _ variables: JSON.Object = JSON.Object()) throws -> String
    {
        try ChatTemplate(source).render(variables)
    }

    @Test(arguments: [
        ("{{ 1 + 2 * 3 }}", "7"), ("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }}", "3 -4 2"),
        ("{{ 7 / 2 }}", "3.5"),
        ("{{ 'a' ~ 1 ~ none }}", "a1None"), ("{{ [1, 'x', true] }}", "[1, 'x', True]"),
        ("{{ {'a': 1}['a'] }}", "1"), ("{{ 'abc'[::-1] }}{{ 'abc'[-2:] }}", "cbabc"),
        (
            "{% for i in range(3) if i != 1 %}{{ loop.index }}{{ i }},{% else %}none{% endfor %}",
            "10,22,"
        ),
        (
            "{% set ns = namespace(n=0) %}{% for i in [1,2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "3"
        ),
        ("{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}", "1"),
        ("{% macro f(a, b='z') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}", "1z12"),
        ("a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc"),
        ("a {%- if true %} b {%- endif -%} c", "a bc"),
        ("{{ undefined_thing }}|{{ undefined_thing is defined }}", "|False"),
        ("{{ 'x' if false }}", ""), ("{{ not true or 1 }}", "1"), ("{{ 1 < 2 < 3 }}", "True"),
        ("{{ 'a,b'.split(',') | join('-') | upper }}", "A-B"), ("{{ [3,1,2] | sort | last }}", "3"),
        ("{{ 'é' | tojson }}{{ {'a': [1, 2.5, none]} | tojson }}", "\"é\"{\"a\": [1, 2.5, null]}"),
        ("{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | list }}", "[1, 2]"),
        ("{{ [{'a': 1}, {'b': 2}] | selectattr('a', 'defined') | list | length }}", "1"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"), ("{# gone #}x", "x"),
        (
            "{%- for m in [1,2,3] -%}{% if m == 2 %}{% continue %}{% endif %}{{ m }}{%- endfor -%}",
            "13"
        ),
        ("{{ 'a' in 'cat' and 2 not in [1] }}", "True"),
        ("{{ 'x' is string and 1 is number }}", "True"),
        ("{% filter upper %}a{% endfilter %}{% set t %}b{% endset %}{{ t }}", "Ab"),
        ("{{ ' x ' | trim }}{{ 'abc' | replace('b', 'd') }}", "xadc"),
        ("{{ -1 | abs }} {{ -5 | abs + 1 }} {{ 2**3**2 }} {{ -2**2 }}", "1 6 64 4"),
        ("{{ 3 * 'ab' }}{{ [1] * 2 }}{{ 'ab' | replace('', '-') }}", "ababab[1, 1]-a-b-"),
        (
            "{{ 9007199254740993 // 1 }} {{ 9007199254740993 > 9007199254740992 }}",
            "9007199254740993 True"
        ),
        ("{{ [1] | tojson(indent=-1) }}", "[\n1\n]"),
        ("{{ dict(a=1).items() | list }}", "[('a', 1)]"),
    ])
    func language(_ source: String, _ expected: String) throws {
        #expect(try Self.render(source) == expected)
    }

    @Test(arguments: [
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{{ 'ab' * 9223372036854775807 }}", "{{ -(-9223372036854775807 - 1) }}",
        "{{ (-9223372036854775807 - 1) | abs }}", "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ (-9223372036854775807 - 1) % -1 }}", "{{ range(-9223372036854775807 - 1) }}",
        "{{ [[1]] | tojson(indent=9223372036854775807) }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(90000) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% set ns = namespace(l=['x']) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
        "{% set ns = namespace(l=['x']) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ 'a' | trim(ns.l) }}",
        "{% set ns = namespace(l=['x']) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ['a'] | join(ns.l) }}",
        "{% set ns = namespace(l=['x']) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ raise_exception(ns.l) }}",
        "{% set s = 'x' * 1000000 %}{% set ns = namespace(l=[s]) %}{% for i in range(16) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | join | length }}",
        "{% set s = 'x' * 100000 %}{{ s | replace('x', s) | length }}",
        "{% macro f() %}{{ 0" + String(repeating: "+1", count: 150)
            + "+f()|length }}{% endmacro %}{{ f() }}",
        // Texts that would take long to compare.
        #"{{ [{'a': 1}] | map(attribute='e' + '\u0301\u0316' * 300) | list }}"#,
        #"{{ messages['a' ~ '\u0301' * 600] }}"#, #"{{ '\u0301' * 513 }}"#,
        #"{{ 'aaaa' | replace('a', '\u0301' * 200) | length }}"#,
        #"{{ ['aaaa'] | map('replace', 'a', '\u0301' * 200) | list | length }}"#,
        #"{{ 'a'.join(['\u0301' * 300] * 3).replace('a', '') }}"#,
        #"{% set a %}{{ '\u0301' * 400 }}{{ '\u0301' * 400 }}{% endset %}{{ a == 'a' }}"#,
        #"{% macro f() %}{{ '\u0301' * 400 }}{{ '\u0301' * 400 }}{% endmacro %}{{ f() == 'a' }}"#,
        "{{ 'x' * 999999999 }}", "{{ range(999999999) | list }}", "{{ '%s' | indent(99999999) }}",
    ])
    func neverRunsAway(_ source: String) throws {
        #expect(throws: TemplateError.self) { try Self.render(source) }
    }

    @Test(arguments: [
        "{% if %}", "{{ ", "{% for %}", "{% include 'x' %}", "{{ a | nosuchfilter }}",
        "{{ a is nosuchtest }}",
        "{% endif %}", "{{ 'a }}", "{# open", "{{ " + String(repeating: "(", count: 5000),
        String(repeating: "{% if 1 %}", count: 5000),
        "{{ 1" + String(repeating: "+1", count: 20_000) + " }}",
        "{{ 'a'" + String(repeating: "~'a'", count: 20_000) + " }}",
        "{{ 1" + String(repeating: " and 1", count: 20_000) + " }}",
        "{{ 'a'" + String(repeating: "|trim", count: 20_000) + " }}",
        "{{ a" + String(repeating: ".a", count: 20_000) + " }}",
        "{{ " + String(repeating: "not ", count: 100) + "-" + String(repeating: "-", count: 5000)
            + "1 }}",
    ])
    func brokenTemplatesAreRefused(_ source: String) throws {
        let error = #expect(throws: TemplateError.self) { _ = try ChatTemplate(source) }
        #expect(error?.kind == .syntax)
    }

    @Test func errorsSayWhere() throws {
        let error = #expect(throws: TemplateError.self) {
            try Self.render("a\nb\n{{ raise_exception('no') }}")
        }
        #expect(error?.kind == .raised)
        #expect(error?.line == 3)
        #expect(error?.message == "no")
        let missing = #expect(throws: TemplateError.self) {
            try Self.render("\n{{ nothing.here }}")
        }
        #expect(missing?.line == 2)
    }
}
