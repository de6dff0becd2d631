import AdapterSources
import AdapterStore
import Adapters
import Engine
import Foundation
import Generation
import Logging
import ModelFiles
import Server
import Telemetry
import Tensors
import Tokenization

/// Puts the parts together: a model in memory, an engine on it, text around it.
struct Assembly {
    let generator: TextGenerator
    let registry: ModelRegistry
    let engine: InferenceEngine
    let library: AdapterLibrary
    let summary: String

    /// - Parameter tell: told of what takes long and what goes wrong.
    init(
        _ settings: ModelSettings, modelNames: [String] = [], maximumWaiting: Int = 1024,
        policy: SourcePolicy = SourcePolicy(), justInTime: [String] = [], progress: Progress,
        tell: (AdapterShelf.News) -> Void = { _ in }
    ) async throws {
        let start = ContinuousClock.now
        let model = try LoadedModel(settings, maximumWaiting: maximumWaiting, progress: progress)
        let checkpoint = model.checkpoint
        let configuration = checkpoint.configuration
        let tokenizer = try Tokenizer(checkpoint.tokenizer)
        // What the tokenizer has and the embedding lacks is refused where a prompt needs it; a prompt of
        // nothing already needs these.
        if let token = tokenizer.encode("").first(where: { $0 >= configuration.vocabularySize }) {
            throw TokenizerMismatch(token: token, vocabulary: configuration.vocabularySize)
        }
        let text = try ModelText(checkpoint, tokenizer)

        let baseNames = modelNames.isEmpty ? [settings.defaultName] : modelNames
        let engine = InferenceEngine(limits: model.limits) { model.makeCore() }
        let library = try await AdapterShelf.open(
            settings, model: model, baseNames: baseNames, policy: policy, justInTime: justInTime,
            text: text, isBusy: { engine.isBusy }, progress: progress, tell: tell)
        self.engine = engine
        self.library = library
        registry = ModelRegistry(
            baseNames: baseNames, checkpoint: checkpoint, library: library,
            created: Int(Date().timeIntervalSince1970))
        checkpoint.releasePages()
        progress.finish()

        generator = TextGenerator(
            checkpoint: checkpoint, engine: engine, text: text)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        summary = """
            \(configuration.family.name), \(configuration.layerCount) layers, \
            \(ByteCount.text(model.weightByteCount)) of \(settings.weights.rawValue) weights with \
            \(settings.activations.rawValue) activations, \
            \(library.count) adapters, context \(model.limits.maximumContext), \
            cache for \(model.limits.blockCount * KeyValueCache.blockPositions) tokens, \
            \(model.deviceName), loaded in \((seconds * 100).rounded() / 100) s
            """
    }
}

struct TokenizerMismatch: Error, CustomStringConvertible {
    let token: Int
    let vocabulary: Int

    var description: String {
        "the tokenizer begins every prompt with token \(token) and the model has \(vocabulary) tokens: they do not belong together"
    }
}

/// Progress of long work on the terminal; nothing when standard error is not one.
final class Progress {
    private let isTerminal = isatty(2) == 1
    private var last = ""

    /// - Parameter share: of the work that is done, where that is known.
    func show(_ what: String, _ share: Double? = nil) {
        guard isTerminal else { return }
        let line = share.map { "\(what) \(Int($0 * 100)) %" } ?? what
        guard line != last else { return }
        last = line
        StandardStream.error.write("\r\u{1B}[K\(line)")
    }

    func finish() {
        guard isTerminal, !last.isEmpty else { return }
        StandardStream.error.write("\r\u{1B}[K")
    }
}
