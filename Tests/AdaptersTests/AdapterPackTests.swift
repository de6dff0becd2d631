import Adapters
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// A pack gives back the adapter that was written, bit by bit, or it is refused.
struct AdapterPackTests {
    private static func names(_ family: String) -> [String] {
        switch family {
        case "tools/llama":
            [
                "peft-resized", "peft-resized-tokens", "peft-resized-targets", "peft-resized-dora",
                "peft-shrunk", "trl-sft-chat", "peft-resized-scores", "mlx",
            ]
        case "tools/tied": ["resized", "resized-saved-tied", "shrunk", "spare-tokens"]
        default:
            [
                "plain", "all-linear", "all-linear.gguf", "dora", "dora-rslora-pattern",
                "lora-bias", "odd-rank", "rank-1", "rank-over-lane", "rank-pattern", "one-layer",
                "saved-both", "saved-norm", "saved-layer", "tokens-both-different",
                "embedding-dora", "head-dora", "everything", "alora-once",
            ]
        }
    }

    @Test(
        arguments: ["llama", "qwen3", "tools/llama", "tools/tied"],
        [WeightFormat.f32, .bf16, .q8])
    func whatIsReadIsWhatWasWritten(_ family: String, _ format: WeightFormat) throws {
        let base = try TinyBase(family, format)
        let untouched = base.logits(nil)
        for name in Self.names(family) {
            let adapter = try base.engine.adapter(name)
            let again = try base.read(try base.write(adapter, to: name), adapter.digest)
            #expect(again.digest == adapter.digest && again.shape == adapter.shape, "\(name)")
            #expect(again.rank == adapter.rank && again.targets == adapter.targets)
            #expect(again.baseModelName == adapter.baseModelName)
            #expect(again.byteCount == adapter.byteCount)
            #expect(again.vocabularySize == adapter.vocabularySize && again.text == adapter.text)
            let logits = base.logits(adapter)
            #expect(again.start(in: [1, 61, 33, 2]) == adapter.start(in: [1, 61, 33, 2]))
            let isSame = base.logits(again) == logits
            #expect(isSame && logits != untouched, "\(name)")
            try base.write(again, to: "again")
            let bytes = try base.bytes(name)
            let isCopy = try base.bytes("again") == bytes
            #expect(isCopy, "\(name)")
            #expect(bytes.count == AdapterPack.byteCount(of: adapter, base: base.checkpoint))
        }
    }

    /// The base's name only informs: one that is too long is cut, between two characters.
    @Test(arguments: [
        nil, "a", "name/with \"quotes\"", "モデル/🪶", String(repeating: "x", count: 1024),
        "x" + String(repeating: "é", count: 1500),
    ])
    func theNameOfTheBaseComesBack(_ name: String?) throws {
        let base = try TinyBase()
        var file = try AdapterFile.open(
            path: Repository.conformance("llama/plain"), base: base.checkpoint,
            limits: AdapterLimits())
        file.baseModelName = name
        let adapter = try DeviceAdapter(file, base: base.checkpoint, format: base.format)
        let again = try base.read(try base.write(adapter), adapter.digest).baseModelName
        if let name, let again, name.utf8.count > 1024 {
            #expect(name.hasPrefix(again) && again.utf8.count > 1020)
        } else {
            #expect(again == name)
        }
    }

    @Test func whatItSaysComesBack() throws {
        let base = try TinyBase()
        let folder = try TemporaryFolder()
        try folder.copyAdapter(Repository.conformance("llama/plain"))
        func open() throws -> DeviceAdapter {
            let file = try AdapterFile.open(
                path: folder.url.path, base: base.checkpoint, limits: AdapterLimits())
            return try DeviceAdapter(file, base: base.checkpoint, format: base.format)
        }
        let silent = try open()
        #expect(try silent.text == nil && silent.digest == base.engine.adapter("plain").digest)
        try folder.write("{{ messages }} é", to: "chat_template.jinja")
        try folder.write(
            #"{"do_sample":true,"temperature":0.25,"top_k":7,"eos_token_id":[2,5]}"#,
            to: "generation_config.json")
        let adapter = try open()
        #expect(adapter.digest != silent.digest)
        #expect(adapter.text?.chatTemplate(forTools: false) == "{{ messages }} é")
        #expect(adapter.text?.generation?.endTokens == [2, 5])
        let again = try base.read(try base.write(adapter), adapter.digest)
        #expect(again.text == adapter.text)
        #expect(
            try base.bytes("pack").count
                == AdapterPack.byteCount(of: adapter, base: base.checkpoint))
    }

    /// What it leaves out is as the base's tokenizer has it.
    @Test func aTextIsForOneTokenizer() throws {
        let base = try TinyBase("tools/tied")
        let copy = base.folder.path("model")
        try FileManager.default.copyItem(
            atPath: Repository.family("tools/tied") + "/model", toPath: copy)
        let path = copy + "/tokenizer.json"
        let text = String(
            decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
        let other = text.replacing("\"fuse_unk\": false", with: "\"fuse_unk\": true")
        #expect(other != text)
        try Data(other.utf8).write(to: URL(fileURLWithPath: path))
        let fingerprint = BaseFingerprint(of: try Checkpoint.open(path: copy))
        func read(_ name: String) throws -> DeviceAdapter {
            let adapter = try base.engine.adapter(name)
            return try AdapterPack.read(
                try base.write(adapter, to: name), digest: adapter.digest, base: base.checkpoint,
                fingerprint: fingerprint, format: base.format)
        }
        let error = #expect(throws: PackError.self) { try read("resized") }
        #expect(error?.kind == .foreign)
        _ = try base.read(base.folder.path("resized"), base.engine.adapter("resized").digest)
    }

    // MARK: Damage

    /// A part of a pack, for flips to be spread over all of it.
    enum Part: CaseIterable, Sendable {
        /// The first words of the header, where nothing is padding.
        case words
        /// The rest of the header: the name, the checksum, and what fills it up.
        case rest
        case memory

        func positions(_ adapter: DeviceAdapter, in whole: [UInt8]) -> Range<Int> {
            let headerCount = whole.count - adapter.byteCount
            return switch self {
            case .words: 0..<256
            case .rest: 256..<headerCount
            case .memory: headerCount..<whole.count
            }
        }
    }

    @Test(arguments: Part.allCases, ["dora", "lora-bias"])
    func aFlippedByteIsRefused(in part: Part, of name: String) throws {
        let base = try TinyBase()
        let adapter = try base.engine.adapter(name)
        let path = try base.write(adapter)
        let whole = try base.bytes("pack")
        var generator = SeededGenerator(seed: 21)
        var accepted: [Int] = []
        for _ in 0..<100 {
            var bytes = whole
            let position = Int.random(in: part.positions(adapter, in: whole), using: &generator)
            bytes[position] ^= UInt8.random(in: 1...255, using: &generator)
            try base.folder.write(bytes, to: "pack")
            do {
                _ = try base.read(path, adapter.digest)
                accepted.append(position)
            } catch {
                #expect(error is PackError)
            }
        }
        #expect(accepted.isEmpty)
        try base.folder.write(whole, to: "pack")
        _ = try base.read(path, adapter.digest)
    }

    @Test func anotherLengthIsRefused() throws {
        let base = try TinyBase()
        let adapter = try base.engine.adapter("dora")
        let path = try base.write(adapter)
        let whole = try base.bytes("pack")
        let headerCount = whole.count - adapter.byteCount
        var generator = SeededGenerator(seed: 22)
        let lengths =
            [0, 1, 8, headerCount - 1, headerCount, headerCount + 1, whole.count - 1]
            + (0..<60).map { _ in Int.random(in: 0..<whole.count, using: &generator) }
        for length in lengths {
            try base.folder.write(Array(whole[..<length]), to: "pack")
            #expect(throws: PackError.self, "cut at \(length)") {
                try base.read(path, adapter.digest)
            }
        }
        try base.folder.write(whole + [0], to: "pack")
        #expect(throws: PackError.self) { try base.read(path, adapter.digest) }
    }

    /// Headers whose checksum fits and that say what is not so, by their words' places.
    @Test(
        arguments: [
            (0, 0), (1, 0), (1, 4), (1, 6), (2, 0), (2, 1), (2, 4), (2, 9), (3, 0), (3, .max),
            (4, 0), (8, 0), (12, 0), (14, 0), (15, 1025), (15, .max), (16, 1), (16, .max), (17, 0),
            (17, 36), (17, 38), (17, .max), (18, 1), (19, 1), (21, 0), (21, 513), (21, 1 << 34),
            (21, .max),
            (22, 1 << 32), (51, 1), (51, .max), (52, 1), (53, 1), (54, 1), (55, 1), (55, 2),
        ] as [(Int, UInt64)])
    func aHeaderThatLiesIsRefused(_ word: Int, _ value: UInt64) throws {
        let base = try TinyBase()
        let adapter = try base.engine.adapter("all-linear")
        let path = try base.write(adapter)
        let whole = try base.bytes("pack")
        let partCount = AdapterFile.Target.all(for: base.checkpoint.configuration).count
        let end = (19 + 2 * partCount + 5) * 8 + 1024
        func resealed(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
            var bytes = whole
            change(&bytes)
            let seal = Checksum(of: Array(bytes[..<end])).words
            bytes.replaceSubrange(end..<end + 24, with: seal.flatMap(Self.littleEndian))
            return bytes
        }
        let unchanged = resealed { _ in } == whole
        #expect(unchanged)
        let changed = resealed {
            $0.replaceSubrange(word * 8..<word * 8 + 8, with: Self.littleEndian(value))
        }
        try base.folder.write(changed, to: "pack")
        #expect(throws: PackError.self) { try base.read(path, adapter.digest) }
    }

    /// A vocabulary for which the pack has no rows, or another than its rows are of.
    @Test(arguments: [0, 1, 127, 128, 130, 132, 8320, 8321, 1 << 40, UInt64.max])
    func aVocabularyThatLiesIsRefused(_ size: UInt64) throws {
        let base = try TinyBase("tools/llama")
        let adapter = try base.engine.adapter("peft-resized")
        let path = try base.write(adapter)
        var bytes = try base.bytes("pack")
        func word(_ place: Int) -> Int {
            (0..<8).reduce(0) { $0 | Int(bytes[place * 8 + $1]) << (8 * $1) }
        }
        let (textCount, shapeCount) = (word(16), word(17))
        let place = 19 + shapeCount - 1
        #expect(word(place) == 131)
        let end = ((19 + shapeCount) * 8 + 1024 + textCount + 7) / 8 * 8
        func reseal() {
            let seal = Checksum(of: Array(bytes[..<end])).words
            bytes.replaceSubrange(end..<end + 24, with: seal.flatMap(Self.littleEndian))
        }
        let whole = bytes
        reseal()
        let isSealed = bytes == whole
        #expect(isSealed)
        bytes.replaceSubrange(place * 8..<place * 8 + 8, with: Self.littleEndian(size))
        reseal()
        try base.folder.write(bytes, to: "pack")
        #expect(throws: PackError.self) { try base.read(path, adapter.digest) }
    }

    static func littleEndian(_ word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }

    // MARK: Other adapters, other bases, other files

    @Test func aPackIsForOneAdapterOneBaseAndOneFormat() throws {
        let base = try TinyBase()
        let other = try TinyBase("qwen3")
        let adapter = try base.engine.adapter("all-linear")
        let path = try base.write(adapter)
        let plain = try base.engine.adapter("plain").digest
        #expect(throws: PackError.self) { try base.read(path, plain) }
        #expect(throws: PackError.self) { try other.read(path, adapter.digest) }
        // The right shapes alone do not make it the right base.
        #expect(throws: PackError.self) {
            try AdapterPack.read(
                path, digest: adapter.digest, base: base.checkpoint,
                fingerprint: other.fingerprint, format: base.format)
        }
        for format in WeightFormat.allCases where format != base.format {
            #expect(throws: PackError.self) {
                try AdapterPack.read(
                    path, digest: adapter.digest, base: base.checkpoint,
                    fingerprint: base.fingerprint, format: format)
            }
        }
        #expect(throws: PackError.self) {
            try base.read(base.folder.path("gone"), adapter.digest)
        }
    }

    @Test func aPackReplacesTheOneBefore() throws {
        let base = try TinyBase()
        let first = try base.engine.adapter("plain")
        let second = try base.engine.adapter("dora")
        try base.write(first)
        let path = try base.write(second)
        #expect(try base.read(path, second.digest).shape == second.shape)
        #expect(throws: PackError.self) { try base.read(path, first.digest) }
        #expect(try names(in: base.folder) == ["pack"])
    }

    /// What a process that died left behind is neither kept nor written through.
    @Test func aLeftoverDoesNotDisturb() throws {
        let base = try TinyBase()
        let adapter = try base.engine.adapter("dora")
        try base.folder.write([1, 2, 3], to: "pack.part")
        let path = try base.write(adapter)
        _ = try base.read(path, adapter.digest)
        let other = try base.folder.write("mine", to: "other")
        try FileManager.default.createSymbolicLink(
            atPath: path + ".part", withDestinationPath: other)
        try base.write(adapter)
        _ = try base.read(path, adapter.digest)
        #expect(try base.bytes("other") == Array("mine".utf8))
        #expect(try names(in: base.folder) == ["other", "pack"])
    }

    @Test func aLinkInPlaceOfAPackIsRefused() throws {
        let base = try TinyBase()
        let adapter = try base.engine.adapter("plain")
        let path = try base.write(adapter)
        let link = base.folder.path("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
        #expect(throws: PackError.self) { try base.read(link, adapter.digest) }
        // A pack takes the link's place, not that of what it leads to.
        let other = try base.engine.adapter("dora")
        try base.write(other, to: "link")
        _ = try base.read(link, other.digest)
        _ = try base.read(path, adapter.digest)
    }

    @Test func aFailedWriteLeavesNothing() throws {
        let base = try TinyBase()
        let adapter = try base.engine.adapter("plain")
        #expect(throws: FileError.self) { try base.write(adapter, to: "gone/pack") }
        // A folder that is not empty cannot be replaced.
        try base.folder.write([1], to: "pack/file")
        #expect(throws: FileError.self) { try base.write(adapter) }
        #expect(try names(in: base.folder) == ["pack"])
    }

    private func names(in folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted()
    }
}
