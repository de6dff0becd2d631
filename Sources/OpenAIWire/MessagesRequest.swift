public import JSONTree

/// `POST /v1/messages`, Anthropic's API, said as a chat request.
public struct MessagesRequest: Sendable {
    public let chat: ChatRequest

    /// - Parameter counts: whether only its tokens are counted, for which nothing needs to be said of the answer.
    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON, counts: Bool = false) throws(APIError) {
        var parameters = try Parameters(json)
        var chat = JSON.Object()
        chat["model"] = parameters.json("model")
        if let limit = parameters.json("max_tokens") {
            chat["max_tokens"] = limit
        } else if !counts {
            throw APIError(
                status: 400, code: "missing_parameter", message: "max_tokens is missing.",
                parameter: "max_tokens")
        }
        for name in ["temperature", "top_p", "top_k", "stream"] + ChatRequest.own {
            chat[name] = parameters.json(name)
        }
        chat["stop"] = parameters.json("stop_sequences")
        parameters.ignore("metadata", "service_tier", "cache_control", "inference_geo")
        for name in ["container", "mcp_servers", "context_management"] {
            try parameters.accept(name, because: "nothing of it is on this server.")
        }
        try MessagesRequest.readThinking(&parameters, into: &chat)
        try MessagesRequest.readOutput(&parameters, into: &chat)
        var messages: [JSON] = []
        if let system = parameters.json("system") {
            messages.append([
                "role": "system", "content": .string(try MessagesRequest.text(system, "system")),
            ])
        }
        guard let turns = parameters.json("messages")?.arrayValue, !turns.isEmpty else {
            throw .invalid("messages", "messages must be a list of messages.")
        }
        for (index, turn) in turns.enumerated() {
            messages += try MessagesRequest.messages(turn, "messages[\(index)]")
        }
        chat["messages"] = .array(messages)
        try MessagesRequest.readTools(&parameters, into: &chat)
        try parameters.finish()
        self.chat = try ChatRequest(.object(chat))
    }

    private static func readThinking(
        _ parameters: inout Parameters, into chat: inout JSON.Object
    ) throws(APIError) {
        guard let value = parameters.json("thinking") else { return }
        var thinking = try Parameters(value, path: "thinking")
        let type = try thinking.string("type") ?? ""
        guard ["enabled", "disabled", "adaptive"].contains(type) else {
            throw .invalid("thinking", "thinking.type must be enabled, adaptive or disabled.")
        }
        // How much is for the model to decide.
        thinking.ignore("budget_tokens", "display")
        try thinking.finish()
        chat["chat_template_kwargs"] = ["enable_thinking": .bool(type != "disabled")]
    }

    private static func readOutput(
        _ parameters: inout Parameters, into chat: inout JSON.Object
    ) throws(APIError) {
        guard let value = parameters.json("output_config") else { return }
        var output = try Parameters(value, path: "output_config")
        output.ignore("effort")
        if let format = output.json("format") {
            var inner = try Parameters(format, path: "output_config.format")
            guard try inner.string("type") == "json_schema", let schema = inner.json("schema")
            else {
                throw .unsupported(
                    "output_config.format",
                    "output_config.format must be json_schema with a schema."
                )
            }
            try inner.finish()
            chat["response_format"] = [
                "type": "json_schema", "json_schema": ["name": "answer", "schema": schema],
            ]
        }
        try output.finish()
    }

    private static func readTools(
        _ parameters: inout Parameters, into chat: inout JSON.Object
    ) throws(APIError) {
        chat["tools"] = try parameters.tools { (tool, path) throws(APIError) in
            var inner = try Parameters(tool, path: path)
            try inner.accept(
                "type", only: "custom", because: "only tools of the client are known here.")
            var function = JSON.Object()
            for (name, other) in [
                ("name", "name"), ("description", "description"),
                ("input_schema", "parameters"), ("strict", "strict"),
            ] {
                function[other] = inner.json(name)
            }
            inner.ignore("cache_control", "input_examples", "eager_input_streaming")
            try inner.finish()
            return function
        }
        guard let value = parameters.json("tool_choice") else { return }
        var choice = try Parameters(value, path: "tool_choice")
        switch try choice.string("type") {
        case "auto"?: chat["tool_choice"] = "auto"
        case "none"?: chat["tool_choice"] = "none"
        case "any"?: chat["tool_choice"] = "required"
        case "tool"?:
            chat["tool_choice"] = [
                "type": "function", "function": ["name": choice.json("name") ?? .null],
            ]
        default:
            throw .invalid("tool_choice", "tool_choice.type must be auto, any, tool or none.")
        }
        if try choice.bool("disable_parallel_tool_use") == true {
            chat["parallel_tool_calls"] = false
        }
        choice.ignore("name")
        try choice.finish()
    }

    // MARK: Messages

    /// A turn as the messages that it is in a chat: results of tools are messages of their own there.
    private static func messages(_ turn: JSON, _ path: String) throws(APIError) -> [JSON] {
        var parameters = try Parameters(turn, path: path)
        let role = try parameters.string("role") ?? ""
        guard ["user", "assistant", "system"].contains(role) else {
            throw .invalid("\(path).role", "\(path).role must be user or assistant.")
        }
        let content = parameters.json("content")
        try parameters.finish()
        guard let blocks = content?.arrayValue else {
            guard let text = content?.stringValue else {
                throw .invalid("\(path).content", "\(path).content must be a text or a list.")
            }
            return [["role": .string(role), "content": .string(text)]]
        }
        var results: [JSON] = []
        var (texts, thoughts, calls): ([String], [String], [JSON]) = ([], [], [])
        for (index, block) in blocks.enumerated() {
            let place = "\(path).content[\(index)]"
            switch block["type"]?.stringValue {
            case "text"?: texts.append(try text(block, place))
            case "thinking"?: thoughts.append(block["thinking"]?.stringValue ?? "")
            case "redacted_thinking"?: break
            case "tool_use"?:
                guard let name = block["name"]?.stringValue else {
                    throw .invalid(place, "\(place).name is missing.")
                }
                calls.append([
                    "id": block["id"] ?? .null, "type": "function",
                    "function": ["name": .string(name), "arguments": block["input"] ?? [:]],
                ])
            case "tool_result"?:
                let said = try block["content"].map { (content) throws(APIError) in
                    try text(content, place + ".content")
                }
                results.append([
                    "role": "tool", "tool_call_id": block["tool_use_id"] ?? .null,
                    "content": .string(said ?? ""),
                ])
            case let type:
                throw .unsupported(
                    place,
                    "\(place) has the type \"\((type ?? "").prefix(100))\"; supported are text, thinking, tool_use and tool_result."
                )
            }
        }
        guard role == "assistant" else {
            guard !texts.isEmpty || results.isEmpty else { return results }
            return results + [
                ["role": .string(role), "content": .string(texts.joined(separator: "\n"))]
            ]
        }
        var message = JSON.Object([("role", "assistant")])
        message["content"] = texts.isEmpty ? .null : .string(texts.joined(separator: "\n"))
        if !thoughts.isEmpty { message["reasoning_content"] = .string(thoughts.joined()) }
        if !calls.isEmpty { message["tool_calls"] = .array(calls) }
        return [.object(message)]
    }

    /// A text, a block of text, or a list of them.
    private static func text(_ json: JSON, _ path: String) throws(APIError) -> String {
        if let text = json.stringValue { return text }
        var texts: [String] = []
        for (index, part) in (json.arrayValue ?? [json]).enumerated() {
            guard part["type"] == "text", let text = part["text"]?.stringValue else {
                throw .unsupported("\(path)[\(index)]", "\(path)[\(index)] is no text.")
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }
}
