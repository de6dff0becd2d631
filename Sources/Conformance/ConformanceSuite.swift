package import Adapters
internal import JSONTree
package import ModelFiles
package import StepModels
package import Tensors
internal import Foundation

/// Tiny models of a family and adapters for them, with the logits that PEFT gives, or the code by which what cannot run is
/// refused: what an adapter file means, and the sums of some. scripts/make_conformance.py and scripts/make_mix_goldens.py
/// make them.
package struct ConformanceSuite {
    /// Those with a case for every rule of PEFT's.
    package static let firstFamilies = ["llama", "mistral", "qwen2", "qwen3"]
    /// Those that GPUs run: they depart in nothing from Llama's form, or in what the kernels have.
    package static let deviceFamilies = firstFamilies + ["phi3", "seed_oss"]
    /// All; the others have the cases that a family may change.
    package static let families =
        firstFamilies + [
            "smollm3", "granite", "olmo2", "gemma2", "gemma3_text", "phi3", "phi4", "qwen3_moe",
            "qwen3moe", "mixtral", "seed_oss",
        ]

    package let tokens: [Int32]
    /// Cases by name; the code for those that are refused.
    package let cases: [(name: String, code: String?)]
    package let expected: SafetensorsFile
    /// Sums of adapters by name, with each part's scale.
    package let mixes: [(name: String, parts: [(name: String, scale: Float)])]
    private let expectedOfMixes: SafetensorsFile?
    /// Of the family.
    package let folder: String

    /// - Parameter path: the folder of all families.
    package init(_ family: String, in path: String) throws {
        func json(_ name: String) throws -> JSON {
            try JSON(parsing: Array(Data(contentsOf: URL(fileURLWithPath: path + "/" + name))))
        }
        let summary = try json("cases.json")
        tokens =
            summary["tokens"]?.arrayValue?.compactMap { $0.integerValue.map(Int32.init) } ?? []
        cases =
            summary["families"]?[family]?.objectValue?.members.map {
                ($0.name, $0.value["code"]?.stringValue)
            } ?? []
        folder = path + "/" + family
        expected = try SafetensorsFile(path: folder + "/expected.safetensors")
        let sums = try json("mixes.json")[family]?.objectValue?.members ?? []
        expectedOfMixes =
            sums.isEmpty ? nil : try SafetensorsFile(path: folder + "/mixes.safetensors")
        mixes = sums.map { mix in
            let parts = mix.value.objectValue?.members ?? []
            return (mix.name, parts.map { ($0.name, Float($0.value.doubleValue ?? 0)) })
        }
    }

    /// Adapters that run.
    package var accepted: [String] { cases.filter { $0.code == nil }.map(\.name) }

    package func logits(_ name: String) throws -> Matrix {
        let mix = name.hasPrefix(Self.mixMark) ? String(name.dropFirst(Self.mixMark.count)) : nil
        let tensor = mix.map { expectedOfMixes?.tensors[$0] } ?? expected.tensors[name]
        guard let tensor else {
            throw ModelFileError(.missingTensor, "\(folder) has no logits of \(name)")
        }
        return try tensor.matrix()
    }

    package func adapter(
        _ name: String, _ base: Checkpoint, format: WeightFormat = .f32
    ) throws -> DeviceAdapter {
        let file = try AdapterFile.open(
            path: folder + "/" + name, base: base, limits: AdapterLimits())
        return try DeviceAdapter(file, base: base, format: format)
    }

    /// What goes before the names of mixes among those of adapters.
    private static let mixMark = "mix of "

    package func mix(
        _ parts: [(name: String, scale: Float)], _ base: Checkpoint, format: WeightFormat = .f32
    ) throws -> AdapterMix {
        let parts = try parts.map {
            AdapterMix.Part(try adapter($0.name, base, format: format), scale: $0.scale)
        }
        return try AdapterMix(parts, base: base.configuration, format: format)
    }

    /// A model that such a batch fits: weights, rows, blocks.
    package typealias MakeModel = (ModelWeights, Int, Int) throws -> any StepModel

    /// Computes the base, all its adapters and all mixes in ONE batch.
    ///
    /// - Parameter modelFile: the base as safetensors or as a GGUF file.
    /// - Returns: for each the largest difference of a logit from PEFT's.
    package func differences(
        modelFile: String = "model", format: WeightFormat = .f32, _ makeModel: MakeModel
    ) throws -> [(name: String, difference: Float)] {
        let base = try Checkpoint.open(path: folder + "/" + modelFile)
        var adapters: [(name: String, adapter: DeviceAdapter?)] = [("base", nil)]
        for name in accepted {
            adapters.append((name, try adapter(name, base, format: format)))
        }
        for (name, parts) in mixes {
            adapters.append((Self.mixMark + name, try mix(parts, base, format: format).adapter()))
        }
        let blocksEach = (tokens.count + 15) / 16
        let weights = try ModelWeights(base, format: format, team: WorkerTeam(memberCount: 2))
        let model = try makeModel(
            weights, adapters.count * tokens.count, adapters.count * blocksEach)
        var batch = Batch()
        for (index, (_, adapter)) in adapters.enumerated() {
            let blocks = (0..<blocksEach).map { Int32(index * blocksEach + $0) }
            batch.append(
                tokens: tokens, firstPosition: 0, blocks: blocks, adapter: adapter,
                adapterStart: adapter?.start(in: tokens) ?? 0)
        }
        let wanted = try model.forward(batch, wanting: Array(0..<batch.rowCount))
        return try adapters.map(\.name).enumerated().map { index, name in
            let rows = index * tokens.count..<(index + 1) * tokens.count
            let (found, _) = try model.logits(of: rows, in: wanted, peaksOnly: false)
            let expected = try logits(name)
            let differences = (0..<expected.rowCount).flatMap { row in
                zip(found.row(row), expected.row(row)).map { abs($0 - $1) }
            }
            // A NaN is not close to anything.
            let isNumber = differences.allSatisfy { !$0.isNaN }
            return (name, isNumber ? differences.max() ?? 0 : .infinity)
        }
    }
}
