import Adapters
import ChatTemplates
import Engine
import Foundation
import Generation
import Logging
import ModelFiles
import Tensors
import Tokenization
import Transformer

/// Puts the parts together: files to weights, weights to an engine, an engine to text.
struct Assembly {
    let generator: TextGenerator
    let engine: InferenceEngine
    let summary: String

    init(
        _ settings: ModelSettings, modelNames: [String] = [], maximumWaiting: Int = 1024,
        adapterLimit: Int = 4096, progress: Progress
    ) throws {
        let start = ContinuousClock.now
        let checkpoint = try Checkpoint.open(path: settings.modelPath)
        let configuration = checkpoint.configuration
        let kernels = try KernelSet.best()
        let tokenizer = try Tokenizer(checkpoint.tokenizer)
        guard tokenizer.tokenCount <= configuration.vocabularySize + 65_536 else {
            throw TokenizerMismatch(
                tokens: tokenizer.tokenCount, vocabulary: configuration.vocabularySize)
        }
        let team = WorkerTeam(memberCount: settings.threads)
        let weights = try ModelWeights(checkpoint, format: settings.weights, team: team) {
            progress.show("loading \(checkpoint.path)", $0)
        }
        let limits = try Assembly.limits(settings, configuration, maximumWaiting: maximumWaiting)
        let template = try checkpoint.tokenizer.chatTemplate.map { try ChatTemplate($0) }

        let fallbackName = URL(fileURLWithPath: settings.modelPath).deletingPathExtension()
            .lastPathComponent
        let registry = ModelRegistry(
            baseNames: modelNames.isEmpty ? [fallbackName] : modelNames, checkpoint: checkpoint,
            format: settings.weights, limits: AdapterLimits(), adapterLimit: adapterLimit,
            created: Int(Date().timeIntervalSince1970))
        for (index, adapter) in settings.adapters.enumerated() {
            progress.show("loading adapters", Double(index) / Double(settings.adapters.count))
            try registry.load(
                name: adapter.name, path: adapter.path, created: Int(Date().timeIntervalSince1970))
        }
        checkpoint.releasePages()
        progress.finish()

        engine = InferenceEngine(limits: limits) {
            let cache = KeyValueCache(
                format: settings.activations, layerCount: configuration.layerCount,
                headCount: configuration.keyValueHeadCount,
                headDimension: configuration.headDimension,
                blockCount: limits.blockCount)
            let model = DecoderModel(
                weights: weights, cache: cache, kernels: kernels, team: team,
                maximumRows: limits.maximumStepTokens, maximumContext: limits.maximumContext)
            return EngineCore(model: model, limits: limits)
        }
        generator = TextGenerator(
            registry: registry, tokenizer: tokenizer, engine: engine, template: template,
            templateVariables: checkpoint.tokenizer.templateVariables,
            defaults: checkpoint.generation)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        summary = """
            \(configuration.family.rawValue), \(configuration.layerCount) layers, \
            \(ByteCount.text(weights.byteCount)) of \(settings.weights.rawValue) weights with \
            \(settings.activations.rawValue) activations, \
            \(registry.adapters.count) adapters, context \(limits.maximumContext), \
            cache for \(limits.blockCount * KeyValueCache.blockPositions) tokens, \
            \(settings.threads) threads, kernels \(kernels.name), loaded in \((seconds * 100).rounded() / 100) s
            """
    }

    private static func limits(
        _ settings: ModelSettings, _ configuration: ModelConfiguration, maximumWaiting: Int
    ) throws -> EngineLimits {
        let blockByteCount = KeyValueCache.blockByteCount(
            format: settings.activations, layerCount: configuration.layerCount,
            headCount: configuration.keyValueHeadCount, headDimension: configuration.headDimension)
        // More blocks than every sequence at full length could use would only take room.
        let positions = KeyValueCache.blockPositions
        let wanted = settings.contextLength ?? configuration.contextLength
        let useful = settings.maximumSequences * ((wanted + positions - 1) / positions)
        let blockCount = min(settings.kvByteCount / blockByteCount, useful)
        let room = blockCount * positions
        guard room >= min(wanted, 16), settings.contextLength.map({ $0 <= room }) ?? true else {
            throw CacheTooSmall(
                tokens: room, wanted: wanted, bytesPerToken: blockByteCount / positions)
        }
        return EngineLimits(
            maximumSequences: settings.maximumSequences,
            maximumStepTokens: settings.maximumStepTokens,
            maximumContext: min(wanted, room), blockCount: blockCount,
            maximumWaiting: maximumWaiting)
    }
}

struct TokenizerMismatch: Error, CustomStringConvertible {
    let tokens: Int
    let vocabulary: Int

    var description: String {
        "the tokenizer has \(tokens) tokens and the model \(vocabulary): they do not belong together"
    }
}

struct CacheTooSmall: Error, CustomStringConvertible {
    let tokens: Int
    let wanted: Int
    let bytesPerToken: Int

    var description: String {
        "the key/value cache holds \(tokens) tokens and a sequence may have \(wanted): "
            + "give --kv-memory at least \(ByteCount.text(wanted * bytesPerToken)), or a smaller --context-length"
    }
}

/// Progress of long work on the terminal; nothing when standard error is not one.
final class Progress {
    private let isTerminal = isatty(2) == 1
    private var last = ""

    func show(_ what: String, _ share: Double) {
        guard isTerminal else { return }
        let line = "\(what) \(Int(share * 100)) %"
        guard line != last else { return }
        last = line
        FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8))
    }

    func finish() {
        guard isTerminal, !last.isEmpty else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
    }
}
