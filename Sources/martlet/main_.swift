import Adapters
import ModelFiles
import Tensors
import Transformer
import Foundation

@main struct Martlet {
    static func main() throws {
        let arguments = CommandLine.arguments
        let format = ComputeFormat(rawValue: arguments[2])!
        let tokens = arguments[3].split(separator: ",").map { Int32($0)! }
        let team = WorkerTeam(memberCount: 2)
        let t0 = Date()
        let checkpoint = try Checkpoint.open(path: arguments[1])
        let weights = try ModelWeights(checkpoint, format: format, team: team)
        print("load", Date().timeIntervalSince(t0))
        let c = checkpoint.configuration
        let cache = KeyValueCache(format: format, layerCount: c.layerCount, headCount: c.keyValueHeadCount, headDimension: c.headDimension, blockCount: 64)
        let model = DecoderModel(weights: weights, cache: cache, kernels: try KernelSet.best(), team: team, maximumRows: 256, maximumContext: 1024)
        var batch = Batch()
        var adapters: [DeviceAdapter?] = [nil]
        for path in arguments[4...] {
            adapters.append(try DeviceAdapter(try AdapterFile.open(path: path, base: c, limits: AdapterLimits()), base: checkpoint, format: format))
        }
        for (i, a) in adapters.enumerated() {
            batch.append(tokens: tokens, firstPosition: 0, blocks: (0..<8).map { Int32(i * 8 + $0) }, adapter: a)
        }
        let t1 = Date()
        model.forward(batch)
        print("forward", Date().timeIntervalSince(t1))
        for i in adapters.indices {
            let rows = (0..<tokens.count).map { i * tokens.count + $0 }
            let logits = model.logits(of: rows)
            let out = rows.indices.dropLast().map { r in logits[row: r, column: Int(tokens[r + 1])] - model.kernels.summarize(logits, row: r).logSumExp }
            print(out.map { String($0) }.joined(separator: " "))
        }
    }
}
