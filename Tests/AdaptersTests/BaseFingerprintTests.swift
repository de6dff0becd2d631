import Adapters
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// What tells one base from another, and that it is read once.
struct BaseFingerprintTests {
    private let folder: TemporaryFolder
    private let team = WorkerTeam(memberCount: 2)

    init() throws { folder = try TemporaryFolder() }

    @Test func basesHaveFingerprintsOfTheirOwn() throws {
        let families = ["llama", "mistral", "qwen2", "qwen3"]
        let fingerprints = try families.map { family in
            let base = try Checkpoint.open(path: Repository.conformance("\(family)/model"))
            let first = BaseFingerprint(of: base)
            #expect(first == BaseFingerprint(of: base, team: team))
            #expect(first.short.utf8.count == 16)
            return first
        }
        #expect(Set(fingerprints).count == families.count)
        #expect(Set(fingerprints.map(\.short)).count == families.count)
    }

    /// Fine-tunes of one checkpoint differ in a few bytes somewhere.
    @Test func oneBitAnywhereMakesAnotherBase() throws {
        let path = try model()
        let base = try Checkpoint.open(path: path)
        let before = BaseFingerprint(of: base)
        for tensor in base.storedTensors {
            let place = tensor.byteRange.lowerBound + tensor.byteRange.count / 3
            try flip(place)
            let other = BaseFingerprint(of: try Checkpoint.open(path: path))
            #expect(other != before, "\(tensor.name)")
            try flip(place)
        }
        #expect(BaseFingerprint(of: try Checkpoint.open(path: path)) == before)
    }

    /// Packs hold what adapters say beside the base's tokenizer.
    @Test func anotherTokenizerMakesAnotherFingerprint() throws {
        let path = try model()
        var seen: Set<BaseFingerprint> = []
        for text in ["{}", #"{"model":{"vocab":{"a":3}}}"#, #"{"model":{"vocab":{"a":4}}}"#] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/tokenizer.json"))
            let base = try Checkpoint.open(path: path)
            for _ in 0..<2 {
                let fingerprint = BaseFingerprint(
                    of: base, rememberedIn: folder.url.path, now: 1 << 40, team: team)
                seen.insert(fingerprint)
                #expect(fingerprint == BaseFingerprint(of: base))
            }
        }
        // The folder of a base's packs and names stays the same.
        #expect(seen.count == 3 && Set(seen.map(\.short)).count == 1)
    }

    @Test func aBaseIsReadOnceAsLongAsItsFilesAreTheSame() throws {
        let path = try model()
        var reads = 0
        func fingerprint(now: Int = 1 << 40) throws -> BaseFingerprint {
            BaseFingerprint(
                of: try Checkpoint.open(path: path), rememberedIn: folder.url.path, now: now,
                team: team
            ) { reads += 1 }
        }
        // What was written a moment ago may be written again without another date.
        let first = try fingerprint(now: 0)
        #expect(try fingerprint() == first && reads == 2)
        #expect(try fingerprint() == first && reads == 2)
        try flip(4000)
        let second = try fingerprint()
        #expect(second != first && reads == 3)
        // What is remembered of it is damaged, or is not a file.
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.url.path)
        where name.hasSuffix(".base") {
            try Data(repeating: 0, count: 64).write(to: folder.url.appendingPathComponent(name))
        }
        #expect(try fingerprint() == second && reads == 4)
        #expect(try fingerprint() == second && reads == 4)
    }

    /// A copy that may be written to.
    private func model() throws -> String {
        let path = folder.path("model")
        try FileManager.default.copyItem(
            atPath: Repository.conformance("llama/model"), toPath: path)
        return path
    }

    private func flip(_ place: Int) throws {
        let file = try FileHandle(
            forUpdating: folder.url.appendingPathComponent("model/model.safetensors"))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(place))
        let byte = try file.read(upToCount: 1) ?? Data()
        try file.seek(toOffset: UInt64(place))
        try file.write(contentsOf: Data(byte.map { $0 ^ 1 }))
    }
}
