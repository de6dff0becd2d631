public import JSONTree

/// `POST /v1/responses`, OpenAI's newer API without what a server keeps for it, said as a chat request.
public struct ResponsesRequest: Sendable {
    public let chat: ChatRequest
    /// What answers repeat of the request.
    public let echo: JSON.Object

    private static let echoed = [
        "instructions", "metadata", "parallel_tool_calls", "reasoning", "temperature", "text",
        "tool_choice", "tools", "top_p", "max_output_tokens", "user", "safety_identifier",
        "prompt_cache_key",
    ]

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        var chat = JSON.Object()
        for name in ["model", "temperature", "top_p", "parallel_tool_calls", "stream"]
            + ChatRequest.own
        {
            chat[name] = parameters.json(name)
        }
        chat["max_completion_tokens"] = parameters.json("max_output_tokens")
        if let options = parameters.json("stream_options") {
            var inner = try Parameters(options, path: "stream_options")
            try inner.accept("include_obfuscation", only: false, because: "nothing is obfuscated.")
            try inner.finish()
        }
        try parameters.accept("store", only: false, because: "this server stores nothing.")
        try parameters.accept("background", only: false, because: "answers are not kept.")
        for name in ["previous_response_id", "conversation", "prompt"] {
            try parameters.accept(
                name, because: "this server keeps nothing: send the whole conversation as input.")
        }
        try parameters.accept("truncation", only: "disabled", because: "prompts are never cut.")
        try parameters.accept(
            "top_logprobs", only: 0, because: "chat completions have log probabilities.")
        try parameters.accept(
            "service_tier", only: "auto", "default", because: "there is one tier.")
        for item in try parameters.strings("include", limit: 16)
        where item != "reasoning.encrypted_content" {
            throw .unsupported(
                "include", "include = \"\(item.prefix(100))\" is not supported: leave it out.")
        }
        parameters.ignore(
            "metadata", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
            "max_tool_calls", "client_metadata")
        try ResponsesRequest.readReasoning(&parameters, into: &chat)
        try ResponsesRequest.readText(&parameters, into: &chat)
        var messages: [JSON] = []
        if let text = try parameters.string("instructions") {
            messages.append(["role": "system", "content": .string(text)])
        }
        switch parameters.json("input") {
        case .string(let text)?: messages.append(["role": "user", "content": .string(text)])
        case .array(let items)?: messages += try ResponsesRequest.messages(items)
        default:
            throw .invalid("input", "input must be a text or a list of items.")
        }
        chat["messages"] = .array(messages)
        try ResponsesRequest.readTools(&parameters, into: &chat)
        try parameters.finish()
        self.chat = try ChatRequest(.object(chat))
        var echo = JSON.Object([
            ("instructions", .null), ("metadata", [:]), ("parallel_tool_calls", true),
            ("temperature", .null), ("top_p", .null), ("tool_choice", "auto"), ("tools", []),
            ("max_output_tokens", .null), ("text", ["format": ["type": "text"]]),
            ("reasoning", ["effort": .null, "summary": .null]),
        ])
        for name in ResponsesRequest.echoed { echo[name] = json[name] ?? echo[name] }
        self.echo = echo
    }

    private static func readReasoning(
        _ parameters: inout Parameters, into chat: inout JSON.Object
    ) throws(APIError) {
        guard let value = parameters.json("reasoning") else { return }
        var reasoning = try Parameters(value, path: "reasoning")
        chat["reasoning_effort"] = reasoning.json("effort")
        // Thoughts are shown as they are.
        reasoning.ignore("summary", "generate_summary")
        try reasoning.finish()
    }

    private static func readText(
        _ parameters: inout Parameters, into chat: inout JSON.Object
    ) throws(APIError) {
        guard let value = parameters.json("text") else { return }
        var text = try Parameters(value, path: "text")
        chat["verbosity"] = text.json("verbosity")
        if let format = text.json("format") {
            // The same, but flat.
            if format["type"] == "json_schema", var members = format.objectValue {
                members["type"] = nil
                chat["response_format"] = [
                    "type": "json_schema", "json_schema": .object(members),
                ]
            } else {
                chat["response_format"] = format
            }
        }
        try text.finish()
    }

    private static func readTools(
        _ parameters: inout Parameters, into chat: inout JSON.Object
    ) throws(APIError) {
        chat["tools"] = try parameters.tools { (tool, path) throws(APIError) in
            guard tool["type"] == "function", var function = tool.objectValue else {
                throw .unsupported(
                    path,
                    "\(path) has the type \((tool["type"] ?? .null).text().prefix(100)); supported is function."
                )
            }
            function["type"] = nil
            return function
        }
        chat["tool_choice"] = parameters.json("tool_choice")
    }

    // MARK: Items

    /// Items as messages: what an assistant thought, said and called in a row is one.
    private static func messages(_ items: [JSON]) throws(APIError) -> [JSON] {
        var messages: [JSON] = []
        var assistant: JSON.Object?
        func flush() {
            if let message = assistant { messages.append(.object(message)) }
            assistant = nil
        }
        for (index, item) in items.enumerated() {
            let path = "input[\(index)]"
            switch item["type"]?.stringValue ?? "message" {
            case "message":
                let role = item["role"]?.stringValue ?? ""
                let text = try text(item["content"] ?? .null, path + ".content")
                guard role == "assistant" else {
                    flush()
                    messages.append(["role": .string(role), "content": .string(text)])
                    continue
                }
                if assistant?["content"]?.stringValue != nil || assistant?["tool_calls"] != nil {
                    flush()
                }
                var message = assistant ?? ["role": "assistant"]
                message["content"] = .string(text)
                assistant = message
            case "reasoning":
                flush()
                let thoughts = (item["content"]?.arrayValue ?? []).compactMap {
                    $0["text"]?.stringValue
                }
                var message: JSON.Object = ["role": "assistant", "content": .null]
                if !thoughts.isEmpty {
                    message["reasoning_content"] = .string(thoughts.joined(separator: "\n"))
                }
                assistant = message
            case "function_call":
                var message = assistant ?? ["role": "assistant", "content": .null]
                let call: JSON = [
                    "id": item["call_id"] ?? .null, "type": "function",
                    "function": [
                        "name": item["name"] ?? .null, "arguments": item["arguments"] ?? "{}",
                    ],
                ]
                message["tool_calls"] = .array((message["tool_calls"]?.arrayValue ?? []) + [call])
                assistant = message
            case "function_call_output":
                flush()
                messages.append([
                    "role": "tool", "tool_call_id": item["call_id"] ?? .null,
                    "content": .string(try text(item["output"] ?? .null, path + ".output")),
                ])
            case let type:
                throw .unsupported(
                    path,
                    "\(path) has the type \"\(type.prefix(100))\"; supported are message, reasoning, function_call and function_call_output."
                )
            }
        }
        flush()
        return messages
    }

    private static func text(_ json: JSON, _ path: String) throws(APIError) -> String {
        if let text = json.stringValue { return text }
        guard let parts = json.arrayValue else {
            throw .invalid(path, "\(path) must be a text or a list of parts.")
        }
        var texts: [String] = []
        for (index, part) in parts.enumerated() {
            let type = part["type"]?.stringValue ?? ""
            let text = (part["text"] ?? part["refusal"])?.stringValue
            guard ["input_text", "output_text", "text", "refusal"].contains(type), let text else {
                throw .unsupported(
                    "\(path)[\(index)]",
                    "\(path)[\(index)] has the type \"\(type.prefix(100))\"; supported is text.")
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }
}
