import Grammar
import JSONTree
import Testing

/// Grammars of parts: notation, tags, and what has special tokens.
struct ComposedTests {
    /// A token for each byte, and a special one.
    private static let vocabulary = TokenVocabulary(
        (0...255).map { [UInt8($0)] } + [GrammarSource.bytes(ofSpecialToken: Array("<call>".utf8))])

    /// Whether a grammar takes a text, of which `\u{1}` stands for the special token.
    private func takes(_ grammar: CompiledGrammar, _ text: String) throws -> Bool {
        var state = grammar.start
        for byte in text.utf8 {
            let token: Int32 = byte == 1 ? 256 : Int32(byte)
            let mask = try grammar.mask(state)
            let isAllowed = mask[Int(token) / 64] >> UInt64(token % 64) & 1 == 1
            let next = try grammar.next(state, token)
            #expect(isAllowed || next == nil, "\(text)")
            guard let next else { return false }
            state = next
        }
        return grammar.mayEnd(state)
    }

    private func check(_ source: GrammarSource, _ right: [String], _ wrong: [String]) throws {
        let grammar = try CompiledGrammar(source, Self.vocabulary)
        for text in right { #expect(try takes(grammar, text), "\(text)") }
        for text in wrong { #expect(try !takes(grammar, text), "\(text)") }
    }

    @Test(
        arguments: [
            ("root ::= \"a\" [b-d]* | \"x\"", ["a", "abcd", "x"], ["", "b", "ax", "abe"]),
            (
                "# sums\nroot ::= expr\nexpr ::= term ([+*] term)*\nterm ::= [0-9]+ |\n  \"(\" expr \")\"",
                ["1", "1+2*(3+(4))"], ["", "1+", "(1", "1)"]
            ),
            // Left recursion, mutual recursion, nothing at all.
            ("root ::= root \"a\" | \"b\"", ["b", "baa"], ["", "a", "ab"]),
            (
                "root ::= x\nx ::= \"(\" y \")\" | \"\"\ny ::= x x", ["", "()", "(()())"],
                ["(", ")("]
            ),
            (
                "root ::= (a? b?){2} \".\"\na ::= \"a\" a | \"a\"\nb ::= \"b\"",
                [".", "aab.", "abab."], ["bbb.", "a"]
            ),
            (
                "root ::= item{2,3}\nitem ::= \"[\" item* \"]\"", ["[][]", "[[]][][]"],
                ["[]", "[][][][]"]
            ),
            (
                #"root ::= "\x41\u00e9\n" [^a-z\]]"#, ["Aé\n]"].map { _ in "Aé\nB" },
                ["Aé\na", "Aé\n]"]
            ),
            ("root ::= . .", ["ab", "é🪶"], ["a", "abc"]),
            ("root ::= <call> \"x\"", ["\u{1}x", "<call>x"], ["x", "\u{1}"]),
            ("root ::=\n  \"a\"\n  | \"b\"\nother ::= \"c\"", ["a", "b"], ["c"]),
        ] as [(String, [String], [String])])
    func notationIsRead(_ text: String, _ right: [String], _ wrong: [String]) throws {
        try check(.notation(text), right, wrong)
    }

    @Test(
        arguments: [
            ("", "invalid_grammar"), ("rule ::= \"a\"", "invalid_grammar"),
            ("root ::= missing", "invalid_grammar"), ("root ::= \"a", "invalid_grammar"),
            ("root ::= (\"a\"", "invalid_grammar"), ("root ::= [z-a]", "invalid_grammar"),
            ("root ::= \"a\"\nroot ::= \"b\"", "invalid_grammar"),
            ("root = \"a\"", "invalid_grammar"),
            ("root ::= \"\\q\"", "invalid_grammar"), ("root ::= \"a\" )", "invalid_grammar"),
            ("root ::= \"a\"{3,1}", "invalid_grammar"), ("root ::= \"\\ud800\"", "invalid_grammar"),
            ("root ::= <[5]>", "unsupported_grammar"), ("root ::= !<a>", "unsupported_grammar"),
            ("root ::= \"a\" root", "unsatisfiable_grammar"),
            ("root ::= x\nx ::= y\ny ::= x", "unsatisfiable_grammar"),
            ("root ::= \"a\"{9999999}", "grammar_too_complex"),
            ("root ::= x{5000}\nx ::= \"a\" x | \"b\"", "grammar_too_complex"),
            ("root ::= " + String(repeating: "(", count: 2000), "grammar_too_complex"),
            (String(repeating: "x", count: 70_000), "grammar_too_complex"),
            (
                "root ::= x0\n"
                    + (0..<3000).map { "x\($0) ::= x\($0 + 1) x\($0 + 1)" }.joined(separator: "\n")
                    + "\nx3000 ::= \"a\"", "grammar_too_complex"
            ),
        ] as [(String, String)])
    func whatIsNoGrammarIsRefused(_ text: String, _ code: String) throws {
        let error = #expect(throws: GrammarError.self) {
            _ = try CompiledGrammar(.notation(text), Self.vocabulary)
        }
        #expect(error?.code.rawValue == code, "\(String(describing: error))")
    }

    @Test func partsAreJoined() throws {
        let number = GrammarSource.schema(["type": "integer"])
        try check(
            .sequence([.free(without: ["<call>"]), .marker("<call>"), number]),
            ["\u{1}12", "so <call>-5", "<cal<call>0"],
            ["", "12", "\u{1}", "a\u{1}x", "\u{1}1<call>2"])
        try check(
            .repeated(number, between: .literal(", "), least: 2, most: 3), ["1, 2", "1, 2, 3"],
            ["1", "1,2", "1, 2, 3, 4"])
        try check(
            .repeated(.choice(["a", "b"]), between: .literal("-"), least: 0, most: nil),
            ["", "a", "a-b-a"], ["-", "a-"])
        try check(
            .either([.jsonObject, .literal("none"), .pattern("x+")]), [#"{"a":1}"#, "none", "xx"],
            ["", "nonex", "[]"])
    }

    @Test func structuralTagsAreRead() throws {
        let old: JSON = [
            "type": "structural_tag", "triggers": ["<f"],
            "structures": [
                ["begin": "<f=a>", "schema": ["type": "integer"], "end": "</f>"],
                ["begin": "<f=b>", "schema": ["const": true], "end": "</f>"],
            ],
        ]
        try check(
            .structuralTag(old), ["", "text", "t <f=a>1</f> u <f=b>true</f>", "<<f=a>2</f>"],
            ["<f", "<f=a>true</f>", "<f=c>1</f>", "<f=a>1"])
        let new: JSON = [
            "type": "structural_tag",
            "format": [
                "type": "sequence",
                "elements": [
                    [
                        "type": "tag", "begin": "<think>", "content": ["type": "any_text"],
                        "end": "</think>",
                    ],
                    [
                        "type": "tags_with_separator", "separator": ";", "at_least_one": true,
                        "tags": [
                            [
                                "begin": "(", "end": ")",
                                "content": [
                                    "type": "or",
                                    "elements": [
                                        ["type": "regex", "pattern": "[0-9]+"],
                                        [
                                            "type": "grammar",
                                            "grammar": "root ::= \"x\" root | \"y\"",
                                        ],
                                        ["type": "json_schema", "json_schema": ["type": "null"]],
                                    ],
                                ],
                            ]
                        ],
                    ],
                ],
            ],
        ]
        try check(
            .structuralTag(new), ["<think>a < b</think>(1)", "<think></think>(xxy);(null)"],
            ["(1)", "<think></think>", "<think></think>(1)(2)", "<think></think>(z)"])
        for bad in [[:], ["format": ["type": "other"]], ["structures": [], "triggers": []]]
            as [JSON]
        {
            #expect(throws: GrammarError.self) { _ = try GrammarSource.structuralTag(bad) }
        }
    }
}
