public import JSONTree

/// `POST /v1/completions`.
public struct CompletionRequest: Sendable, Equatable {
    public enum Prompt: Sendable, Equatable {
        case text(String)
        case tokens([Int])
    }

    public var model: String
    /// Adapters that are added up on the base; nil for the model alone.
    public var adapters: [ScaledAdapter]?
    public var prompts: [Prompt]
    public var echoes: Bool
    /// Log probabilities of the chosen token and this many others.
    public var logprobCount: Int?
    public var addsSpecialTokens: Bool
    public var sampling: SamplingOptions
    public var stream: StreamOptions?

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.model()
        adapters = try ScaledAdapter.read(&parameters)
        sampling = try SamplingOptions(&parameters)
        sampling.maximumTokens = try parameters.integer("max_tokens", in: 0...Int.max) ?? 16
        echoes = try parameters.bool("echo") ?? false
        logprobCount = try parameters.integer("logprobs", in: 0...SamplingOptions.Limits.logprobs)
        addsSpecialTokens = try parameters.bool("add_special_tokens") ?? true
        stream = try StreamOptions.read(&parameters)
        guard let prompt = parameters.json("prompt") else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "prompt is missing.",
                parameter: "prompt")
        }
        prompts = try CompletionRequest.prompts(prompt)
        try parameters.accept(
            "suffix", only: "", because: "the models here complete to the right only.")
        try parameters.finish()
        if sampling.minimumTokens > sampling.maximumTokens ?? .max {
            throw .invalid("min_tokens", "min_tokens is larger than max_tokens.")
        }
    }

    private static func prompts(_ json: JSON) throws(APIError) -> [Prompt] {
        let invalid = APIError.invalid(
            "prompt",
            "prompt must be a string, a list of strings, a list of token ids, or a list of such lists; none of them empty."
        )
        if let text = json.stringValue { return [.text(text)] }
        guard let elements = json.arrayValue, !elements.isEmpty else { throw invalid }
        if let tokens = tokens(elements) { return [.tokens(tokens)] }
        guard elements.count <= SamplingOptions.Limits.prompts else {
            throw .invalid(
                "prompt",
                "prompt has \(elements.count) entries; at most \(SamplingOptions.Limits.prompts) are allowed."
            )
        }
        var prompts: [Prompt] = []
        for element in elements {
            if let text = element.stringValue {
                prompts.append(.text(text))
            } else if let inner = element.arrayValue, !inner.isEmpty, let tokens = tokens(inner) {
                prompts.append(.tokens(tokens))
            } else {
                throw invalid
            }
        }
        return prompts
    }

    private static func tokens(_ elements: [JSON]) -> [Int]? {
        let tokens = elements.compactMap { element in
            if case .integer(let token) = element { token } else { nil }
        }
        return tokens.count == elements.count ? tokens : nil
    }
}

extension Parameters {
    mutating func model() throws(APIError) -> String {
        guard let model = try string("model"), !model.isEmpty else {
            throw APIError(
                status: 400, code: "missing_parameter",
                message:
                    "model is missing: name the base model or an adapter. GET /v1/models lists them.",
                parameter: "model")
        }
        // Longer than any source that a request may name.
        guard model.utf8.count <= 2048 else {
            throw .invalid("model", "model has more than 2048 bytes.")
        }
        return model
    }
}
