internal import Adapters
package import Engine
package import Grammar
internal import JSONTree
package import ModelFiles
package import Tokenization

/// Text in, text out: renders chats, tokenizes, submits to the engine, and turns tokens back into
/// text.
package struct TextGenerator: Sendable {
    package let checkpoint: Checkpoint
    package let engine: InferenceEngine
    private let modelTexts: ModelText.Cache
    private var defaults: GenerationDefaults { checkpoint.generation }
    private let constraints: ConstraintCache

    /// - Parameter text: the base's.
    package init(checkpoint: Checkpoint, engine: InferenceEngine, text: ModelText) {
        self.checkpoint = checkpoint
        self.engine = engine
        modelTexts = ModelText.Cache(text)
        constraints = ConstraintCache(text.tokenizer)
    }

    /// The base's: an adapter may have more tokens, see `text(of:)`.
    package var baseTokenizer: Tokenizer { modelTexts.base.tokenizer }

    package var contextLength: Int { engine.limits.maximumContext }

    // MARK: Prompts

    /// How conversations with a model are written.
    ///
    /// - Throws: `GenerationError`.
    package func text(of model: TextModel) throws(GenerationError) -> ModelText {
        try modelTexts.text(of: model.adapter)
    }

    /// The text of a conversation, by the model's chat template.
    package func render(
        _ conversation: Conversation, for model: TextModel
    ) throws(GenerationError) -> String {
        try text(of: model).render(conversation)
    }

    /// The same as tokens.
    package func tokens(
        of conversation: Conversation, for model: TextModel
    ) throws(GenerationError) -> (text: String, tokens: [Int]) {
        let own = try text(of: model)
        let text = try own.render(conversation)
        return (text, own.tokenizer.encode(text, addsSpecialTokens: false))
    }

    /// Whether a prompt can be completed: its length, and every token id that a request brings, whichever
    /// way. Nothing behind this looks again before it indexes by one.
    ///
    /// - Throws: `GenerationError`.
    package func check(
        _ prompt: [Int], _ options: CompletionOptions, for model: TextModel
    ) throws(GenerationError) {
        try self.check(length: prompt.count, options)
        let count = vocabularySize(of: model)
        func check(_ tokens: some Sequence<Int>) throws(GenerationError) {
            guard let token = tokens.first(where: { $0 < 0 || $0 >= count }) else { return }
            let name =
                try text(of: model).tokenizer.token(token).map { " (\"\($0.prefix(100))\")" } ?? ""
            throw GenerationError(
                .invalidToken,
                "The token id \(token)\(name) is not among the \(count) that the model has an embedding for."
            )
        }
        try check(prompt)
        try check(options.stopTokens)
        try check(options.logitBias.keys)
    }

    /// What can be said of a prompt before its model is at hand.
    ///
    /// - Throws: `GenerationError`.
    package func check(
        length: Int, _ options: CompletionOptions
    ) throws(GenerationError) {
        guard length > 0 else {
            throw GenerationError(.emptyPrompt, "The prompt has no tokens.")
        }
        let room = contextLength - length
        guard room >= (options.maximumTokens == 0 ? 0 : 1) else {
            throw GenerationError(
                .contextLengthExceeded,
                "The prompt has \(length) tokens, the context \(contextLength), which leaves no room for a completion."
            )
        }
        if let maximum = options.maximumTokens, maximum > room {
            throw GenerationError(
                .contextLengthExceeded,
                "The prompt has \(length) tokens and max_tokens is \(maximum), together more than the context of \(contextLength)."
            )
        }
    }

    /// Tokens that a sequence may have.
    private func vocabularySize(of model: TextModel) -> Int {
        model.adapter?.vocabularySize ?? checkpoint.configuration.vocabularySize
    }

    /// What a completion must be, token by token. Compiling takes a while: not for an event loop.
    ///
    /// - Throws: `GrammarError` for what cannot be enforced exactly.
    package func constraint(_ source: GrammarSource) throws(GrammarError) -> GrammarConstraint {
        try constraints.constraint(source)
    }

    // MARK: Completions

    /// Starts one completion.
    ///
    /// - Parameters:
    ///   - index: of several completions of one prompt; each draws its own random numbers.
    /// - Throws: `GenerationError`.
    package func complete(
        _ prompt: [Int], with model: TextModel, options: CompletionOptions, index: Int = 0
    ) throws(GenerationError) -> Completion {
        try check(prompt, options, for: model)
        let room = contextLength - prompt.count
        let (adapter, text) = (model.adapter, try text(of: model))
        guard adapter?.isClassifier != true || options.pooling != nil else {
            throw GenerationError(
                .adapterIsClassifier,
                "The adapter scores texts and has no head that writes them: ask POST /v1/classify.")
        }
        // From a pack that a server on the CPU has made.
        guard engine.limits.deviceMemory?.paging == nil || adapter?.shape.hasOwnVocabulary != true
        else {
            throw GenerationError(
                .unsupportedVocabulary,
                "The adapter has not as many tokens as the base, which GPUs do not serve.")
        }
        if let adapter, let memory = engine.limits.deviceMemory, !memory.holds(adapter) {
            throw GenerationError(
                .adapterTooLarge,
                "The adapter takes \(memory.byteCount(of: adapter)) bytes, the device has \(memory.maximumAdapterByteCount) for one: give --device-memory more."
            )
        }
        let request = EngineRequest(
            id: engine.nextID(), prompt: prompt.map { Int32($0) }, adapter: adapter,
            adapterName: model.name, lease: model.lease, flow: options.flow,
            prefixScope: options.prefixScope,
            parameters: parameters(
                options, adapter?.text?.defaults(over: defaults) ?? defaults, room: room,
                index: index, vocabularySize: vocabularySize(of: model)),
            constraint: options.constraint?.over(text.ownTokens),
            prediction: options.prediction.map { Int32($0) })
        let events: AsyncThrowingStream<EngineEvent.Step, any Error>
        do throws(SubmissionRefused) {
            events = try engine.submit(request, patience: options.patience)
        } catch {
            throw GenerationError(error, patience: options.patience ?? 0)
        }
        return Completion(
            id: request.id, prompt: prompt, events: events, engine: engine,
            tokenizer: text.tokenizer, options: options)
    }

    private func parameters(
        _ options: CompletionOptions, _ defaults: GenerationDefaults, room: Int, index: Int,
        vocabularySize: Int
    ) -> SamplingParameters {
        var parameters = SamplingParameters()
        parameters.maximumTokens =
            options.maximumTokens ?? min(room, defaults.maximumTokens ?? room)
        parameters.minimumTokens = options.minimumTokens
        parameters.temperature = Float(options.temperature ?? defaults.temperature ?? 1)
        parameters.topK = max(0, options.topK ?? defaults.topK ?? 0)
        parameters.topP = Float(options.topP ?? defaults.topP ?? 1)
        parameters.minP = Float(options.minP ?? defaults.minP ?? 0)
        parameters.repetitionPenalty = Float(
            options.repetitionPenalty ?? defaults.repetitionPenalty ?? 1)
        parameters.presencePenalty = Float(options.presencePenalty)
        parameters.frequencyPenalty = Float(options.frequencyPenalty)
        for (token, bias) in options.logitBias { parameters.logitBias[Int32(token)] = Float(bias) }
        // Completions of one request differ, and differ the same way every time.
        let seed =
            options.seed.map { UInt64(bitPattern: Int64($0)) } ?? UInt64.random(in: .min ... .max)
        parameters.seed = seed &+ UInt64(index) &* 0xD1B5_4A32_D192_ED03
        let own = options.ignoresEnd ? [] : defaults.endTokens
        // An adapter may have fewer tokens than the base.
        parameters.endTokens = Set(
            (own + options.stopTokens).filter { $0 < vocabularySize }.map { Int32($0) })
        parameters.logprobCount = options.logprobCount
        parameters.promptLogprobCount = options.promptLogprobCount
        parameters.pooling = options.pooling
        return parameters
    }
}

/// How one completion is made; nil means the model's default.
package struct CompletionOptions: Sendable {
    package var maximumTokens: Int?
    package var minimumTokens = 0
    package var temperature: Double?
    package var topP: Double?
    package var topK: Int?
    package var minP: Double?
    package var repetitionPenalty: Double?
    package var presencePenalty = 0.0
    package var frequencyPenalty = 0.0
    package var logitBias: [Int: Double] = [:]
    package var seed: Int?
    package var stopStrings: [String] = []
    package var stopTokens: [Int] = []
    package var includesStopString = false
    package var ignoresEnd = false
    package var skipsSpecialTokens = true
    /// Special tokens that are text all the same.
    package var shownTokens: Set<Int> = []
    package var logprobCount: Int?
    package var promptLogprobCount: Int?
    /// What the completion must be; nil for anything.
    package var constraint: GrammarConstraint?
    /// Tokens that the completion may be like: only a guess, which saves time where it is right.
    package var prediction: [Int] = []
    /// What the prompt is to be as a vector; nil for none.
    package var pooling: Pooling?
    /// Whose it is.
    package var flow = Flow()
    /// Seconds within which the first token must come; nil to wait.
    package var patience: Double?
    /// With whom it shares what the cache holds; nil for everybody without a scope.
    package var prefixScope: PrefixScope?

    package init() {}
}

extension GenerationError {
    fileprivate init(_ refusal: SubmissionRefused, patience: Double) {
        switch refusal {
        case .isFull:
            self.init(.tooManyRequests, "The request queue is full. Try again in a moment.")
        case .isLate(let seconds):
            let late = max(1, Int(min(seconds - patience, 1e6).rounded(.up)))
            self.init(
                .tooLate(seconds: late),
                "The first token would come after about \(Int(min(seconds, 1e6).rounded(.up))) seconds, which is more than the request may wait. Try again in \(late) seconds."
            )
        }
    }
}
