public import JSONTree

/// `POST /v1/chat/completions`.
public struct ChatRequest: Sendable, Equatable {
    public var model: String
    /// Adapters that are added up on the base; nil for the model alone.
    public var adapters: [ScaledAdapter]?

    /// Parameters that other APIs take as well, since they are no part of any.
    static let own = ["adapters", "lora", "priority", "cache_salt"]

    /// As sent, contents that are lists of text parts joined to one text.
    public var messages: [JSON]
    /// What the template shows, and what may be called of it.
    public var tools: JSON?
    public var toolChoice: ToolChoice
    /// Whether an answer may have no more than one call.
    public var callsOnce: Bool
    /// Whether the answer shows thoughts apart from its text, or in it as they are written, or not.
    public var reasoning: Reasoning
    public var addsGenerationPrompt: Bool
    /// Further variables for the template, such as `enable_thinking`.
    public var templateVariables: JSON.Object
    /// What the answer may be like. It changes how fast the answer is made, not what it says.
    public var prediction: String?
    /// Log probabilities of the chosen token and this many others.
    public var logprobCount: Int?
    public var sampling: SamplingOptions
    public var stream: StreamOptions?

    private static let argumentLimits = JSON.Limits(byteCount: 4 << 20, depth: 64)
    private static let roles = ["system", "developer", "user", "assistant", "tool", "function"]

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.model()
        adapters = try ScaledAdapter.read(&parameters)
        sampling = try SamplingOptions(&parameters)
        let newer = try parameters.integer("max_completion_tokens", in: 1...Int.max)
        let older = try parameters.integer("max_tokens", in: 1...Int.max)
        if let newer, let older, newer != older {
            throw .invalid(
                "max_tokens", "max_tokens and max_completion_tokens say different things.")
        }
        sampling.maximumTokens = newer ?? older
        if sampling.minimumTokens > sampling.maximumTokens ?? .max {
            throw .invalid("min_tokens", "min_tokens is larger than max_tokens.")
        }
        let wantsLogprobs = try parameters.bool("logprobs") ?? false
        let topCount = try parameters.integer(
            "top_logprobs", in: 0...SamplingOptions.Limits.logprobs)
        if let topCount, topCount > 0, !wantsLogprobs {
            throw .invalid("top_logprobs", "top_logprobs needs logprobs: true.")
        }
        logprobCount = wantsLogprobs ? topCount ?? 0 : nil
        stream = try StreamOptions.read(&parameters)
        let input = try ChatRequest.templateInput(&parameters)
        (tools, addsGenerationPrompt) = (input.tools, input.addsGenerationPrompt)
        templateVariables = input.variables
        toolChoice = try ToolChoice.read(&parameters, tools: tools)
        if toolChoice == .none { tools = nil }
        callsOnce = try parameters.bool("parallel_tool_calls") == false
        reasoning = try Reasoning.read(&parameters)
        if toolChoice.isNeeded, sampling.form != nil {
            throw .invalid(
                "tool_choice",
                "tool_choice asks for a call and the request for another form of answer: send one.")
        }
        try ChatRequest.readEffort(&parameters, into: &templateVariables)
        prediction = try ChatRequest.prediction(parameters.json("prediction"))
        try parameters.accept(
            "verbosity", only: "medium", because: "no template here tells it to the model.")
        for name in ["functions", "function_call"] {
            try parameters.accept(name, because: "it is OpenAI's old form: send tools.")
        }
        try parameters.accept("echo", only: false, because: "a chat has no prompt text to repeat.")
        try parameters.accept("modalities", only: ["text"], because: "the models here write text.")
        guard let messages = parameters.json("messages") else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "messages is missing.",
                parameter: "messages")
        }
        self.messages = try ChatRequest.messages(messages)
        try parameters.finish()
    }

    static let efforts = ["none", "minimal", "low", "medium", "high", "xhigh"]

    /// How much a model is to think is for its template to say, in the names that templates have for it; one without
    /// either writes the same prompt.
    private static func readEffort(
        _ parameters: inout Parameters, into variables: inout JSON.Object
    ) throws(APIError) {
        guard let effort = try parameters.string("reasoning_effort") else { return }
        guard efforts.contains(effort) else {
            throw .invalid(
                "reasoning_effort",
                "reasoning_effort must be one of \(efforts.joined(separator: ", ")).")
        }
        variables["reasoning_effort"] = variables["reasoning_effort"] ?? .string(effort)
        guard effort != "minimal", variables["enable_thinking"] == nil else { return }
        variables["enable_thinking"] = .bool(effort != "none")
    }

    /// What a template is given besides messages.
    static func templateInput(
        _ parameters: inout Parameters
    ) throws(APIError) -> (tools: JSON?, addsGenerationPrompt: Bool, variables: JSON.Object) {
        let addsGenerationPrompt = try parameters.bool("add_generation_prompt") ?? true
        var variables = JSON.Object()
        if let given = parameters.json("chat_template_kwargs") {
            guard let object = given.objectValue else {
                throw .invalid("chat_template_kwargs", "chat_template_kwargs must be an object.")
            }
            variables = object
        }
        let tools = parameters.json("tools")
        if let tools { try ToolChoice.check(tools) }
        return (
            tools?.arrayValue?.isEmpty == true ? Optional.none : tools, addsGenerationPrompt,
            variables
        )
    }

    static func messages(_ json: JSON) throws(APIError) -> [JSON] {
        guard let elements = json.arrayValue, !elements.isEmpty,
            elements.count <= SamplingOptions.Limits.messages
        else {
            throw .invalid(
                "messages",
                "messages must be a list of 1 to \(SamplingOptions.Limits.messages) messages.")
        }
        var messages: [JSON] = []
        for (index, element) in elements.enumerated() {
            let path = "messages[\(index)]"
            guard element.objectValue != nil else {
                throw .invalid(path, "\(path) must be an object.")
            }
            var parameters = try Parameters(element, path: path)
            guard let role = try parameters.string("role"), role.utf8.count <= 16,
                roles.contains(role)
            else {
                throw .invalid(
                    "\(path).role", "\(path).role must be one of \(roles.joined(separator: ", ")).")
            }
            var message = JSON.Object([("role", .string(role))])
            message["content"] = try content(parameters.json("content"), role, path)
            for name in ["name", "tool_call_id"] {
                if let text = try parameters.string(name) { message[name] = .string(text) }
            }
            message["tool_calls"] = try toolCalls(parameters.json("tool_calls"), path)
            // vLLM's old and new name for one thing; templates look for either.
            let names = ["reasoning_content", "reasoning"]
            for name in names {
                guard let text = try parameters.string(name) else { continue }
                for name in names { message[name] = .string(text) }
            }
            // What answers carry and clients send back; nothing of it is shown to a model.
            parameters.ignore("annotations")
            for name in ["refusal", "audio", "function_call"] {
                try parameters.accept(name, because: "no template here shows it to the model.")
            }
            try parameters.finish()
            messages.append(.object(message))
        }
        return messages
    }

    private static func content(
        _ content: JSON?, _ role: String, _ path: String
    ) throws(APIError) -> JSON? {
        switch content {
        case .string?: return content
        case nil:
            guard role == "assistant" else {
                throw .invalid("\(path).content", "\(path).content is missing.")
            }
            // Templates ask whether it is none.
            return .null
        case .array(let parts)?: return .string(try text(of: parts, "\(path).content"))
        case let other?:
            throw APIError(
                status: 400, code: "invalid_type",
                message:
                    "\(path).content must be a string or a list of text parts, not \(other.kind).",
                parameter: "\(path).content")
        }
    }

    /// Calls as a template sees them: members that are null are absent, and arguments, which the wire
    /// writes as JSON in a string, are an object.
    private static func toolCalls(_ calls: JSON?, _ path: String) throws(APIError) -> JSON? {
        guard let calls else { return nil }
        guard let elements = calls.arrayValue else {
            throw .invalid("\(path).tool_calls", "\(path).tool_calls must be a list of calls.")
        }
        var shown: [JSON] = []
        for (index, element) in elements.enumerated() {
            let path = "\(path).tool_calls[\(index)].function"
            guard var call = element.withoutNulls.objectValue,
                var function = call["function"]?.objectValue,
                function["name"]?.stringValue != nil
            else { throw .invalid(path, "\(path) must be an object with a name.") }
            function["arguments"] = try arguments(function["arguments"], "\(path).arguments")
            call["function"] = .object(function)
            shown.append(.object(call))
        }
        return shown.isEmpty ? nil : .array(shown)
    }

    private static func prediction(_ json: JSON?) throws(APIError) -> String? {
        guard let json else { return nil }
        var inner = try Parameters(json, path: "prediction")
        try inner.accept("type", only: "content", because: "a prediction is a content.")
        let text: String
        switch inner.json("content") {
        case .string(let content)?: text = content
        case .array(let parts)?: text = try self.text(of: parts, "prediction.content")
        default:
            throw .invalid(
                "prediction.content",
                "prediction.content must be a string or a list of text parts.")
        }
        try inner.finish()
        return text
    }

    private static func arguments(_ json: JSON?, _ path: String) throws(APIError) -> JSON {
        let value: JSON?
        switch json {
        case nil, .string("")?: value = [:]
        case .string(let text)?: value = try? JSON(parsing: text, limits: argumentLimits)
        case let other?: value = other
        }
        guard let value, value.objectValue != nil else {
            throw .invalid(path, "\(path) must be a JSON object.")
        }
        return value.withoutNulls
    }

    private static func text(of parts: [JSON], _ path: String) throws(APIError) -> String {
        var texts: [String] = []
        for (index, part) in parts.enumerated() {
            let type = part["type"]?.stringValue ?? ""
            guard type == "text", let text = part["text"]?.stringValue else {
                throw .unsupported(
                    "\(path)[\(index)]",
                    "\(path)[\(index)] has the type \"\(type)\"; supported is text.")
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }
}

extension JSON {
    /// Without members that are null, at any depth.
    fileprivate var withoutNulls: JSON {
        switch self {
        case .array(let elements): .array(elements.map(\.withoutNulls))
        case .object(let object):
            .object(
                Object(
                    object.members.filter { !$0.value.isNull }.map {
                        ($0.name, $0.value.withoutNulls)
                    }))
        default: self
        }
    }
}
