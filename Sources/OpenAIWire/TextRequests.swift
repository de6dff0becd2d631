public import JSONTree

/// `POST /tokenize`, as vLLM has it: a text, or a conversation as the template renders it.
public struct TokenizeRequest: Sendable, Equatable {
    public enum Text: Sendable, Equatable {
        case prompt(String)
        case conversation(Conversation)
    }

    /// What a template is given.
    public struct Conversation: Sendable, Equatable {
        public var messages: [JSON]
        public var tools: JSON?
        public var addsGenerationPrompt: Bool
        public var templateVariables: JSON.Object
    }

    /// Nil for the base.
    public var model: String?
    public var text: Text
    public var addsSpecialTokens: Bool
    /// The answer has the tokens' texts too.
    public var returnsTokenTexts: Bool

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.string("model")
        returnsTokenTexts = try parameters.bool("return_token_strs") ?? false
        let prompt = try parameters.string("prompt")
        let messages = parameters.json("messages")
        switch (prompt, messages) {
        case (let prompt?, nil):
            text = .prompt(prompt)
            addsSpecialTokens = try parameters.bool("add_special_tokens") ?? true
        case (nil, let messages?):
            addsSpecialTokens = try parameters.bool("add_special_tokens") ?? false
            let template = try ChatRequest.templateInput(&parameters)
            try parameters.accept(
                "continue_final_message", only: false,
                because: "a conversation ends with its last message.")
            text = .conversation(
                Conversation(
                    messages: try ChatRequest.messages(messages), tools: template.tools,
                    addsGenerationPrompt: template.addsGenerationPrompt,
                    templateVariables: template.variables))
        case (nil, nil):
            throw APIError(
                status: 400, code: "missing_parameter",
                message: "Give a prompt, or messages.", parameter: "prompt")
        case (_?, _?):
            throw .invalid("messages", "Give a prompt or messages, not both.")
        }
        try parameters.finish()
    }
}

/// `POST /detokenize`, as vLLM has it.
public struct DetokenizeRequest: Sendable, Equatable {
    public var model: String?
    public var tokens: [Int]

    private static let tokenLimit = 1 << 20

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.string("model")
        guard parameters.json("tokens") != nil else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "tokens is missing.",
                parameter: "tokens")
        }
        tokens = try parameters.integers("tokens", limit: DetokenizeRequest.tokenLimit)
        try parameters.finish()
    }
}

/// `POST /v1/chat/completions/parse`: an answer's text, to be read as a model's.
public struct ParseRequest: Sendable, Equatable {
    public var model: String
    public var text: String
    public var tools: JSON?
    /// What the text follows; thoughts may begin in it.
    public var prompt: String

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.model()
        guard let text = try parameters.string("text") else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "text is missing.",
                parameter: "text")
        }
        self.text = text
        prompt = try parameters.string("prompt") ?? ""
        tools = parameters.json("tools")
        if let tools { try ToolChoice.check(tools) }
        try parameters.finish()
    }
}
