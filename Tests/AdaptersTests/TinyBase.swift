import Adapters
import ModelFiles
import StepModels
import Tensors
import TestSupport
import Transformer

/// A tiny base with a folder for its packs.
struct TinyBase {
    let engine: TinyEngine
    let fingerprint: BaseFingerprint
    let format: WeightFormat
    let folder: TemporaryFolder

    var checkpoint: Checkpoint { engine.checkpoint }

    init(_ family: String = "llama", _ format: WeightFormat = .bf16) throws {
        engine = try TinyEngine(family: family, format: format, adapterFormat: format)
        fingerprint = BaseFingerprint(of: engine.checkpoint)
        self.format = format
        folder = try TemporaryFolder()
    }

    /// - Returns: the pack's path.
    @discardableResult
    func write(_ adapter: DeviceAdapter, to name: String = "pack") throws -> String {
        let path = folder.path(name)
        try AdapterPack.write(adapter, base: checkpoint, fingerprint: fingerprint, to: path)
        return path
    }

    func read(_ path: String, _ digest: AdapterDigest) throws -> DeviceAdapter {
        try AdapterPack.read(
            path, digest: digest, base: checkpoint, fingerprint: fingerprint, format: format)
    }

    func bytes(_ name: String) throws -> [UInt8] {
        let file = try BinaryFile(reading: folder.path(name))
        return try file.bytes(at: 0, count: file.byteCount)
    }

    /// Logits of every place of a prompt, bit by bit.
    func logits(_ adapter: DeviceAdapter?) -> [[UInt32]] {
        var tokens = (0..<20).map { Int32($0 * 13 % 70) }
        if let adapter { tokens[9] = Int32(adapter.vocabularySize - 1) }
        let model = engine.model(maximumRows: tokens.count, blockCount: 2)
        var batch = Batch()
        batch.append(
            tokens: tokens, firstPosition: 0, blocks: [0, 1], adapter: adapter,
            adapterStart: adapter == nil ? 0 : 5)
        let wanted = model.forward(batch, wanting: Array(0..<batch.rowCount))
        let (logits, _) = model.logits(of: tokens.indices, in: wanted)
        return tokens.indices.map { row in
            (0..<(adapter?.vocabularySize ?? model.vocabularySize)).map {
                logits[row: row, column: $0].bitPattern
            }
        }
    }
}
