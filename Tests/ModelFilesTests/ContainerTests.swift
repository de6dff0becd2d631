import JSONTree
import ModelFiles
import Tensors
import TestSupport
import Testing

/// Model containers: every stored type, shards, and files that lie.
struct ContainerTests {
    static let types = Repository.path("Tests/ModelFilesTests/Goldens/types.gguf")
    static let model = Repository.conformance("llama/model/model.safetensors")

    static func bytes(_ path: String) throws -> [UInt8] {
        let file = try MappedFile(path: path)
        return Array(file.bytes(in: 0..<file.byteCount) ?? [])
    }

    /// scripts/make_gguf_goldens.py has the gguf package decode the same blocks.
    @Test(arguments: StoredType.ggml, [UInt8(2), 3])
    func everyTypeDecodesAsInTheReference(type: StoredType, version: UInt8) throws {
        let folder = try TemporaryFolder()
        var bytes = try ContainerTests.bytes(ContainerTests.types)
        bytes[4] = version  // The versions differ in byte order support alone.
        let file = try GGUFFile(path: try folder.write(bytes, to: "types.gguf"))
        let stored = try #require(file.tensors[type.rawValue])
        let expected = try #require(file.tensors[type.rawValue + ".expected"])
        #expect(stored.type == type && stored.shape == [2, 512])
        #expect(try stored.values() == expected.values())
    }

    @Test func nonFiniteValuesAreNamed() throws {
        let folder = try TemporaryFolder()
        for (bits, isFinite) in [(0x7FC0_0000, false), (0xFF80_0000, false), (0x7F7F_FFFF, true)] {
            let header = #"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#
            let values = [0, 0, UInt32(bits), 0].flatMap(ContainerTests.littleEndian)
            let path = try folder.write(
                ContainerTests.littleEndian(UInt64(header.utf8.count)) + Array(header.utf8)
                    + values, to: "\(bits).safetensors")
            let tensor = try #require(try SafetensorsFile(path: path).tensors["a"])
            if isFinite {
                #expect(try tensor.values().count == 4)
            } else {
                let error = #expect(throws: NonFiniteValue.self) { try tensor.values() }
                #expect(error?.tensor == "a" && error?.row == 1)
            }
        }
    }

    /// A file that ends early is refused wherever it ends; it never crashes the reader.
    @Test(arguments: [types, model])
    func aFileCutAnywhereIsRefused(path: String) throws {
        let folder = try TemporaryFolder()
        let whole = try ContainerTests.bytes(path)
        let cuts =
            Array(stride(from: 0, to: min(whole.count, 4000), by: 7)) + [whole.count - 1]
        for cut in cuts {
            let short = try folder.write(Array(whole[..<cut]), to: "short")
            let error = #expect(throws: ModelFileError.self, "cut at \(cut)") {
                if path == ContainerTests.types {
                    _ = try GGUFFile(path: short)
                } else {
                    _ = try SafetensorsFile(path: short)
                }
            }
            #expect(error?.code == .malformedFile)
        }
    }

    /// Random damage gives a file or an error, and what it gives can be read.
    @Test(arguments: [types, model])
    func aDamagedHeaderNeverCrashes(path: String) throws {
        let folder = try TemporaryFolder()
        let whole = try ContainerTests.bytes(path)
        var generator = SeededGenerator(seed: 11)
        var refused = 0
        for round in 0..<400 {
            var bytes = whole
            for _ in 0...round % 4 {
                bytes[Int.random(in: 0..<min(1200, bytes.count), using: &generator)] =
                    UInt8.random(in: 0...255, using: &generator)
            }
            let damaged = try folder.write(bytes, to: "damaged")
            do {
                let tensors =
                    path == ContainerTests.types
                    ? try GGUFFile(path: damaged).tensors
                    : try SafetensorsFile(path: damaged).tensors
                for tensor in tensors.values { _ = try? tensor.values() }
            } catch {
                refused += 1
            }
        }
        #expect(refused > 50)
    }

    // MARK: Shards

    /// Splits the tiny model's tensors over two files and an index.
    private func shards(
        _ folder: TemporaryFolder, change: (inout [String: JSON]) -> Void = { _ in }
    )
        throws
    {
        let whole = try ContainerTests.bytes(ContainerTests.model)
        let headerCount = whole[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSON(parsing: Array(whole[8..<8 + headerCount]))
        var parts: [(header: [(String, JSON)], data: [UInt8])] = [([], []), ([], [])]
        var map: [String: JSON] = [:]
        for (index, member) in (header.objectValue?.members ?? []).enumerated()
        where member.name != "__metadata__" {
            let ends = try #require(member.value["data_offsets"]?.arrayValue)
                .compactMap(\.integerValue)
            let range = 8 + headerCount + ends[0]..<8 + headerCount + ends[1]
            let at = parts[index % 2].data.count
            parts[index % 2].data += whole[range]
            var entry = try #require(member.value.objectValue)
            entry["data_offsets"] = .array([.integer(at), .integer(at + range.count)])
            parts[index % 2].header.append((member.name, .object(entry)))
            map[member.name] = .string("part-\(index % 2).safetensors")
        }
        for (index, part) in parts.enumerated() {
            let text = Array(JSON.object(JSON.Object(part.header)).text().utf8)
            try folder.write(
                ContainerTests.littleEndian(UInt64(text.count)) + text + part.data,
                to: "part-\(index).safetensors")
        }
        change(&map)
        let index = JSON.Object(map.map { ($0.key, $0.value) })
        try folder.write(
            JSON.object(JSON.Object([("weight_map", .object(index))])).text(),
            to: "model.safetensors.index.json")
        try folder.write(
            ContainerTests.bytes(Repository.conformance("llama/model/config.json")),
            to: "config.json")
    }

    @Test func shardsAreOneModel() throws {
        let folder = try TemporaryFolder()
        try shards(folder)
        let whole = try Checkpoint.open(path: Repository.conformance("llama/model"))
        let split = try Checkpoint.open(path: folder.path(""))
        #expect(split.storedByteCount == whole.storedByteCount)
        let weights = Projection.allCases.flatMap { projection in
            (0..<whole.configuration.layerCount).map {
                Checkpoint.Role.weight(layer: $0, projection)
            }
        }
        for role in weights + [.embedding, .finalNorm] {
            #expect(try split[role]?.values() == whole[role]?.values())
            #expect(split[role] != nil)
        }
    }

    @Test(arguments: ["../part-0.safetensors", "/etc/passwd", "part-1.safetensors", "gone"])
    func anIndexThatLiesIsRefused(fileName: String) throws {
        let folder = try TemporaryFolder()
        let embedding = "model.embed_tokens.weight"
        try shards(folder) { map in
            // Elsewhere than where it is, whichever shard that was.
            let wrong = map[embedding] == .string(fileName) ? "part-0.safetensors" : fileName
            map[embedding] = .string(wrong)
        }
        #expect(throws: ModelFileError.self) { try Checkpoint.open(path: folder.path("")) }
    }

    @Test func aTensorOutsideTheIndexIsRefused() throws {
        let folder = try TemporaryFolder()
        try shards(folder) { $0["model.norm.weight"] = nil }
        let error = #expect(throws: ModelFileError.self) {
            try Checkpoint.open(path: folder.path(""))
        }
        #expect(error?.code == .unexpectedTensor)
    }

    static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}
