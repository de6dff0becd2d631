import Adapters
import Conformance
import Crypto
import Foundation
import JSONTree
import ModelFiles
import StepModels
import Tensors
import TestSupport
import Testing

/// Quantized checkpoints hold the weights that their formats' own libraries decode, to the bit.
/// scripts/make_quantized_goldens.py makes the goldens.
struct QuantizedTests {
    static let folder = Repository.path("Tests/ModelFilesTests/Goldens/quantized")

    static func json(_ name: String) throws -> JSON {
        try JSON(parsing: Array(Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))))
    }

    /// SHA-256 of a tensor's values as little-endian floats, row by row.
    static func digest(_ tensor: StoredTensor) throws -> String {
        var hash = SHA256()
        for row in 0..<tensor.rowCount {
            let values = try #require(tensor.rows(row..<row + 1)).values()
            hash.update(
                data: values.flatMap { value in
                    (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
                })
        }
        return hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func digests(_ base: Checkpoint) throws -> [String: String] {
        var found: [String: String] = [:]
        for tensor in base.storedTensors where tensor.packed != nil {
            found[tensor.name] = try digest(tensor)
        }
        return found
    }

    @Test func weightsAreThoseOfTheFormatsOwnLibraries() throws {
        let index = try Self.json("index.json")
        let tokens = (index["tokens"]?.arrayValue ?? []).compactMap(\.integerValue)
        let checkpoints = index["checkpoints"]?.arrayValue ?? []
        #expect(checkpoints.count >= 20)
        for checkpoint in checkpoints {
            let name = try #require(checkpoint["folder"]?.stringValue)
            let base = try Checkpoint.open(path: "\(Self.folder)/\(name)")
            let expected = try #require(checkpoint["tensors"]?.objectValue)
            let found = try Self.digests(base)
            #expect(found.count == expected.count, "\(name)")
            for (tensor, entry) in expected.members {
                #expect(found[tensor] == entry["sha256"]?.stringValue, "\(name), \(tensor)")
            }
            let references = try SafetensorsFile(
                path: "\(Self.folder)/references/\(name).safetensors")
            let logits = try #require(references.tensors["logits"]).matrix()
            try Self.compare(base, tokens.map { Int32($0) }, logits, name)
        }
    }

    /// The forward pass in 32-bit floats.
    static func compare(
        _ base: Checkpoint, _ tokens: [Int32], _ expected: Matrix, _ name: String
    ) throws {
        let weights = try ModelWeights(base, format: .f32, team: WorkerTeam(memberCount: 1))
        let model = try ConformanceTests.onCPU(KernelSet.available[0])(weights, tokens.count, 1)
        var batch = Batch()
        batch.append(tokens: tokens, firstPosition: 0, blocks: [0], adapter: nil)
        let wanted = try model.forward(batch, wanting: Array(tokens.indices))
        let (logits, _) = try model.logits(of: tokens.indices, in: wanted, peaksOnly: false)
        for row in tokens.indices {
            let difference = zip(logits.row(row), expected.row(row)).map { abs($0 - $1) }.max() ?? 0
            #expect(difference < 1e-4, "\(name), row \(row): \(difference)")
        }
    }

    /// A checkpoint with another configuration.
    static func changed(_ change: JSON, in folder: TemporaryFolder) throws -> String {
        let name = try #require(change["checkpoint"]?.stringValue)
        let path = folder.path(name)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for file in try FileManager.default.contentsOfDirectory(atPath: "\(Self.folder)/\(name)")
        where file != "config.json" {
            try FileManager.default.createSymbolicLink(
                atPath: "\(path)/\(file)", withDestinationPath: "\(Self.folder)/\(name)/\(file)")
        }
        let config = try json("\(name)/config.json").merged(with: try #require(change["patch"]))
        try Data(config.text().utf8).write(to: URL(fileURLWithPath: "\(path)/config.json"))
        return path
    }

    @Test func whatTheFormatsDoNotSayIsRefused() throws {
        let changes = try Self.json("changes.json")["refused"]?.arrayValue ?? []
        #expect(changes.count >= 80)
        for change in changes {
            let folder = try TemporaryFolder()
            let path = try Self.changed(change, in: folder)
            let error = #expect(throws: ModelFileError.self, "\(change.text())") {
                try Checkpoint.open(path: path)
            }
            #expect(error?.message.isEmpty == false)
        }
    }

    @Test func whatChangesNothingIsRead() throws {
        let changes = try Self.json("changes.json")["same"]?.arrayValue ?? []
        #expect(changes.count >= 20)
        for change in changes {
            let folder = try TemporaryFolder()
            let name = try #require(change["checkpoint"]?.stringValue)
            let base = try Checkpoint.open(path: try Self.changed(change, in: folder))
            let plain = try Checkpoint.open(path: "\(Self.folder)/\(name)")
            #expect(try Self.digests(base) == Self.digests(plain), "\(change.text())")
        }
    }

    /// Two checkpoints that differ in a zero point only are two bases, for packs of adapters too.
    @Test func everyPartIsInTheFingerprint() throws {
        let plain = try Checkpoint.open(path: "\(Self.folder)/gptq-8bit-g32-act-order")
        let folder = try TemporaryFolder()
        let path = folder.path("model.safetensors")
        let source = "\(Self.folder)/gptq-8bit-g32-act-order"
        let bytes = try Data(contentsOf: URL(fileURLWithPath: source + "/model.safetensors"))
        let tensors = try SafetensorsFile(
            path: source + "/model.safetensors", more: [.i32, .i64, .i8, .f8_e4m3]
        ).tensors
        for part in ["qweight", "qzeros", "scales"] {
            let tensor = try #require(tensors["model.layers.1.mlp.up_proj.\(part)"])
            var changed = bytes
            changed[tensor.byteRange.lowerBound] ^= 1
            try changed.write(to: URL(fileURLWithPath: path))
            try? FileManager.default.copyItem(
                atPath: source + "/config.json", toPath: folder.path("config.json"))
            let other = try Checkpoint.open(path: folder.path(""))
            #expect(BaseFingerprint(of: other) != BaseFingerprint(of: plain), "\(part)")
        }
    }

    /// The same files under another configuration are another base.
    @Test func howPartsAreReadIsInTheFingerprint() throws {
        let name = "gptq-4bit-g64-act-order"
        let plain = try Checkpoint.open(path: "\(Self.folder)/\(name)")
        let other = try TemporaryFolder()
        let base = try Checkpoint.open(
            path: try Self.changed(
                [
                    "checkpoint": .string(name),
                    "patch": [
                        "quantization_config": [
                            "checkpoint_format": "gptq_v2", "format": "gptq_v2",
                        ]
                    ],
                ], in: other))
        #expect(BaseFingerprint(of: base) != BaseFingerprint(of: plain))
        let remembered = try TemporaryFolder()
        let prints = [plain, base, plain].map {
            BaseFingerprint(
                of: $0, rememberedIn: remembered.path(""), now: 1 << 40,
                team: WorkerTeam(memberCount: 1))
        }
        #expect(prints[0] != prints[1] && prints[0] == prints[2])
    }

    /// A zero for each row is not one for all.
    @Test func zerosHaveTheShapeOfTheirScales() throws {
        let name = "ct-naive-int-zeros"
        let source = "\(Self.folder)/\(name)/model.safetensors"
        let tensors = try SafetensorsFile(path: source, more: [.i32, .i64, .i8, .f8_e4m3]).tensors
        var writer = SafetensorsWriter()
        for (tensorName, tensor) in tensors {
            if tensorName == "model.layers.0.mlp.up_proj.weight_zero_point" {
                let count = try #require(tensors["model.layers.0.mlp.up_proj.weight"]).shape[0]
                writer.add(
                    tensorName, type: "I8", shape: [count], Array(repeating: 1, count: count))
            } else {
                writer.add(tensorName, tensor)
            }
        }
        let folder = try TemporaryFolder()
        try folder.write(writer.bytes, to: "model.safetensors")
        try FileManager.default.copyItem(
            atPath: "\(Self.folder)/\(name)/config.json", toPath: folder.path("config.json"))
        let error = #expect(throws: ModelFileError.self) {
            try Checkpoint.open(path: folder.path(""))
        }
        #expect(error?.code == .wrongShape)
    }

    /// Whatever bytes a part has, reading it refuses or ends.
    @Test func brokenPartsAreRefused() throws {
        var refused = 0
        for name in [
            "gptq-4bit-g64-act-order", "awq-g32", "ct-pack-int4-g64-zeros", "fp8-block-128-cut",
        ] {
            let config = try Self.json("\(name)/config.json")
            for change in ["hidden_size", "intermediate_size", "num_key_value_heads"] {
                for factor in [0.5, 2] {
                    let folder = try TemporaryFolder()
                    let value = Int(Double(config[change]?.integerValue ?? 0) * factor)
                    let path = try Self.changed(
                        ["checkpoint": .string(name), "patch": [change: .integer(value)]],
                        in: folder)
                    #expect(throws: ModelFileError.self) { try Checkpoint.open(path: path) }
                    refused += 1
                }
            }
        }
        #expect(refused == 24)
    }
}

extension JSON {
    /// RFC 7396.
    fileprivate func merged(with patch: JSON) -> JSON {
        guard let changes = patch.objectValue else { return patch }
        var object = objectValue ?? JSON.Object([])
        for (name, value) in changes.members {
            object[name] = value.isNull ? Optional.none : (object[name] ?? [:]).merged(with: value)
        }
        return .object(object)
    }
}
