internal import JSONTree

/// What both completion routes take: how tokens are chosen and when the completion ends. Nil means
/// the model's own default.
public struct SamplingOptions: Sendable, Equatable {
    public var maximumTokens: Int?
    public var minimumTokens = 0
    public var temperature: Double?
    public var topP: Double?
    public var topK: Int?
    public var minP: Double?
    public var repetitionPenalty: Double?
    public var presencePenalty = 0.0
    public var frequencyPenalty = 0.0
    public var logitBias: [Int: Double] = [:]
    public var seed: Int?
    public var count = 1
    public var stopStrings: [String] = []
    public var stopTokens: [Int] = []
    public var includesStopString = false
    public var ignoresEnd = false
    public var skipsSpecialTokens = true
    /// Log probabilities of the prompt, in vLLM's form.
    public var promptLogprobCount: Int?
    public var writesTokenIDs = false
    /// What the answer must be.
    public var form: AnswerForm?
    /// The parameter that says so.
    public var formParameter: String?
    /// Lower is more urgent; nil for what the key has.
    public var priority: Int?
    /// Only requests with the same text share what the cache holds of their prompts.
    public var cacheSalt: String?

    /// Bounds that keep one request from costing more than one.
    public enum Limits {
        public static let count = 16
        public static let stopStrings = 16
        public static let stopStringByteCount = 1024
        public static let stopTokens = 64
        public static let logitBias = 1024
        public static let logprobs = 20
        public static let prompts = 64
        public static let messages = 4096
        /// Prompts times `n`.
        public static let choices = 64
        /// Log probabilities of all completions in one answer.
        public static let completionScores = 2_000_000
        /// Log probabilities of all prompts' tokens.
        public static let promptScores = 400_000
    }

    init(_ parameters: inout Parameters) throws(APIError) {
        minimumTokens = try parameters.integer("min_tokens", in: 0...Int.max) ?? 0
        temperature = try parameters.number("temperature", in: 0...2)
        topP = try parameters.number("top_p", in: 0...1)
        if topP == 0 {
            throw .invalid(
                "top_p", "top_p is 0; it must be above 0. For greedy decoding set temperature to 0."
            )
        }
        topK = try parameters.integer("top_k", in: -1...Int(Int32.max))
        minP = try parameters.number("min_p", in: 0...1)
        repetitionPenalty = try parameters.number("repetition_penalty", in: 0.01...100)
        presencePenalty = try parameters.number("presence_penalty", in: -2...2) ?? 0
        frequencyPenalty = try parameters.number("frequency_penalty", in: -2...2) ?? 0
        // As vLLM has it, -1 asks for no seed.
        seed = try parameters.integer("seed", in: Int.min...Int.max).flatMap { $0 == -1 ? nil : $0 }
        count = try parameters.integer("n", in: 1...Limits.count) ?? 1
        stopStrings = try parameters.strings("stop", limit: Limits.stopStrings)
        guard stopStrings.allSatisfy({ !$0.isEmpty && $0.utf8.count <= Limits.stopStringByteCount })
        else {
            throw .invalid(
                "stop", "A stop string must have between 1 and \(Limits.stopStringByteCount) bytes."
            )
        }
        stopTokens = try parameters.integers("stop_token_ids", limit: Limits.stopTokens)
        includesStopString = try parameters.bool("include_stop_str_in_output") ?? false
        ignoresEnd = try parameters.bool("ignore_eos") ?? false
        skipsSpecialTokens = try parameters.bool("skip_special_tokens") ?? true
        promptLogprobCount = try parameters.integer("prompt_logprobs", in: 0...Limits.logprobs)
        writesTokenIDs = try parameters.bool("return_tokens_as_token_ids") ?? false
        try readLogitBias(&parameters)
        (form, formParameter) = try AnswerForm.read(&parameters)
        parameters.ignore(
            "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
            "prompt_cache_options")
        try parameters.accept("store", only: false, because: "this server stores nothing.")
        priority = try parameters.integer("priority", in: KeyTerms.priorities)
        cacheSalt = try parameters.string("cache_salt")
        if let cacheSalt, !(1...256).contains(cacheSalt.utf8.count) {
            throw .invalid("cache_salt", "cache_salt must have 1 to 256 bytes.")
        }
        try parameters.accept(
            "use_beam_search", only: false, because: "there is no beam search.")
        try parameters.accept(
            "length_penalty", only: .integer(1), .number(1), because: "there is no beam search.")
        try parameters.accept(
            "spaces_between_special_tokens", only: true,
            because: "tokens are put together as they are.")
        try parameters.accept(
            "truncate_prompt_tokens", because: "prompts are never cut: send the part that counts.")
        try parameters.accept(
            "allowed_token_ids", because: "it is not supported; logit_bias makes tokens unlikely.")
        try parameters.accept(
            "service_tier", only: "auto", "default", because: "there is one tier.")
        try parameters.accept(
            "best_of", only: .integer(count),
            because: "ask for n completions and choose among them.")
    }

    private mutating func readLogitBias(_ parameters: inout Parameters) throws(APIError) {
        guard let value = parameters.json("logit_bias") else { return }
        guard let members = value.objectValue?.members, members.count <= Limits.logitBias else {
            throw .invalid(
                "logit_bias",
                "logit_bias must be an object of at most \(Limits.logitBias) token ids and numbers."
            )
        }
        for (name, bias) in members {
            guard let token = Int(name), token >= 0, let number = bias.doubleValue,
                abs(number) <= 100
            else {
                throw .invalid(
                    "logit_bias",
                    "logit_bias maps token ids to numbers between -100 and 100; \(name): \(bias.text()) does not."
                )
            }
            logitBias[token] = number
        }
    }
}

/// How a response is streamed; nil when it is not.
public struct StreamOptions: Sendable, Equatable {
    public var includesUsage = false
    /// Whether every chunk tells the usage so far.
    public var includesRunningUsage = false

    public init() {}

    static func read(_ parameters: inout Parameters) throws(APIError) -> StreamOptions? {
        let streams = try parameters.bool("stream") ?? false
        let json = parameters.json("stream_options")
        if streams, let value = parameters.json("prompt_logprobs") {
            throw .unsupported(
                "prompt_logprobs",
                "prompt_logprobs = \(value.text()) is not supported in streams: leave out stream.")
        }
        guard streams else {
            if json != nil {
                throw .invalid("stream_options", "stream_options needs stream: true.")
            }
            return nil
        }
        var options = StreamOptions()
        if let json {
            var inner = try Parameters(json, path: "stream_options")
            options.includesUsage = try inner.bool("include_usage") ?? false
            try inner.accept(
                "include_obfuscation", only: false, because: "nothing is obfuscated.")
            options.includesRunningUsage = try inner.bool("continuous_usage_stats") ?? false
            try inner.finish()
        }
        return options
    }
}
