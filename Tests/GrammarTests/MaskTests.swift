import Grammar
import JSONTree
import Testing

/// Which tokens may come next.
struct MaskTests {
    /// Single bytes, and tokens of several that cross the borders of JSON's own; the first stands for no text.
    static let vocabulary: TokenVocabulary = {
        let longer = [
            "\":", "\",", "\"}", "{\"", "[1", ", ", "\": \"", "true", "false", "null", "abc", "ab",
            "b\"",
            "\\n", "\\u00", "é", "12", ".5", "\n  ", "]}", "\"name\"", "name",
        ]
        let bytes = (0...255 as ClosedRange<UInt8>).map { [$0] }
        return TokenVocabulary([nil] + bytes + longer.map { Array($0.utf8) })
    }()

    static let sources: [GrammarSource] = [
        .jsonObject, .choice(["yes", "no", "né"]), .pattern("[ab]{2,3}(\\.5)?"),
        .schema([
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": [
                "name": ["type": "string", "maxLength": 3],
                "tags": ["type": "array", "items": ["enum": ["ab", "abc", 12]]],
            ],
        ]),
    ]

    /// A mask says of each token what reading it says, whatever was asked before.
    @Test(arguments: sources)
    func masksAgreeWithReading(_ source: GrammarSource) throws {
        let grammar = try CompiledGrammar(source, Self.vocabulary)
        var (seen, waiting): (Set<Int32>, [Int32]) = ([grammar.start], [grammar.start])
        var (checked, extra) = (0, 0)
        while let state = waiting.popLast(), checked < 60 {
            checked += 1
            let mask = try grammar.mask(state)
            for token in Int32(0)..<Int32(279) {
                let isAllowed = mask[Int(token) / 64] >> UInt64(token % 64) & 1 != 0
                let next = try grammar.next(state, token)
                #expect(isAllowed || next == nil, "token \(token)")
                // Where counts are far from their ends a mask does not look at them.
                if isAllowed, next == nil { extra += 1 }
                if let next, seen.insert(next).inserted { waiting.append(next) }
            }
        }
        #expect(checked > 3 && extra == 0)
    }

    /// Words, blanks and other alphabets, of few bytes and of many, in places that take all, some or none of them together.
    @Test(arguments: [
        #"{"type":"object","properties":{"name":{"type":"integer"},"nameless":{"const":1}},"#
            + #""additionalProperties":{"type":"string","maxLength":36}}"#,
        #"{"type":"string","maxLength":12}"#, #"{"type":"string","minLength":2,"maxLength":50}"#,
        #"{"type":"string","pattern":"^[A-Za-z ]*$"}"#,
        #"{"type":"string","pattern":"^.{0,9}é?$"}"#,
        #"{"type":"string","pattern":"^(?:\\S+\\s+){0,3}\\S+$"}"#,
        #"{"enum":["name","other word"]}"#,
        #"{"type":"object","patternProperties":{"^[a-z]+$":{"type":"null"}},"additionalProperties":false}"#,
    ])
    func groupsOfTokensAgreeWithReading(_ schema: String) throws {
        let words = [
            "name", "Name", " name", " Word", "words", "日本", "é", " é", "éa", "a b", "\u{2028}",
            "e\u{85}", "less\":", "word\"", " é\"", "日\"}", "\": \"", "x\\n",
            String(repeating: " ", count: 40), String(repeating: "w", count: 34),
            String(repeating: "é", count: 18), String(repeating: "-", count: 60) + "\"",
        ]
        let bytes = (0...255 as ClosedRange<UInt8>).map { [$0] }
        let vocabulary = TokenVocabulary(bytes + words.map { Array($0.utf8) } + [[0xE6, 0x97]])
        let grammar = try CompiledGrammar(
            .schema(try JSON(parsing: Array(schema.utf8))), vocabulary)
        var (seen, waiting): (Set<Int32>, [Int32]) = ([grammar.start], [grammar.start])
        var place = 0
        while place < waiting.count, place < 150 {
            let state = waiting[place]
            place += 1
            // Looking ahead, and stopping after little work, change nothing.
            _ = grammar.forced(state)
            var mask = place % 2 == 0 ? try grammar.mask(state) : nil
            while mask == nil { mask = try grammar.mask(state, work: 1) }
            let tokens = try #require(mask)
            for token in 0..<Int32(256 + words.count + 1) {
                let isAllowed = tokens[Int(token) / 64] >> UInt64(token % 64) & 1 != 0
                let next = try grammar.next(state, token)
                #expect(isAllowed == (next != nil), "token \(token) at \(place)")
                if let next, seen.insert(next).inserted { waiting.append(next) }
            }
        }
        #expect(place > 2)
    }

    /// Adapters with tokens of their own come and go; what is kept for them is bounded, and masks are the same.
    @Test func vocabulariesComeAndGo() throws {
        let source = GrammarSource.pattern("(yes|no|maybe)[0-9]{0,40}")
        let grammar = try CompiledGrammar(source, Self.vocabulary)
        let others = (0..<60).map { number in
            TokenVocabulary(["yes", "no\(number)", "\(number)", "x"].map { Array($0.utf8) })
        }
        var masks: [[UInt64]?] = Array(repeating: nil, count: others.count)
        // All of them at once, a little at a time.
        for _ in 0..<2000 where masks.contains(nil) {
            for (place, other) in others.enumerated() where masks[place] == nil {
                masks[place] = try grammar.mask(grammar.start, work: 30, of: other)
            }
        }
        for mask in masks { #expect(mask == [0b0011]) }
        var byteCount = 0
        for number in 100..<400 {
            let other = TokenVocabulary(["yes\(number)", "n"].map { Array($0.utf8) })
            while try grammar.mask(grammar.start, work: .max, of: other) == nil {}
            if number == 130 { byteCount = grammar.byteCount }
        }
        #expect(grammar.byteCount == byteCount)
    }

    /// Looking ahead has little work to spend: what it gave up is not taken for what there is.
    @Test func whatIsGivenUpIsAskedAgain() throws {
        let names = (0..<1500).map { ("p\($0)", JSON.object(JSON.Object([("const", 1)]))) }
        let inner: JSON = ["type": "object", "properties": .object(JSON.Object(names))]
        let grammar = try CompiledGrammar(
            .schema([
                "type": "object", "required": ["configuration"], "additionalProperties": false,
                "properties": ["configuration": inner],
            ]), Self.vocabulary)
        var state = grammar.start
        for byte in #"{"configuration":{"p7":1}}"#.utf8 {
            _ = grammar.forced(state)
            let mask = try grammar.mask(state)
            let token = Int(byte) + 1
            #expect(mask[token / 64] >> UInt64(token % 64) & 1 == 1, "\(Unicode.Scalar(byte))")
            state = try #require(try grammar.next(state, Int32(token)))
        }
        #expect(grammar.mayEnd(state))
    }

    /// However long a text is, nothing is as deep as it is long.
    @Test func longTextsAreNotDeep() throws {
        let long = String(repeating: "a", count: 200_000)
        for source in [
            GrammarSource.choice([long + "b", long + "c"]),
            .schema([
                "enum": [
                    .string(String(long.prefix(50_000)) + "b"),
                    .string(String(long.prefix(50_000)) + "c"),
                ]
            ]),
            .sequence([.free(without: [String(long.prefix(300))]), .literal(long)]),
        ] {
            let grammar = try CompiledGrammar(source, Self.vocabulary)
            #expect(grammar.mayContinue(grammar.start))
        }
    }

    /// Where a text has no choice its tokens are the longest ones, but for the last.
    @Test func whatIsForcedIsKnownAhead() throws {
        let grammar = try CompiledGrammar(
            .choice(["nameabc\n  x", "nameabc\n  y", "q"]), Self.vocabulary)
        #expect(grammar.forced(grammar.start).isEmpty)
        func next(_ state: Int32, _ text: String) throws -> Int32 {
            var state = state
            for byte in text.utf8 {
                state = try #require(try grammar.next(state, Int32(byte) + 1))
            }
            return state
        }
        let forced = grammar.forced(try next(grammar.start, "n"))
        #expect(forced.map(Self.bytes) == ["a", "m", "e", "abc"].map { Array($0.utf8) })
        #expect(grammar.forced(try next(grammar.start, "nameabc")).isEmpty)
        let end = try next(grammar.start, "nameabc\n  x")
        #expect(grammar.forced(end).isEmpty && grammar.mayEnd(end))
        for token in forced.indices {
            _ = try #require(
                try grammar.next(
                    try next(grammar.start, "n" + String("ameabc".prefix([0, 1, 2, 3][token]))),
                    forced[token]))
        }
    }

    /// Tokens drawn at random among those allowed: there is always one, or the text may end; and what ends is JSON that
    /// the schema accepts.
    @Test(arguments: 0..<40)
    func randomTextsAreComplete(_ seed: Int) throws {
        let source = Self.sources[3]
        let grammar = try CompiledGrammar(source, Self.vocabulary)
        guard case .schema(let schema) = source else { return }
        var state = grammar.start
        var text: [UInt8] = []
        var random = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1
        for step in 0..<400 {
            let mask = try grammar.mask(state)
            let allowed = (0..<Int32(279)).filter { mask[Int($0) / 64] >> UInt64($0 % 64) & 1 != 0 }
            #expect(!allowed.isEmpty || grammar.mayEnd(state))
            if allowed.isEmpty || grammar.mayEnd(state) && step > 10 { break }
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let token = allowed[Int(random >> 33) % allowed.count]
            text += Self.bytes(token)
            guard let next = try grammar.next(state, token) else { break }
            state = next
        }
        guard grammar.mayEnd(state) else { return }
        let value = try JSON(parsing: text)
        var checker = try SchemaChecker(schema)
        #expect(try checker.accepts(value), "\(String(decoding: text, as: UTF8.self))")
    }

    private static func bytes(_ token: Int32) -> [UInt8] {
        let longer = [
            "\":", "\",", "\"}", "{\"", "[1", ", ", "\": \"", "true", "false", "null", "abc", "ab",
            "b\"",
            "\\n", "\\u00", "é", "12", ".5", "\n  ", "]}", "\"name\"", "name",
        ]
        return token <= 256 ? [UInt8(token - 1)] : Array(longer[Int(token) - 257].utf8)
    }

    @Test func endsAreKnown() throws {
        let grammar = try CompiledGrammar(.choice(["ab", "abc"]), Self.vocabulary)
        var state = grammar.start
        for byte in "ab".utf8 { state = try #require(try grammar.next(state, Int32(byte) + 1)) }
        #expect(grammar.mayEnd(state) && grammar.mayContinue(state))
        state = try #require(try grammar.next(state, Int32(UInt8(ascii: "c")) + 1))
        #expect(grammar.mayEnd(state) && !grammar.mayContinue(state))
        #expect(try grammar.next(grammar.start, 0) == nil)
    }

    @Test(arguments: ["a{20000}", "(", "(?<=a)b", "a\\b", "[z-a]", "a((?=b)^b)"])
    func patternsThatCannotBeAreRefused(_ pattern: String) {
        #expect(throws: GrammarError.self) {
            _ = try CompiledGrammar(.pattern(pattern), Self.vocabulary)
        }
    }

    /// A mask that is made in pieces is the mask that is made at once.
    @Test(arguments: ["(a|b|ab|ba|.){0,300}z", #"[a-z]{3,}@[a-z]+\.com"#, "(.*a.{9})|x+"])
    func masksInPiecesAreTheSame(_ pattern: String) throws {
        let vocabulary = TokenVocabulary(
            (0x20...0x7E).map { [UInt8($0)] }
                + ["ab", "abc", "xyz", "za", "aaaaaaaa", "bbaab"].map { Array($0.utf8) })
        let whole = try CompiledGrammar(.pattern(pattern), vocabulary)
        let pieces = try CompiledGrammar(.pattern(pattern), vocabulary)
        var (a, b) = (whole.start, pieces.start)
        var waits = 0
        for byte in "abxab".utf8 {
            let mask = try whole.mask(a)
            var made: [UInt64]?
            while made == nil {
                made = try pieces.mask(b, work: 5)
                if made == nil { waits += 1 }
            }
            #expect(made == mask)
            guard let next = try whole.next(a, Int32(byte) - 0x20),
                let other = try pieces.next(b, Int32(byte) - 0x20)
            else { break }
            (a, b) = (next, other)
        }
        #expect(waits > 0)
    }
}
