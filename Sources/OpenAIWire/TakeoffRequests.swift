public import JSONTree

/// `POST /generate` and `/generate_stream` of Takeoff's API, as its client 0.7.0 speaks it.
public struct TakeoffRequest: Sendable {
    public enum Text: Sendable, Equatable {
        case one(String)
        case several([String])

        public var all: [String] {
            switch self {
            case .one(let text): [text]
            case .several(let texts): texts
            }
        }
    }

    public let text: Text
    /// The adapter; nil for the base.
    public let adapter: String?
    public let usesTemplate: Bool
    /// Longer prompts lose their beginning.
    public let mostPromptTokens: Int?
    public let sampling: SamplingOptions

    private static let mostTexts = 64
    private static let mostBytes = 150_000

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        switch parameters.json("text") {
        case .string(let text)?: self.text = .one(text)
        case .array(let list)?:
            let texts = list.compactMap(\.stringValue)
            guard texts.count == list.count, (1...Self.mostTexts).contains(texts.count) else {
                throw .invalid("text", "text must be a text, or a list of 1 to \(Self.mostTexts).")
            }
            text = .several(texts)
        default: throw .invalid("text", "text must be a text, or a list of texts.")
        }
        guard text.all.allSatisfy({ $0.utf8.count <= Self.mostBytes }) else {
            throw .invalid("text", "A text has at most \(Self.mostBytes) bytes.")
        }
        adapter = try parameters.string("lora_id")
        usesTemplate = try parameters.bool("use_chat_template") ?? false
        mostPromptTokens = try parameters.integer("prompt_max_tokens", in: 1...Int.max)
        var options = JSON.Object()
        options["temperature"] = parameters.json("sampling_temperature")
        options["top_p"] = parameters.json("sampling_topp")
        options["repetition_penalty"] = parameters.json("repetition_penalty")
        options["min_tokens"] = parameters.json("min_new_tokens")
        options["json_schema"] = parameters.json("json_schema")
        options["regex"] = parameters.json("regex_string")
        // A pattern wins, and the likeliest token is what is taken unless more is asked for.
        if options["regex"] != nil { options["json_schema"] = nil }
        options["top_k"] = parameters.json("sampling_topk") ?? 1
        let most = try parameters.integer("max_new_tokens", in: 1...Int.max)
        try parameters.accept("no_repeat_ngram_size", only: 0, because: "nothing here does it.")
        try parameters.accept(
            "return_metadata", only: false,
            because: "its form is not known: /v1/completions has usage.")
        try parameters.accept(
            "consumer_group", only: "primary", "", because: "there is one group, primary.")
        parameters.ignore("constrained_decoding_backend")
        try parameters.finish()
        var inner = try Parameters(.object(options))
        var sampling = try SamplingOptions(&inner)
        try inner.finish()
        sampling.maximumTokens = most ?? 128
        guard sampling.minimumTokens <= most ?? 128 else {
            throw .invalid("min_new_tokens", "min_new_tokens is larger than max_new_tokens.")
        }
        self.sampling = sampling
    }
}

/// Answers of Takeoff's API.
public struct TakeoffWriter: Sendable {
    private let isList: Bool

    public init(_ text: TakeoffRequest.Text) {
        if case .several = text { isList = true } else { isList = false }
    }

    public func whole(_ texts: [String]) -> JSON {
        ["text": isList ? .array(texts.map { .string($0) }) : .string(texts.first ?? "")]
    }

    /// A piece of an answer as an event: text as it is, which loses one space after the colon; of several, JSON.
    public func piece(_ text: String, index: Int) -> String {
        guard !isList else {
            let json: JSON = ["text": .string(text), "batch_id": .integer(index)]
            return "data:\(json.text())\n\n"
        }
        // A carriage return would end a line of the event.
        let lines = text.replacing("\r\n", with: "\n").replacing("\r", with: "\n")
            .split(separator: "\n", omittingEmptySubsequences: false)
        return lines.map { "data:\($0.hasPrefix(" ") ? " " : "")\($0)\n" }.joined() + "\n"
    }

    public func failure(_ error: APIError) -> String {
        "event:error\ndata:\(error.json.text())\n\n"
    }
}

/// `POST /tokenize/READER`, `/detokenize/READER` and `/chat_template/READER`.
public enum TakeoffText {
    public static func tokenize(
        _ json: JSON
    ) throws(APIError) -> (text: String, usesTemplate: Bool, skipsSpecialTokens: Bool) {
        var parameters = try Parameters(json)
        guard let text = try parameters.string("text") else {
            throw .invalid("text", "text must be a text.")
        }
        let usesTemplate = try parameters.bool("use_chat_template") ?? false
        let skips = try parameters.bool("skip_special_tokens") ?? false
        try parameters.finish()
        return (text, usesTemplate, skips)
    }

    /// Tokens by their ids or by their texts.
    public static func detokenize(
        _ json: JSON
    ) throws(APIError) -> (tokens: [JSON], skipsSpecialTokens: Bool) {
        var parameters = try Parameters(json)
        guard let tokens = parameters.json("tokens")?.arrayValue,
            tokens.allSatisfy({ $0.integerValue != nil || $0.stringValue != nil })
        else { throw .invalid("tokens", "tokens must be a list of ids or texts.") }
        let skips = try parameters.bool("skip_special_tokens") ?? true
        try parameters.finish()
        return (tokens, skips)
    }

    public static func conversations(
        _ json: JSON
    ) throws(APIError) -> (conversations: [[JSON]], addsGenerationPrompt: Bool) {
        var parameters = try Parameters(json)
        let list = parameters.json("inputs")?.arrayValue ?? []
        guard (1...SamplingOptions.Limits.prompts).contains(list.count) else {
            throw .invalid(
                "inputs",
                "inputs must be a list of 1 to \(SamplingOptions.Limits.prompts) conversations.")
        }
        var conversations: [[JSON]] = []
        for input in list { conversations.append(try ChatRequest.messages(input)) }
        let adds = try parameters.bool("add_generation_prompt") ?? false
        try parameters.finish()
        return (conversations, adds)
    }
}
