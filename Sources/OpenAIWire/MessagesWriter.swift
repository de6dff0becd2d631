public import JSONTree

/// Answers of `POST /v1/messages`.
public struct MessagesWriter: AnswerWriter {
    private let id: String
    private let model: String
    /// The block that is open: its number, and what it is.
    private var open: String?
    private var index = -1

    public init(id: String, model: String) {
        self.id = "msg_" + id
        self.model = model
    }

    private func message(_ content: [JSON], _ end: AnswerEnd?, _ usage: Usage) -> JSON {
        [
            "id": .string(id), "type": "message", "role": "assistant", "model": .string(model),
            "content": .array(content), "stop_reason": end.map { .string(reason($0)) } ?? .null,
            "stop_sequence": end?.stopText.map { .string($0) } ?? .null,
            "usage": .object(counts(usage)),
        ]
    }

    private func reason(_ end: AnswerEnd) -> String {
        switch end.reason {
        case "length": "max_tokens"
        case "tool_calls": "tool_use"
        default: end.stopText == nil ? "end_turn" : "stop_sequence"
        }
    }

    /// What was in the cache is counted apart.
    private func counts(_ usage: Usage) -> JSON.Object {
        JSON.Object([
            ("input_tokens", .integer(usage.promptTokens - usage.cachedTokens)),
            ("output_tokens", .integer(usage.completionTokens)),
            ("cache_read_input_tokens", .integer(usage.cachedTokens)),
            ("cache_creation_input_tokens", 0),
        ])
    }

    // MARK: Whole

    public func whole(_ message: JSON, _ end: AnswerEnd, _ usage: Usage) -> JSON {
        var content: [JSON] = []
        if let text = message["reasoning_content"] {
            content.append(["type": "thinking", "thinking": text, "signature": ""])
        }
        if let text = message["content"]?.stringValue, !text.isEmpty {
            content.append(["type": "text", "text": .string(text)])
        }
        for call in message["tool_calls"]?.arrayValue ?? [] {
            let arguments = call["function"]?["arguments"]?.stringValue ?? ""
            content.append([
                "type": "tool_use", "id": .string(MessagesWriter.id(of: call)),
                "name": call["function"]?["name"] ?? .null,
                "input": (try? JSON(parsing: arguments)) ?? [:],
            ])
        }
        return self.message(content, ended(end, message["tool_calls"] != nil), usage)
    }

    private static func id(of call: JSON) -> String { "toolu_" + (call["id"]?.stringValue ?? "") }

    /// A call that the request names is `tool_use` all the same.
    private func ended(_ end: AnswerEnd, _ hasCalls: Bool) -> AnswerEnd {
        hasCalls && end.reason == "stop" ? AnswerEnd(reason: "tool_calls") : end
    }

    // MARK: Streamed

    private var hasCalls = false

    public mutating func begin(_ usage: Usage) -> String {
        JSON.object([
            "type": "message_start", "message": message([], nil, usage),
        ]).event("message_start")
    }

    public mutating func add(_ delta: JSON) -> String {
        if let text = delta["reasoning_content"] {
            return turn(to: "thinking", ["thinking": "", "signature": ""])
                + change(["type": "thinking_delta", "thinking": text])
        }
        if let text = delta["content"]?.stringValue, !text.isEmpty {
            return turn(to: "text", ["text": ""])
                + change(["type": "text_delta", "text": .string(text)])
        }
        var events = ""
        for call in delta["tool_calls"]?.arrayValue ?? [] {
            hasCalls = true
            let name = "tool_use \(call["index"]?.integerValue ?? 0)"
            events += turn(
                to: name,
                [
                    "id": .string(MessagesWriter.id(of: call)),
                    "name": call["function"]?["name"] ?? .null, "input": [:],
                ])
            let arguments = call["function"]?["arguments"]?.stringValue ?? ""
            if !arguments.isEmpty {
                events += change(["type": "input_json_delta", "partial_json": .string(arguments)])
            }
        }
        return events
    }

    public mutating func end(_ end: AnswerEnd, _ usage: Usage) -> String {
        let end = ended(end, hasCalls)
        let last: JSON = [
            "type": "message_delta",
            "delta": [
                "stop_reason": .string(reason(end)),
                "stop_sequence": end.stopText.map { .string($0) } ?? .null,
            ], "usage": .object(counts(usage)),
        ]
        return close() + last.event("message_delta")
            + JSON.object(["type": "message_stop"]).event("message_stop")
    }

    /// Begins a block unless it is the one that is open.
    private mutating func turn(to block: String, _ members: JSON.Object) -> String {
        guard open != block else { return "" }
        let events = close()
        open = block
        index += 1
        var content = JSON.Object([("type", .string(String(block.prefix { $0 != " " })))])
        for (name, value) in members.members { content[name] = value }
        return events
            + JSON.object([
                "type": "content_block_start", "index": .integer(index),
                "content_block": .object(content),
            ]).event("content_block_start")
    }

    private func change(_ delta: JSON) -> String {
        JSON.object(["type": "content_block_delta", "index": .integer(index), "delta": delta])
            .event("content_block_delta")
    }

    private mutating func close() -> String {
        guard open != nil else { return "" }
        open = nil
        return JSON.object(["type": "content_block_stop", "index": .integer(index)])
            .event("content_block_stop")
    }

    // MARK: Errors

    /// An error as this API words it.
    public static func json(_ error: APIError) -> JSON {
        let type =
            switch error.status {
            case 401: "authentication_error"
            case 403: "permission_error"
            case 404: "not_found_error"
            case 413: "request_too_large"
            case 429: "rate_limit_error"
            case 503: "overloaded_error"
            case 500...: "api_error"
            default: "invalid_request_error"
            }
        return [
            "type": "error",
            "error": [
                "type": .string(type), "message": .string(error.message),
                "code": .string(error.code),
                "param": error.parameter.map { .string($0) } ?? .null,
            ],
        ]
    }

    public func failure(_ error: APIError) -> String {
        MessagesWriter.json(error).event("error")
    }
}
