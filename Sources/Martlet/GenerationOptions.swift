internal import Generation
internal import Grammar
internal import JSONTree

/// How an answer is written. What is nil is the adapter's own default, or the model's.
public struct GenerationOptions: Sendable {
    /// Tokens at most; nil for what the context leaves.
    public var maximumTokens: Int?
    /// 0 takes the likeliest token each time.
    public var temperature: Double?
    public var topP: Double?
    public var topK: Int?
    public var minP: Double?
    /// The same seed gives the same text, whatever else runs.
    public var seed: Int?
    /// Texts that end the answer, and are not part of it.
    public var stopStrings: [String] = []
    /// What the answer must be; nil for anything.
    public var form: AnswerForm?

    public init() {}

    /// Options for the likeliest answer.
    public static func greedy(maximumTokens: Int? = nil, form: AnswerForm? = nil) -> Self {
        var options = GenerationOptions()
        options.temperature = 0
        options.maximumTokens = maximumTokens
        options.form = form
        return options
    }

    /// - Throws: ``MartletError`` for what cannot be.
    func completion() throws(MartletError) -> CompletionOptions {
        try MartletError.check(maximumTokens, 1...1 << 24, "maximumTokens")
        try MartletError.check(temperature, 0...2, "temperature")
        try MartletError.check(topP, Double.leastNonzeroMagnitude...1, "topP")
        try MartletError.check(topK, 0...1 << 24, "topK")
        try MartletError.check(minP, 0...1, "minP")
        var options = CompletionOptions()
        options.maximumTokens = maximumTokens
        options.temperature = temperature
        options.topP = topP
        options.topK = topK
        options.minP = minP
        options.seed = seed
        options.stopStrings = stopStrings.filter { !$0.isEmpty }
        return options
    }
}

/// What an answer must be. What cannot be enforced exactly is refused before anything is written.
public enum AnswerForm: Sendable, Hashable {
    /// JSON that satisfies a schema (draft 2020-12 or 7), given as JSON.
    case jsonSchema(String)
    /// A JSON object with any members.
    case jsonObject
    /// Text that matches a regular expression as a whole.
    case pattern(String)
    /// One of these texts.
    case choice([String])
    /// A grammar in GBNF, llama.cpp's notation.
    case grammar(String)

    /// - Throws: ``MartletError`` for a schema that is not JSON.
    func source() throws(MartletError) -> GrammarSource {
        switch self {
        case .jsonSchema(let text):
            do {
                return .schema(try JSON(parsing: Array(text.utf8)))
            } catch {
                throw MartletError("invalid_grammar", "The schema is not JSON: \(error).")
            }
        case .jsonObject: return .jsonObject
        case .pattern(let pattern): return .pattern(pattern)
        case .choice(let texts): return .choice(texts)
        case .grammar(let text): return .notation(text)
        }
    }
}
