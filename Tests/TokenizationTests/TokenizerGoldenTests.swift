import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenization

/// Token for token what the `tokenizers` package makes of more than 2,000 awkward strings, with a
/// vocabulary of each supported kind. scripts/make_text_goldens.py makes the goldens.
struct TokenizerGoldenTests {
    static let kinds = ["gpt2", "smollm", "llama3", "qwen2", "llama2", "mistral", "gemma", "o200k"]

    static func golden(_ name: String) throws -> JSON {
        let path = Repository.path("Tests/TokenizationTests/Goldens/\(name).json")
        return try JSON(parsing: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
    }

    struct Golden {
        let tokenizer: Tokenizer
        let texts: [String]
        private let expected: JSON

        init(_ kind: String) throws {
            tokenizer = try Tokenizer(huggingFace: try golden("\(kind).tokenizer"))
            texts = try golden("corpus").arrayValue?.compactMap(\.stringValue) ?? []
            expected = try golden("\(kind).expected")
        }

        func ids(_ name: String) -> [[Int]] {
            expected[name]?.arrayValue?.map { $0.arrayValue?.compactMap(\.integerValue) ?? [] }
                ?? []
        }

        func strings(_ name: String) -> [String] {
            expected[name]?.arrayValue?.compactMap(\.stringValue) ?? []
        }
    }

    /// Files write a merge as two texts, or, before tokenizers 0.20, as one with a space between.
    @Test(arguments: kinds)
    func mergesMayBeOneText(_ kind: String) throws {
        let golden = try Golden(kind)
        var file = try #require(try Self.golden("\(kind).tokenizer").objectValue)
        var model = try #require(file["model"]?.objectValue)
        let merges = try #require(model["merges"]?.arrayValue)
        model["merges"] = .array(
            merges.map { merge in
                guard let parts = merge.arrayValue else { return merge }
                return .string(parts.compactMap(\.stringValue).joined(separator: " "))
            })
        file["model"] = .object(model)
        let other = try Tokenizer(huggingFace: .object(file))
        for text in golden.texts.prefix(500) {
            #expect(other.encode(text) == golden.tokenizer.encode(text))
        }
    }

    @Test(arguments: kinds)
    func encodesEqually(_ kind: String) throws {
        let golden = try Golden(kind)
        #expect(golden.texts.count >= 2000)
        let expected = golden.ids("ids")
        #expect(expected.count == golden.texts.count)
        for (text, ids) in zip(golden.texts, expected) {
            #expect(golden.tokenizer.encode(text) == ids, "\(kind): \(text.debugDescription)")
        }
        for (text, ids) in zip(golden.texts, golden.ids("plain")) {
            #expect(golden.tokenizer.encode(text, addsSpecialTokens: false) == ids)
        }
    }

    @Test(arguments: kinds)
    func decodesEqually(_ kind: String) throws {
        let golden = try Golden(kind)
        let sequences = golden.ids("sequences")
        #expect(sequences.count >= 600)
        for (index, ids) in sequences.enumerated() {
            let decoded = golden.tokenizer.decode(ids)
            #expect(
                decoded.utf8.elementsEqual(golden.strings("decoded")[index].utf8), "\(kind): \(ids)"
            )
            let special = golden.tokenizer.decode(ids, skipsSpecialTokens: false)
            #expect(
                special.utf8.elementsEqual(golden.strings("decodedSpecial")[index].utf8),
                "\(kind): \(ids)")
        }
        for (ids, text) in zip(golden.ids("ids"), golden.strings("roundTrips")) {
            #expect(golden.tokenizer.decode(ids).utf8.elementsEqual(text.utf8), "\(kind): \(ids)")
        }
    }

    /// Pieces of a stream are whole characters, and together the text of all tokens.
    @Test(arguments: kinds)
    func streamsWholeCharacters(_ kind: String) throws {
        let golden = try Golden(kind)
        for ids in golden.ids("ids") {
            var detokenizer = Detokenizer(golden.tokenizer)
            var pieces = ids.map { detokenizer.append($0) }
            pieces.append(detokenizer.finish())
            var text = pieces.joined()
            // Only a whole text sheds the space that SentencePiece put before it.
            if ["llama2", "mistral"].contains(kind), text.utf8.first == 0x20 {
                text.unicodeScalars.removeFirst()
            }
            #expect(text.utf8.elementsEqual(golden.tokenizer.decode(ids).utf8), "\(kind): \(ids)")
            let shown = pieces.dropLast().joined()
            if !golden.tokenizer.decode(ids).unicodeScalars.contains("\u{FFFD}") {
                #expect(
                    !shown.unicodeScalars.contains("\u{FFFD}"),
                    "\(kind): half a character of \(ids)")
            }
        }
    }

    @Test func longRepetitiveTextTakesNoQuadraticTime() throws {
        // A quadratic merge would take minutes here; the test runner's time limit is the check.
        let tokenizer = try Golden("llama2").tokenizer
        let text = String(repeating: "a", count: 200_000)
        #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }

    @Test func whatIsNotSupportedIsRefusedByName() throws {
        func error(_ change: (inout JSON.Object) -> Void) throws -> String {
            guard case .object(var object) = try Self.golden("gpt2.tokenizer") else { return "" }
            change(&object)
            let error = #expect(throws: TokenizerError.self) {
                _ = try Tokenizer(huggingFace: .object(object))
            }
            return error?.description ?? ""
        }
        #expect(try error { $0["normalizer"] = ["type": "Lowercase"] }.contains("Lowercase"))
        #expect(try error { $0["pre_tokenizer"] = ["type": "Whitespace"] }.contains("Whitespace"))
        #expect(try error { $0["decoder"] = ["type": "WordPiece"] }.contains("WordPiece"))
        #expect(
            try error { $0["post_processor"] = ["type": "BertProcessing"] }.contains(
                "BertProcessing"))
        #expect(try error { $0["model"] = ["type": "Unigram"] }.contains("Unigram"))
        #expect(
            try error { $0["model"] = ["type": "BPE", "vocab": ["a": -1], "merges": []] }.contains(
                "-1"))
        #expect(
            try error { $0["model"] = ["type": "BPE", "vocab": ["a": 1], "merges": ["a b"]] }
                .contains("merge 0"))
    }
}
