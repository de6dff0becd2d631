import Adapters
import Foundation
import ModelFiles
import Tensors
import TestSupport

/// An adapter of random numbers for a tiny base, the same for the same number, as its files and as
/// what they come to.
struct TinyAdapter {
    let number: Int
    /// By the names that sources have them under.
    let files: [String: [UInt8]]
    let adapter: DeviceAdapter
    /// The file that the disk tier keeps.
    let pack: [UInt8]

    var digest: AdapterDigest { adapter.digest }
    var byteCount: Int { adapter.byteCount }

    static let configurationName = "adapter_config.json"
    static let weightsName = "adapter_model.safetensors"

    /// What adapters change, so that they have different sizes.
    static let shapes: [[Projection]] = [
        [.query, .value], [.key, .output, .down], Projection.allCases,
    ]

    /// - Parameters:
    ///   - shape: of `shapes`.
    ///   - folder: for files that are needed on the way.
    init(
        _ number: Int, rank: Int, shape: Int, base: Checkpoint, format: WeightFormat,
        folder: TemporaryFolder
    ) throws {
        self.number = number
        let projections = TinyAdapter.shapes[shape]
        files = [
            TinyAdapter.configurationName: TinyAdapter.configuration(projections, rank: rank),
            TinyAdapter.weightsName: TinyAdapter.weights(
                projections, rank: rank, base: base.configuration, seed: UInt64(number)),
        ]
        let place = "made/\(number)"
        for (name, bytes) in files { try folder.write(bytes, to: "\(place)/\(name)") }
        let file = try AdapterFile.open(
            path: folder.path(place), base: base, limits: AdapterLimits())
        adapter = try DeviceAdapter(file, base: base, format: format)
        let path = folder.path("\(place)/pack")
        try AdapterPack.write(
            adapter, base: base, fingerprint: BaseFingerprint(of: base), to: path)
        pack = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// The same files, but the last bytes of the weights are missing.
    var brokenFiles: [String: [UInt8]] {
        var broken = files
        broken[TinyAdapter.weightsName]?.removeLast(5)
        return broken
    }

    private static func configuration(_ projections: [Projection], rank: Int) -> [UInt8] {
        let names = projections.map { projection in
            let name = projection.rawValue.split(separator: ".").last ?? ""
            return "\"\(name)\""
        }
        let fields = [
            "\"peft_type\":\"LORA\"", "\"task_type\":\"CAUSAL_LM\"", "\"r\":\(rank)",
            "\"lora_alpha\":\(2 * rank)", "\"target_modules\":[\(names.joined(separator: ","))]",
        ]
        return Array("{\(fields.joined(separator: ","))}".utf8)
    }

    private static func weights(
        _ projections: [Projection], rank: Int, base: ModelConfiguration, seed: UInt64
    ) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        var entries: [String] = []
        var data: [UInt8] = []
        func add(_ name: String, _ rows: Int, _ columns: Int) {
            let start = data.count
            for _ in 0..<rows * columns { data += bytes((generator.normal() * 0.3).bitPattern) }
            entries.append(
                "\"base_model.model.\(name).weight\":{\"dtype\":\"F32\",\"shape\":[\(rows),\(columns)],"
                    + "\"data_offsets\":[\(start),\(data.count)]}")
        }
        for layer in 0..<base.layerCount {
            for projection in projections {
                let name = AdapterFile.Target.projection(layer: layer, projection)
                    .moduleName
                add("\(name).lora_A", rank, base.inputCount(of: projection.site))
                add("\(name).lora_B", base.outputCount(of: projection), rank)
            }
        }
        let header = Array("{\(entries.joined(separator: ","))}".utf8)
        return bytes(UInt64(header.count)) + header + data
    }

    /// Little-endian.
    private static func bytes<Word: FixedWidthInteger>(_ word: Word) -> [UInt8] {
        (0..<Word.bitWidth / 8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }
}
