internal import Adapters
internal import Dispatch
internal import Engine
internal import Foundation
internal import Generation
internal import JSONTree
internal import ModelFiles
internal import StepModels
internal import Tensors
internal import Tokenization
internal import Transformer

/// A base model in memory, and the engine that answers with it.
///
/// Requests that are under way at the same time, for the base and for any of its adapters, share each forward pass. Their
/// results do not depend on what shares it.
///
/// ```swift
/// let model = try await LanguageModel(path: "SmolLM2-135M-Instruct.gguf")
/// let pirate = try await model.adapter(at: "adapters/pirate")
/// async let plain = model.answer("What is rain?")
/// async let rough = model.answer("What is rain?", adapter: pirate)
/// let texts = try await [plain.text, rough.text]
/// ```
///
/// The model is thread-safe. Its engine has a thread of its own, which ends with the last reference to the model; answers under
/// way are such references.
public final class LanguageModel: Sendable {
    private let generator: TextGenerator
    private let checkpoint: Checkpoint
    private let adapterFormat: WeightFormat
    private let running: Task<Void, Never>

    /// Reads a model and packs its weights; that takes a second for small models and minutes for large ones.
    ///
    /// - Parameters:
    ///   - path: a Hugging Face folder with safetensors, or a GGUF file.
    ///   - configuration: how it is computed, and how much memory it may have.
    /// - Throws: ``MartletError`` for files that cannot be read or are not supported.
    public init(path: String, configuration: Configuration = Configuration()) async throws {
        (generator, checkpoint) = try await MartletError.wrapping {
            try await Background.run { try Self.load(path, configuration) }
        }
        adapterFormat = configuration.weights.format.adapterFormat
        running = Task { [engine = generator.engine] in
            try? await engine.run()
            // Whoever comes now is told.
            engine.refuseAll()
        }
    }

    deinit { running.cancel() }

    private static func load(
        _ path: String, _ configuration: Configuration
    ) throws -> (TextGenerator, Checkpoint) {
        let checkpoint = try Checkpoint.open(path: path)
        let tokenizer = try Tokenizer(checkpoint.tokenizer)
        let text = try ModelText(checkpoint, tokenizer)
        let (limits, activations) = (
            try configuration.limits(for: checkpoint.configuration),
            configuration.weights.activations
        )
        let kernels = try KernelSet.best()
        let team = WorkerTeam(memberCount: configuration.threads)
        let format = configuration.weights.format
        let weights = try ModelWeights(checkpoint, format: format, team: team)
        checkpoint.releasePages()
        let engine = InferenceEngine(limits: limits) {
            let c = checkpoint.configuration
            let cache = KeyValueCache(
                format: activations, layerCount: c.layerCount, headCount: c.keyValueHeadCount,
                headDimension: c.headDimension, blockCount: limits.blockCount)
            let model = DecoderModel(
                weights: weights, adapterFormat: format.adapterFormat, cache: cache,
                kernels: kernels, team: team, maximumRows: limits.maximumStepTokens,
                maximumContext: limits.maximumContext)
            return EngineCore(model: model, limits: limits)
        }
        let generator = TextGenerator(
            checkpoint: checkpoint, engine: engine, text: text)
        return (generator, checkpoint)
    }

    /// Tokens that a prompt and its answer may have together.
    public var contextLength: Int { generator.contextLength }

    /// Where the engine stands.
    public var metrics: Metrics { Metrics(generator.engine) }

    // MARK: Adapters

    /// Reads a LoRA adapter for this model.
    ///
    /// The adapter is in memory as long as somebody has it, a request included.
    ///
    /// - Parameters:
    ///   - path: a folder as PEFT saves it, or a GGUF file.
    ///   - name: what reports call it.
    /// - Throws: ``MartletError``. What cannot be computed exactly is refused with a code that names the field or tensor.
    public func adapter(at path: String, name: String? = nil) async throws -> Adapter {
        let (checkpoint, format, generator) = (checkpoint, adapterFormat, generator)
        return try await MartletError.wrapping {
            try await Background.run {
                let file = try AdapterFile.open(
                    path: path, base: checkpoint, limits: AdapterLimits()
                ).settled(try generator.text(of: .base).settled)
                let weights = try DeviceAdapter(file, base: checkpoint, format: format)
                let name = name ?? URL(fileURLWithPath: path).lastPathComponent
                return Adapter(name: name, weights: weights)
            }
        }
    }

    // MARK: Answers

    /// Answers one message.
    ///
    /// - Parameters:
    ///   - prompt: what the user says.
    ///   - adapter: nil for the base alone.
    ///   - options: how the answer is written.
    /// - Throws: ``MartletError``, `CancellationError`.
    public func answer(
        _ prompt: String, adapter: Adapter? = nil, options: GenerationOptions = GenerationOptions()
    ) async throws -> Answer {
        try await answer([.user(prompt)], adapter: adapter, options: options)
    }

    /// Answers a conversation, written by the adapter's chat template, or the base's where it has none.
    ///
    /// - Throws: ``MartletError``, `CancellationError`.
    public func answer(
        _ conversation: [Message], adapter: Adapter? = nil,
        options: GenerationOptions = GenerationOptions()
    ) async throws -> Answer {
        try await whole(.conversation(conversation), adapter, options)
    }

    /// Goes on with a text, without any template.
    ///
    /// - Throws: ``MartletError``, `CancellationError`.
    public func complete(
        _ text: String, adapter: Adapter? = nil, options: GenerationOptions = GenerationOptions()
    ) async throws -> Answer {
        try await whole(.text(text), adapter, options)
    }

    /// An answer to one message while it is written.
    public func stream(
        _ prompt: String, adapter: Adapter? = nil, options: GenerationOptions = GenerationOptions()
    ) -> AnswerStream {
        stream([.user(prompt)], adapter: adapter, options: options)
    }

    /// An answer to a conversation while it is written.
    public func stream(
        _ conversation: [Message], adapter: Adapter? = nil,
        options: GenerationOptions = GenerationOptions()
    ) -> AnswerStream {
        AnswerStream { [self] write in
            _ = try await generate(.conversation(conversation), adapter, options, write)
        }
    }

    /// The tokens of a text, for those who count them.
    ///
    /// - Parameters:
    ///   - text: any.
    ///   - addsSpecialTokens: whether what the model wants before a text, such as a beginning, is added.
    /// - Returns: the base's, whatever tokens an adapter adds.
    public func tokens(of text: String, addsSpecialTokens: Bool = false) -> [Int] {
        generator.baseTokenizer.encode(text, addsSpecialTokens: addsSpecialTokens)
    }

    private enum Prompt: Sendable {
        case conversation([Message])
        case text(String)
    }

    private func whole(
        _ prompt: Prompt, _ adapter: Adapter?, _ options: GenerationOptions
    ) async throws -> Answer {
        var text = ""
        var answer = try await generate(prompt, adapter, options) { text += $0.text }
        answer.text = text
        return answer
    }

    /// - Returns: the answer without its text.
    private func generate(
        _ prompt: Prompt, _ adapter: Adapter?, _ options: GenerationOptions,
        _ body: (Answer.Piece) async throws -> Void
    ) async throws -> Answer {
        let generator = generator
        let completion = try await MartletError.wrapping {
            try await Background.run { try Self.begin(prompt, adapter, options, generator) }
        }
        var answer = Answer(promptTokenCount: completion.prompt.count)
        try await MartletError.wrapping {
            try await completion.forEachPiece { piece in
                answer.completionTokenCount += piece.tokens.count
                answer.cachedTokenCount = piece.foundPromptCount
                if let finish = piece.finish { answer.finish = Answer.Finish(finish) }
                try await body(Answer.Piece(text: piece.text, tokens: piece.tokens))
            }
        }
        return answer
    }

    private static func begin(
        _ prompt: Prompt, _ adapter: Adapter?, _ options: GenerationOptions,
        _ generator: TextGenerator
    ) throws -> Completion {
        let model = TextModel(adapter?.weights, name: adapter?.name)
        var settings = try options.completion()
        if let form = options.form {
            settings.constraint = try generator.constraint(try form.source())
        }
        let tokens: [Int]
        switch prompt {
        case .text(let text): tokens = try generator.text(of: model).tokenizer.encode(text)
        case .conversation(let messages):
            let conversation = Conversation(messages: messages.map(\.json))
            tokens = try generator.tokens(of: conversation, for: model).tokens
        }
        return try generator.complete(tokens, with: model, options: settings)
    }
}

/// Work that takes long, beside the tasks.
private enum Background {
    static func run<Value: Sendable>(
        _ work: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                continuation.resume(with: Result { try work() })
            }
        }
    }
}
