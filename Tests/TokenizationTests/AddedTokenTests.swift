import JSONTree
import TestSupport
import Testing
import Tokenization

/// A tokenizer with an adapter's tokens makes of texts what the adapter's whole file makes of them.
struct AddedTokenTests {
    private static let further = [
        ("<|tool|>", "special"), ("<mood>", "special"), ("zorblax", "normalized"), ("  pad  ", ""),
        ("left", "lstrip"), ("right ", "rstrip"), ("both", "lstrip rstrip special"),
        ("word", "single_word"), ("É", "normalized"), ("<|tool|>s", "special lstrip"),
        ("two words", "normalized rstrip"),
    ]

    /// The file with further tokens, and the same tokens as additions.
    private static func extended(
        _ file: JSON, _ base: Tokenizer
    ) -> (file: JSON, additions: [Tokenizer.Addition]) {
        var entries = file["added_tokens"]?.arrayValue ?? []
        var additions: [Tokenizer.Addition] = []
        // With a hole between.
        for (index, (content, flags)) in further.enumerated()
        where base.id(of: content) == nil {
            let id = base.tokenCount + 2 * index
            var entry = JSON.Object([("id", .integer(id)), ("content", .string(content))])
            for flag in ["special", "normalized", "lstrip", "rstrip", "single_word"] {
                entry[flag] = .bool(flags.contains(flag))
            }
            entries.append(.object(entry))
            additions.append(addition(.object(entry)))
        }
        guard case .object(var object) = file else { return (file, additions) }
        object["added_tokens"] = .array(entries)
        return (.object(object), additions)
    }

    private static func addition(_ entry: JSON) -> Tokenizer.Addition {
        func flag(_ name: String) -> Bool { entry[name]?.boolValue ?? false }
        var addition = Tokenizer.Addition(
            id: entry["id"]?.integerValue ?? -1, content: entry["content"]?.stringValue ?? "")
        addition.isSpecial = flag("special")
        addition.isNormalized = entry["normalized"]?.boolValue ?? !addition.isSpecial
        addition.stripsLeft = flag("lstrip")
        addition.stripsRight = flag("rstrip")
        addition.isSingleWord = flag("single_word")
        return addition
    }

    /// Texts of the corpus with tokens strewn into them.
    private static func texts(_ corpus: [String]) -> [String] {
        var generator = SeededGenerator(seed: 5)
        return corpus.prefix(600).map { text in
            var text = text
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                let place = text.indices.randomElement(using: &generator) ?? text.startIndex
                let token = further.randomElement(using: &generator)?.0 ?? ""
                let space = ["", " ", "  ", "\n", "é"].randomElement(using: &generator) ?? ""
                text.insert(contentsOf: space + token + space, at: place)
            }
            return text
        }
    }

    private static func compare(
        _ own: Tokenizer, _ whole: Tokenizer, _ corpus: [String], _ what: String
    ) {
        #expect(own.tokenCount == whole.tokenCount)
        for text in texts(corpus) {
            for adds in [true, false] {
                let ids = own.encode(text, addsSpecialTokens: adds)
                #expect(
                    ids == whole.encode(text, addsSpecialTokens: adds),
                    "\(what): \(text.debugDescription)")
                for skips in [true, false] {
                    let decoded = own.decode(ids, skipsSpecialTokens: skips)
                    #expect(
                        decoded.utf8.elementsEqual(
                            whole.decode(ids, skipsSpecialTokens: skips).utf8), "\(what): \(ids)")
                }
                var parts = Detokenizer(own)
                var others = Detokenizer(whole)
                for id in ids { #expect(parts.append(id) == others.append(id)) }
            }
        }
        for id in 0..<whole.tokenCount {
            #expect(own.isSpecial(id) == whole.isSpecial(id))
            #expect(own.bytes(of: id) == whole.bytes(of: id), "\(what): \(id)")
            guard let token = whole.token(id), !token.isEmpty else { continue }
            #expect(own.token(id) == token && own.id(of: token) == whole.id(of: token))
        }
    }

    @Test(arguments: TokenizerGoldenTests.kinds)
    func furtherTokensAreThoseOfTheWholeFile(_ kind: String) throws {
        let golden = try TokenizerGoldenTests.Golden(kind)
        let file = try TokenizerGoldenTests.golden("\(kind).tokenizer")
        let (whole, additions) = Self.extended(file, golden.tokenizer)
        Self.compare(
            try golden.tokenizer.adding(additions), try Tokenizer(huggingFace: whole),
            golden.texts, kind)
        // The base has not changed.
        #expect(golden.tokenizer.id(of: "<mood>") == nil)
        let ids = golden.ids("ids")
        for (text, ids) in zip(golden.texts, ids).prefix(50) {
            #expect(golden.tokenizer.encode(text) == ids)
        }
    }

    /// What transformers 5 writes for a file that it has read, where that is another way to make tokens.
    @Test(arguments: [
        (
            "smollm",
            #"{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}}"#
        ),
        (
            "llama2",
            #"{"normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}}"#
        ),
        ("mistral", #"{"normalizer":null,"pre_tokenizer":null}"#),
        ("gpt2", #"{"normalizer":{"type":"NFC"}}"#),
        (
            "qwen2",
            #"{"normalizer":null,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<x>":{"id":"<x>","ids":[5,ID],"tokens":["<x>"]}}}}"#
        ),
    ])
    func anotherWayToMakeTokensIsThatOfTheWholeFile(_ kind: String, _ change: String) throws {
        let golden = try TokenizerGoldenTests.Golden(kind)
        let file = try TokenizerGoldenTests.golden("\(kind).tokenizer")
        let id = golden.tokenizer.tokenCount
        let changes = try JSON(
            parsing: Array(change.replacing("ID", with: "\(id)").utf8))
        guard case .object(var object) = Self.extended(file, golden.tokenizer).file else { return }
        for (name, value) in changes.objectValue?.members ?? [] { object[name] = value }
        let whole = try Tokenizer(huggingFace: .object(object))
        let additions = (object["added_tokens"]?.arrayValue ?? []).map(Self.addition)
        var parts = object
        parts["added_tokens"] = nil
        var model = try #require(object["model"]?.objectValue)
        model["vocab"] = nil
        model["merges"] = nil
        parts["model"] = .object(model)
        let own = try golden.tokenizer.adding(additions, parts: .object(parts))
        Self.compare(own, whole, golden.texts, kind)
        // It is another way.
        let differs = golden.texts.contains {
            own.encode($0) != golden.tokenizer.encode($0)
        }
        #expect(differs && own.additions(to: golden.tokenizer) == nil)
    }

    /// Tools write the same in several ways.
    @Test(arguments: TokenizerGoldenTests.kinds)
    func whatSaysTheSameAddsNothing(_ kind: String) throws {
        let golden = try TokenizerGoldenTests.Golden(kind)
        let file = try TokenizerGoldenTests.golden("\(kind).tokenizer")
        guard case .object(var object) = file else { return }
        if object["post_processor"]?.isNull != false {
            object["post_processor"] = [
                "type": "TemplateProcessing", "special_tokens": [],
                "single": [["Sequence": ["id": "A", "type_id": 0]]],
            ]
        }
        if object["normalizer"]?.isNull != false {
            object["normalizer"] = ["type": "Sequence", "normalizers": []]
        }
        var model = try #require(object["model"]?.objectValue)
        (model["vocab"], model["merges"]) = (nil, nil)
        model["dropout"] = .null
        model["fuse_unk"] = model["fuse_unk"] ?? false
        // Never needed where every byte is a token.
        let knowsAllBytes = ["llama2", "mistral", "gemma"].contains(kind)
        if knowsAllBytes { model["unk_token"] = .null }
        object["model"] = .object(model)
        let entries = object["added_tokens"]?.arrayValue ?? []
        let all = entries.map(Self.addition)
        let same = try golden.tokenizer.adding(all, parts: .object(object))
        #expect(same.additions(to: golden.tokenizer) == [])
        Self.compare(same, golden.tokenizer, golden.texts, kind)
        var more = Tokenizer.Addition(id: golden.tokenizer.tokenCount + 3, content: "<mood>")
        more.isSpecial = true
        let further = try golden.tokenizer.adding(all + [more], parts: .object(object))
        #expect(further.additions(to: golden.tokenizer) == [more.id])
        guard let first = all.first else { return }
        var changed = all
        changed[0].isSpecial.toggle()
        let other = try golden.tokenizer.adding(changed, parts: .object(object))
        #expect(other.additions(to: golden.tokenizer) == [first.id])
        // One that the base has and this one lacks.
        let fewer = try golden.tokenizer.adding(Array(all.dropFirst()), parts: .object(object))
        #expect(fewer.additions(to: golden.tokenizer) == nil)
        #expect(!fewer.encode(first.content, addsSpecialTokens: false).contains(first.id))
    }

    /// The leftmost token first, the longest of those that begin there, and of two with one text the lower id.
    @Test(arguments: 1...20)
    func tokensAreFoundLeftmostAndLongest(_ seed: Int) throws {
        let base = try TokenizerGoldenTests.Golden("gpt2").tokenizer
        var generator = SeededGenerator(seed: UInt64(seed))
        func text(_ most: Int) -> String {
            String(
                (0..<Int.random(in: 1...most, using: &generator)).map { _ in
                    "xyé".randomElement(using: &generator) ?? "x"
                })
        }
        let additions = (0..<12).map {
            Tokenizer.Addition(id: base.tokenCount + $0, content: text(5))
        }
        let own = try base.adding(additions.shuffled(using: &generator))
        for _ in 0..<200 {
            let text = text(40)
            var (expected, rest, stretch): ([Int], Substring, String) = ([], text[...], "")
            func flush() {
                expected += base.encode(stretch, addsSpecialTokens: false)
                stretch = ""
            }
            while let first = rest.first {
                let found = additions.filter { rest.hasPrefix($0.content) }
                    .max { ($0.content.count, $1.id) < ($1.content.count, $0.id) }
                if let found {
                    flush()
                    expected.append(found.id)
                } else {
                    stretch.append(first)
                }
                rest = rest.dropFirst(found?.content.count ?? 1)
            }
            flush()
            #expect(own.encode(text, addsSpecialTokens: false) == expected, "\(text)")
        }
    }

    /// Normalizers of the base's own are no burden, however they are.
    @Test func theBasesNormalizersAreTaken() throws {
        let file = try TokenizerGoldenTests.golden("gpt2.tokenizer")
        var object = try #require(file.objectValue)
        object["normalizer"] = ["type": "Replace", "pattern": ["String": "``"], "content": "\"\""]
        let base = try Tokenizer(huggingFace: .object(object))
        var parts = object
        parts["model"] = ["type": "BPE"]
        let additions = (object["added_tokens"]?.arrayValue ?? []).map(Self.addition)
        let own = try base.adding(additions, parts: .object(parts))
        #expect(own.additions(to: base) == [] && own.encode("``a") == base.encode("\"\"a"))
    }

    @Test func partsThatAreNotSupportedAreRefused() throws {
        let base = try TokenizerGoldenTests.Golden("gpt2").tokenizer
        for parts in [
            ["model": ["type": "Unigram"]], ["model": ["byte_fallback": true]],
            ["normalizer": ["type": "Lowercase"]],
            ["pre_tokenizer": ["type": "Whitespace"]], ["decoder": ["type": "WordPiece"]],
            [
                "post_processor": [
                    "type": "TemplateProcessing", "single": [["SpecialToken": ["id": "<s>"]]],
                    "special_tokens": ["<s>": ["ids": [100_000_000]]],
                ]
            ],
            // What makes much of little.
            ["normalizer": ["type": "Replace", "pattern": ["String": "a"], "content": "aa"]],
            ["normalizer": ["type": "Replace", "pattern": ["String": "ab"], "content": "a"]],
            ["normalizer": ["type": "Prepend", "prepend": "ab"]],
            [
                "normalizer": [
                    "type": "Sequence",
                    "normalizers": .array(Array(repeating: ["type": "NFC"], count: 9)),
                ]
            ],
            [
                "post_processor": [
                    "type": "TemplateProcessing",
                    "single": .array(Array(repeating: ["SpecialToken": ["id": "<s>"]], count: 65)),
                    "special_tokens": ["<s>": ["ids": [5]]],
                ]
            ],
        ] as [JSON] {
            #expect(throws: TokenizerError.self, "\(parts.text())") {
                try base.adding([], parts: parts)
            }
        }
    }
}
