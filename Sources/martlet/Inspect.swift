import AdapterStore
import ArgumentParser
import Foundation
import Generation
import ModelFiles
import Tensors

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what is in a model or an adapter, and what it will cost.",
        discussion:
            "An adapter is checked against the base that --model names, exactly as `serve` does.")

    @Argument(help: "A model folder, a GGUF file, or an adapter.")
    var path: String

    @Option(help: ArgumentHelp("The base model that an adapter is for.", valueName: "path"))
    var model: String?

    func run() throws {
        if let model {
            let base = try Checkpoint.open(path: model)
            print(try AdapterReport(path: path, base: base).text)
        } else if AdapterFolder.isAdapter(path) {
            throw ValidationError(
                "\(path) is an adapter. Give --model with the base that it is for.")
        } else {
            print(try report(try Checkpoint.open(path: path)))
        }
    }

    private func report(_ checkpoint: Checkpoint) throws -> String {
        let c = checkpoint.configuration
        let parameters = checkpoint.parameterCount
        func line(_ name: String, _ value: Any) -> String {
            name.padding(toLength: 18, withPad: " ", startingAt: 0) + "\(value)"
        }
        func cache(_ format: ComputeFormat) -> Int {
            KeyValueCache.blockByteCount(
                format: format, layerCount: c.layerCount, headCount: c.keyValueHeadCount,
                headDimension: c.headDimension) / KeyValueCache.blockPositions
        }
        return [
            line("model", checkpoint.path), line("family", c.family.name),
            line("parameters", parameters),
            line("stored", ByteCount.text(checkpoint.storedByteCount)),
            line("layers", c.layerCount), line("hidden size", c.hiddenSize),
            line("feed-forward", c.intermediateSize),
            line(
                "heads",
                "\(c.headCount) queries, \(c.keyValueHeadCount) keys/values, \(c.headDimension) wide"
            ),
            line("vocabulary", "\(c.vocabularySize)\(c.tiesEmbeddings ? ", tied" : "")"),
            line("context", c.contextLength),
            line("window", c.slidingWindow.map { "\($0)" } ?? "none"),
            line("rope", "theta \(c.rope.theta), scaling \(c.rope.scaling.name)"),
            line(
                "chat template",
                checkpoint.tokenizer.chatTemplate(forTools: false) == nil ? "none" : "yes"),
            line("memory as q4", ByteCount.text(parameters * 63 / 100)),
            line("memory as q8", ByteCount.text(parameters * 106 / 100)),
            line("memory as bf16", ByteCount.text(parameters * 2)),
            line("memory as f32", ByteCount.text(parameters * 4)),
            line(
                "cache a token",
                "\(ByteCount.text(cache(.bf16))), or \(ByteCount.text(cache(.f32))) with --activations f32"
            ),
        ].joined(separator: "\n")
    }
}

extension RopeParameters.Scaling {
    fileprivate var name: String {
        switch self {
        case .none: "none"
        case .linear(let factor): "linear, \(factor)"
        case .llama3(let factor, _, _, _): "llama3, \(factor)"
        case .divisors: "per dimension"
        case .yarn(let yarn): "yarn, \(yarn.factor)"
        case .longrope(let rope): "longrope, beyond \(rope.originalContext) the long divisors"
        }
    }
}
