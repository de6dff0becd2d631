public import JSONTree

/// How a model writes what is not plain text: its thoughts, and tool calls.
public struct AnswerFormat: Sendable, Hashable {
    public var calls: CallFormat?
    public var thoughts: ThoughtFormat?

    public init(calls: CallFormat? = nil, thoughts: ThoughtFormat? = nil) {
        self.calls = calls
        self.thoughts = thoughts
    }
}

/// What a template says of its model's format that there is not.
public struct FormatError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// Ways to write a call of a tool, each by the models that it is known from.
public enum CallFormat: String, Sendable, CaseIterable {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3, SmolLM3.
    case hermes
    /// `<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>`: Qwen3-Coder.
    case qwenCoder = "qwen-coder"
    /// `{"name": …, "parameters": {…}}` and nothing else: Llama 3.
    case llama
    /// `{"name": …, "arguments": {…}}` and nothing else: what is asked of models that know no format.
    case generic
    /// `[name(key=value), …]`: Llama 3.2 and 4.
    case pythonic
    /// `[TOOL_CALLS][{…}]`: Mistral.
    case mistral
    /// `[TOOL_CALLS]NAME[ARGS]{…}`: Mistral since 2025.
    case mistralNew = "mistral-new"
    /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME` with the arguments in a code block: DeepSeek and its distillations.
    case deepseek

    /// What begins calls, wherever in an answer it stands.
    public var triggers: [String] {
        switch self {
        case .hermes: ["<tool_call>"]
        case .qwenCoder: ["<tool_call>", "<function="]
        case .llama: ["<|python_tag|>"]
        case .generic: []
        case .pythonic: ["<|python_start|>"]
        case .mistral, .mistralNew: ["[TOOL_CALLS]"]
        case .deepseek: ["<｜tool▁calls▁begin｜>"]
        }
    }

    /// A character that begins calls where nothing stands before it.
    public var leading: Character? {
        switch self {
        case .llama, .generic: "{"
        case .pythonic: "["
        default: nil
        }
    }

    /// Whether all calls of an answer stand together.
    public var isWhole: Bool { self == .mistral || self == .deepseek }

    /// Markers that may be special tokens, which a text does not show unless it is asked to.
    public var markers: [String] {
        switch self {
        case .hermes, .qwenCoder: ["<tool_call>", "</tool_call>"]
        case .llama: ["<|python_tag|>"]
        case .generic: []
        case .pythonic: ["<|python_start|>", "<|python_end|>"]
        case .mistral, .mistralNew: ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"]
        case .deepseek:
            [
                "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
                "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
            ]
        }
    }
}

/// Ways to write thoughts before an answer.
public enum ThoughtFormat: String, Sendable, CaseIterable {
    /// `<think>…</think>`.
    case think
    /// `[THINK]…[/THINK]`: Magistral.
    case bracketed

    public var begin: String { self == .think ? "<think>" : "[THINK]" }
    public var end: String { self == .think ? "</think>" : "[/THINK]" }
}

extension AnswerFormat {
    /// How a model writes: what a comment of its template says, `{# martlet: calls=hermes thoughts=none #}`, or else what
    /// the template makes of a conversation with a call.
    ///
    /// - Parameters:
    ///   - source: the template's text.
    ///   - render: renders messages with tools; nil when the template refuses.
    /// - Throws: `FormatError` when the comment says what there is not.
    public static func find(
        source: String, render: (_ messages: [JSON], _ tools: JSON) -> String?
    ) throws(FormatError) -> AnswerFormat {
        let said = try said(in: source)
        return AnswerFormat(
            calls: said.calls ?? (source.contains("tool") ? callFormat(source, render) : nil),
            thoughts: said.thoughts
                ?? ThoughtFormat.allCases.first { source.contains($0.end) }
                ?? ThoughtFormat.allCases.first { source.contains($0.begin) })
    }

    /// What a comment says; nil where it says nothing.
    private static func said(
        in source: String
    ) throws(FormatError) -> (calls: CallFormat??, thoughts: ThoughtFormat??) {
        guard let comment = source.firstMatch(of: /\{#-?\s*martlet:([^#]*?)-?#\}/) else {
            return (nil, nil)
        }
        var said: (calls: CallFormat??, thoughts: ThoughtFormat??) = (nil, nil)
        for word in comment.1.split(whereSeparator: \.isWhitespace) {
            let halves = word.split(separator: "=", omittingEmptySubsequences: false).map(
                String.init)
            let value = halves.count == 2 ? halves[1] : ""
            switch halves[0] {
            case "calls":
                said.calls = .some(try one(value, of: CallFormat.self))
            case "thoughts":
                said.thoughts = .some(try one(value, of: ThoughtFormat.self))
            default:
                throw FormatError(
                    "\(word.prefix(100)) says nothing: a template's comment may say calls=FORMAT and thoughts=FORMAT."
                )
            }
        }
        return said
    }

    private static func one<Format: RawRepresentable<String> & CaseIterable>(
        _ name: String, of kind: Format.Type
    ) throws(FormatError) -> Format? {
        if name == "none" { return nil }
        guard let format = Format(rawValue: name) else {
            let names = Format.allCases.map(\.rawValue).joined(separator: ", ")
            throw FormatError(
                "There is no format \"\(name.prefix(100))\": there are \(names) and none.")
        }
        return format
    }

    private static let name = "probe_name"
    private static let otherName = "another_name"

    private static func callFormat(
        _ source: String, _ render: ([JSON], JSON) -> String?
    ) -> CallFormat? {
        let tools: JSON = [
            [
                "type": "function",
                "function": [
                    "name": .string(otherName), "description": "d",
                    "parameters": [
                        "type": "object", "properties": ["key": ["type": "string"]],
                    ],
                ],
            ]
        ]
        let call: JSON = [
            "id": "abcdef123", "type": "function",
            "function": ["name": .string(name), "arguments": ["key": "value"]],
        ]
        let user: JSON = ["role": "user", "content": "u"]
        let result: JSON = [
            "role": "tool", "content": "r", "name": .string(name), "tool_call_id": "abcdef123",
        ]
        // Some want a text beside a call, some a result behind it.
        for content in ["", nil] as [JSON?] {
            for rest in [[result], []] {
                var message = JSON.Object([("role", "assistant"), ("tool_calls", [call])])
                message["content"] = content
                guard let text = render([user, .object(message)] + rest, tools),
                    let format = format(of: text)
                else { continue }
                return format
            }
        }
        // A template that only describes tools says how to call them, or leaves it to the model.
        let shown = render([user], tools)
        let text = shown ?? source
        let found = CallFormat.allCases.first { format in
            format == .qwenCoder
                ? text.contains("<function=")
                : format.triggers.contains { text.contains($0) }
                    && !(format == .hermes && text.contains("<function="))
        }
        return found ?? (shown?.contains(otherName) == true ? .generic : nil)
    }

    /// What a call of the probe looks like.
    private static func format(of text: String) -> CallFormat? {
        guard text.contains(name) else { return nil }
        if text.contains("<function=\(name)>") { return .qwenCoder }
        if text.contains("[TOOL_CALLS]") {
            return text.contains("[ARGS]") ? .mistralNew : .mistral
        }
        if text.contains("<｜tool▁call▁begin｜>") { return .deepseek }
        if text.contains("\(name)(key=") { return .pythonic }
        guard let place = text.range(of: "\"\(name)\"") else { return nil }
        if text[..<place].contains("<tool_call>") { return .hermes }
        if text[place...].contains("\"parameters\"") { return .llama }
        return text[place...].contains("\"arguments\"") ? .generic : nil
    }
}

extension String {
    /// Where a text begins.
    fileprivate func range(of text: String) -> String.Index? { firstRange(of: text)?.lowerBound }
}
