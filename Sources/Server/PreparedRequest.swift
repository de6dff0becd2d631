internal import Generation
internal import Grammar
internal import OpenAIWire
internal import Tokenization

/// A request whose text has become tokens.
struct PreparedRequest: Sendable {
    let kind: ResponseHead.Kind
    let model: String
    let sampling: SamplingOptions
    let stream: StreamOptions?
    var options: CompletionOptions
    /// Adapters that are added up on the base; nil for the model alone.
    var mix: [ScaledAdapter]?
    /// What becomes a prompt once the model is at hand.
    var chat: ChatRequest?
    /// The same of completions that a template writes.
    var conversations: [Conversation] = []
    /// The form of the answer, and what of a schema it leaves out.
    var source: GrammarSource?
    var unenforced: [(pointer: String, keyword: String)] = []
    /// Longer prompts lose their beginning; nil for those that are refused.
    var mostPromptTokens: Int?
    /// Writes texts; nil for OpenAI's completions.
    var takeoff: TakeoffWriter?
    /// Writes its answer; nil for OpenAI's completions.
    var writer: (any AnswerWriter)?
    /// How its answers are read.
    var reading: AnswerReading?
    /// Of the request's body.
    var byteCount = 0
    /// Whether the answer tells where its time went.
    var tellsTiming = false
    var prompts: [Prompt] = []

    struct Prompt: Sendable {
        /// By the base's tokenizer, until the model is at hand.
        var tokens: [Int]
        /// What the answer repeats; nil for nothing.
        var echo: String?
        /// What the tokens are of; nil where they were sent.
        var text: String?
        var addsSpecialTokens = true

        init(_ tokens: [Int], echo: String? = nil) {
            self.tokens = tokens
            self.echo = echo
        }

        init(_ text: String, _ tokenizer: Tokenizer, addsSpecialTokens: Bool = true, echoes: Bool) {
            self.text = text
            self.addsSpecialTokens = addsSpecialTokens
            tokens = tokenizer.encode(text, addsSpecialTokens: addsSpecialTokens)
            echo = echoes ? text : nil
        }

        /// The same by another tokenizer.
        func with(_ tokenizer: Tokenizer) -> Prompt {
            guard let text else {
                return Prompt(
                    tokens,
                    echo: echo.map { _ in tokenizer.decode(tokens, skipsSpecialTokens: false) })
            }
            return Prompt(
                text, tokenizer, addsSpecialTokens: addsSpecialTokens, echoes: echo != nil)
        }
    }

    init(
        _ kind: ResponseHead.Kind, _ model: String, _ sampling: SamplingOptions,
        _ stream: StreamOptions?, logprobCount: Int?
    ) {
        self.kind = kind
        self.model = model
        self.sampling = sampling
        self.stream = stream
        options = CompletionOptions(sampling)
        options.logprobCount = logprobCount
    }

    mutating func cutPrompts() {
        guard let most = mostPromptTokens else { return }
        for index in prompts.indices {
            prompts[index].tokens = Array(prompts[index].tokens.suffix(most))
        }
    }

    var promptTokenCount: Int { prompts.reduce(0) { $0 + $1.tokens.count } }

    /// What it may come to, as far as the request says: answers without a bound are counted as short ones.
    func reservedTokenCount(contextLength: Int) -> Int {
        let completion = min(options.maximumTokens ?? 256, contextLength)
        return promptTokenCount + prompts.count * sampling.count * completion
    }

    /// Refuses what would take more than one request's share.
    func check(contextLength: Int) throws(APIError) {
        let choiceCount = prompts.count * sampling.count
        guard choiceCount <= SamplingOptions.Limits.choices else {
            throw .invalid(
                "n",
                "\(prompts.count) prompts with n = \(sampling.count) are \(choiceCount) completions; at most \(SamplingOptions.Limits.choices) are allowed in one request."
            )
        }
        if let count = options.logprobCount, stream == nil {
            let tokens = min(options.maximumTokens ?? contextLength, contextLength)
            let scores = choiceCount * tokens * (count + 1)
            guard scores <= SamplingOptions.Limits.completionScores else {
                throw .invalid(
                    "logprobs",
                    "The completions' log probabilities may be \(scores) numbers; at most \(SamplingOptions.Limits.completionScores) are allowed in one answer. Give a smaller max_tokens, or stream."
                )
            }
        }
        guard let count = options.promptLogprobCount else { return }
        let scores = promptTokenCount * sampling.count * (count + 1)
        guard scores <= SamplingOptions.Limits.promptScores else {
            throw .invalid(
                "prompt",
                "The prompts' log probabilities would be \(scores) numbers; at most \(SamplingOptions.Limits.promptScores) are allowed in one request. Send fewer or shorter prompts, or ask for fewer alternatives."
            )
        }
    }
}

extension CompletionOptions {
    fileprivate init(_ sampling: SamplingOptions) {
        self.init()
        maximumTokens = sampling.maximumTokens
        minimumTokens = sampling.minimumTokens
        temperature = sampling.temperature
        topP = sampling.topP
        topK = sampling.topK
        minP = sampling.minP
        repetitionPenalty = sampling.repetitionPenalty
        presencePenalty = sampling.presencePenalty
        frequencyPenalty = sampling.frequencyPenalty
        logitBias = sampling.logitBias
        seed = sampling.seed
        stopStrings = sampling.stopStrings
        stopTokens = sampling.stopTokens
        includesStopString = sampling.includesStopString
        ignoresEnd = sampling.ignoresEnd
        skipsSpecialTokens = sampling.skipsSpecialTokens
        promptLogprobCount = sampling.promptLogprobCount
    }
}
