public import JSONTree

/// Answers of `POST /v1/responses`.
public struct ResponsesWriter: AnswerWriter {
    private let id: String
    private let model: String
    private let created: Int
    private let echo: JSON.Object
    /// Items that are complete.
    private var done: [JSON] = []
    /// What is open: its item, and the text that it has so far.
    private var open: (kind: Kind, item: JSON.Object, text: String)?
    private var sequence = 0

    private enum Kind: Equatable {
        case reasoning, message
        case call(Int)
    }

    public init(id: String, model: String, created: Int, echo: JSON.Object) {
        self.id = id
        self.model = model
        self.created = created
        self.echo = echo
    }

    private func response(
        _ status: String, _ output: [JSON], _ usage: Usage?, isCut: Bool = false
    ) -> JSON {
        var json = JSON.Object([
            ("id", .string("resp_" + id)), ("object", "response"),
            ("created_at", .integer(created)), ("status", .string(status)), ("error", .null),
            ("incomplete_details", isCut ? ["reason": "max_output_tokens"] : .null),
            ("model", .string(model)), ("output", .array(output)), ("store", false),
            ("background", false), ("previous_response_id", .null), ("truncation", "disabled"),
            ("service_tier", "default"),
        ])
        for (name, value) in echo.members { json[name] = value }
        json["usage"] =
            usage.map { usage in
                [
                    "input_tokens": .integer(usage.promptTokens),
                    "input_tokens_details": ["cached_tokens": .integer(usage.cachedTokens)],
                    "output_tokens": .integer(usage.completionTokens),
                    "output_tokens_details": [
                        "reasoning_tokens": .integer(usage.reasoningTokens ?? 0)
                    ], "total_tokens": .integer(usage.promptTokens + usage.completionTokens),
                ]
            } ?? .null
        return .object(json)
    }

    // MARK: Items

    private func item(_ kind: Kind, number: Int) -> JSON.Object {
        switch kind {
        case .reasoning:
            return [
                "id": .string("rs_\(id)_\(number)"), "type": "reasoning", "summary": [],
                "content": [], "status": "in_progress",
            ]
        case .message:
            return [
                "id": .string("msg_\(id)_\(number)"), "type": "message", "role": "assistant",
                "status": "in_progress", "content": [],
            ]
        case .call:
            return [
                "id": .string("fc_\(id)_\(number)"), "type": "function_call", "arguments": "",
                "status": "in_progress",
            ]
        }
    }

    private func part(_ kind: Kind, _ text: String) -> JSON {
        kind == .reasoning
            ? ["type": "reasoning_text", "text": .string(text)]
            : [
                "type": "output_text", "text": .string(text), "annotations": [], "logprobs": [],
            ]
    }

    private func completed(
        _ kind: Kind, _ item: JSON.Object, _ text: String, isCut: Bool
    ) -> JSON {
        var item = item
        item["status"] = isCut ? "incomplete" : "completed"
        if case .call = kind {
            item["arguments"] = .string(text)
        } else {
            item["content"] = [part(kind, text)]
        }
        return .object(item)
    }

    // MARK: Whole

    public func whole(_ message: JSON, _ end: AnswerEnd, _ usage: Usage) -> JSON {
        let isCut = end.reason == "length"
        var output: [JSON] = []
        func add(_ kind: Kind, _ text: String, _ members: JSON.Object = [:]) {
            var item = item(kind, number: output.count)
            for (name, value) in members.members { item[name] = value }
            output.append(completed(kind, item, text, isCut: isCut && kind == .message))
        }
        if let text = message["reasoning_content"]?.stringValue { add(.reasoning, text) }
        let calls = message["tool_calls"]?.arrayValue ?? []
        if let text = message["content"]?.stringValue, !text.isEmpty || calls.isEmpty {
            add(.message, text)
        }
        for (index, call) in calls.enumerated() {
            add(
                .call(index), call["function"]?["arguments"]?.stringValue ?? "",
                ["call_id": call["id"] ?? .null, "name": call["function"]?["name"] ?? .null])
        }
        return response(isCut ? "incomplete" : "completed", output, usage, isCut: isCut)
    }

    // MARK: Streamed

    private mutating func event(_ type: String, _ members: JSON.Object) -> String {
        var json = JSON.Object([
            ("type", .string("response." + type)), ("sequence_number", .integer(sequence)),
        ])
        sequence += 1
        for (name, value) in members.members { json[name] = value }
        return JSON.object(json).event("response." + type)
    }

    public mutating func begin(_ usage: Usage) -> String {
        event("created", ["response": response("in_progress", [], nil)])
            + event("in_progress", ["response": response("in_progress", [], nil)])
    }

    public mutating func add(_ delta: JSON) -> String {
        if let text = delta["reasoning_content"]?.stringValue {
            return turn(to: .reasoning) + grow(text)
        }
        if let text = delta["content"]?.stringValue, !text.isEmpty {
            return turn(to: .message) + grow(text)
        }
        var events = ""
        for call in delta["tool_calls"]?.arrayValue ?? [] {
            events += turn(
                to: .call(call["index"]?.integerValue ?? 0),
                ["call_id": call["id"] ?? .null, "name": call["function"]?["name"] ?? .null])
            events += grow(call["function"]?["arguments"]?.stringValue ?? "")
        }
        return events
    }

    /// Begins an item unless it is the one that is open.
    private mutating func turn(to kind: Kind, _ members: JSON.Object = [:]) -> String {
        guard open?.kind != kind else { return "" }
        var events = close(isCut: false)
        var item = item(kind, number: done.count)
        for (name, value) in members.members { item[name] = value }
        open = (kind, item, "")
        events += event(
            "output_item.added", ["output_index": .integer(done.count), "item": .object(item)])
        if case .call = kind { return events }
        var place = self.place(item)
        place["part"] = part(kind, "")
        return events + event("content_part.added", place)
    }

    private func place(_ item: JSON.Object) -> JSON.Object {
        [
            "item_id": item["id"] ?? .null, "output_index": .integer(done.count),
            "content_index": 0,
        ]
    }

    private func names(_ kind: Kind) -> (change: String, end: String) {
        switch kind {
        case .reasoning: ("reasoning_text.delta", "reasoning_text.done")
        case .message: ("output_text.delta", "output_text.done")
        case .call: ("function_call_arguments.delta", "function_call_arguments.done")
        }
    }

    private mutating func grow(_ text: String) -> String {
        guard !text.isEmpty, let (kind, item, before) = open else { return "" }
        open = (kind, item, before + text)
        var members = place(item)
        members["delta"] = .string(text)
        if kind == .message { members["logprobs"] = [] }
        if case .call = kind { members["content_index"] = nil }
        return event(names(kind).change, members)
    }

    private mutating func close(isCut: Bool) -> String {
        guard let (kind, item, text) = open else { return "" }
        open = nil
        var events = ""
        var members = place(item)
        if case .call = kind {
            members["content_index"] = nil
            members["name"] = item["name"]
            members["arguments"] = .string(text)
            events += event(names(kind).end, members)
        } else {
            members["text"] = .string(text)
            if kind == .message { members["logprobs"] = [] }
            events += event(names(kind).end, members)
            var place = place(item)
            place["part"] = part(kind, text)
            events += event("content_part.done", place)
        }
        let whole = completed(kind, item, text, isCut: isCut && kind == .message)
        events += event("output_item.done", ["output_index": .integer(done.count), "item": whole])
        done.append(whole)
        return events
    }

    public mutating func end(_ end: AnswerEnd, _ usage: Usage) -> String {
        let isCut = end.reason == "length"
        var events = ""
        // An answer that says nothing is a message without a text.
        if done.isEmpty, open == nil { events += turn(to: .message) }
        events += close(isCut: isCut)
        let status = isCut ? "incomplete" : "completed"
        return events
            + event(status, ["response": response(status, done, usage, isCut: isCut)])
    }

    public func failure(_ error: APIError) -> String {
        JSON.object([
            "type": "error", "code": .string(error.code), "message": .string(error.message),
            "param": error.parameter.map { .string($0) } ?? .null,
            "sequence_number": .integer(sequence),
        ]).event("error")
    }
}
