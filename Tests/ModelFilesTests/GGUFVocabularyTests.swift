import Foundation
import JSONTree
import ModelFiles
import TestSupport
import Testing

/// An adapter's tokens beside those of a GGUF base with pieces and scores, which are not written as in `tokenizer.json`.
struct GGUFVocabularyTests {
    private let folder: TemporaryFolder
    private let base: Checkpoint
    private static let merges: JSON = [["t", "e"]]
    /// As Gemma's: a byte's character, and runs of spaces that are added tokens.
    private static let vocabulary: [(String, JSON)] =
        [
            ("<unk>", 0), ("<s>", 1), ("</s>", 2), ("\t", 3), ("\u{2581}", 4),
            ("\u{2581}\u{2581}", 5),
        ]
        + (6..<68).map { ("t\($0)", .integer($0)) }

    init() throws {
        folder = try TemporaryFolder()
        try folder.copyAdapter(Repository.conformance("llama/plain"))
        let model = Repository.conformance("llama/model.gguf")
        var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: model)))
        // Converters fill up with tokens that nobody uses.
        let texts =
            ["<unk>", "<s>", "</s>", "<0x09>", "\u{2581}", "  "] + (6..<68).map { "t\($0)" }
            + ["[PAD68]", "<unused>"]
        let types = [2, 3, 3, 6, 1, 4] + Array(repeating: 1, count: 63) + [5]
        var entries = Entries()
        entries.add("tokenizer.ggml.model", text: "llama")
        entries.add("tokenizer.ggml.tokens", texts: texts)
        entries.add("tokenizer.ggml.token_type", numbers: types)
        entries.fill()
        let count = bytes[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
        bytes.replaceSubrange(16..<24, with: Entries.word(count + entries.count))
        bytes.insert(contentsOf: entries.bytes, at: 24)
        try folder.write(bytes, to: "base.gguf")
        base = try Checkpoint.open(path: folder.path("base.gguf"))
    }

    /// Metadata of a GGUF file.
    private struct Entries {
        var bytes: [UInt8] = []
        var count = 0

        static func word(_ value: Int, _ size: Int = 8) -> [UInt8] {
            (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }

        private static func string(_ text: String) -> [UInt8] {
            word(text.utf8.count) + Array(text.utf8)
        }

        private mutating func add(_ name: String, type: Int, _ value: [UInt8]) {
            bytes += Entries.string(name) + Entries.word(type, 4) + value
            count += 1
        }

        mutating func add(_ name: String, text: String) {
            add(name, type: 8, Entries.string(text))
        }

        mutating func add(_ name: String, texts: [String]) {
            add(
                name, type: 9,
                Entries.word(8, 4) + Entries.word(texts.count) + texts.flatMap(Entries.string))
        }

        mutating func add(_ name: String, numbers: [Int]) {
            add(
                name, type: 9,
                Entries.word(5, 4) + Entries.word(numbers.count)
                    + numbers.flatMap { Entries.word($0, 4) })
        }

        /// To where the tensors' alignment stays as it was.
        mutating func fill() {
            let rest = 32 - (bytes.count + 8 + 1 + 4 + 8) % 32
            add("x", text: String(repeating: "x", count: rest))
        }
    }

    private func open(
        _ vocabulary: [(String, JSON)] = GGUFVocabularyTests.vocabulary
    ) throws -> AdapterFile {
        let tokens: JSON = [
            ["id": 1, "content": "<s>", "special": true],
            ["id": 5, "content": "\u{2581}\u{2581}", "normalized": false],
            ["id": 68, "content": "<new>", "special": true],
        ]
        let model: JSON = [
            "type": "BPE", "byte_fallback": true, "vocab": .object(JSON.Object(vocabulary)),
            "merges": Self.merges,
        ]
        let file: JSON = ["model": model, "added_tokens": tokens]
        try folder.write(file.text(), to: "tokenizer.json")
        return try AdapterFile.open(path: folder.url.path, base: base, limits: AdapterLimits())
    }

    @Test func tokensAreTakenAsTheBaseWritesThem() throws {
        let text = try #require(try open().text)
        #expect(text.addedTokens.map(\.content) == ["<s>", "  ", "<new>"])
        try FileManager.default.removeItem(atPath: folder.path("tokenizer.json"))
        try folder.write(
            #"{"added_tokens_decoder":{"5":{"content":"▁▁","normalized":false},"69":{"content":"<more>"}}}"#,
            to: "tokenizer_config.json")
        let file = try AdapterFile.open(
            path: folder.url.path, base: base, limits: AdapterLimits())
        #expect(file.text?.addedTokens.map(\.content) == ["  ", "<more>"])
    }

    @Test func anotherVocabularyIsRefused() throws {
        func expectRefusal(_ vocabulary: [(String, JSON)]) {
            let error = #expect(throws: ModelFileError.self) { try open(vocabulary) }
            #expect(error?.message.contains("vocabulary") == true)
        }
        // One that it lacks, one more, one elsewhere, another byte.
        expectRefusal(Self.vocabulary.filter { $0.0 != "t9" })
        expectRefusal(Self.vocabulary + [("more", 68)])
        expectRefusal(Self.vocabulary.map { $0.0 == "t9" ? ("t9", 10) : $0 })
        expectRefusal(Self.vocabulary.map { $0.0 == "\t" ? ("\n", 3) : $0 })
    }
}
