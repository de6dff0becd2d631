public import JSONTree

/// Why an answer ended, as chat completions say it.
public struct AnswerEnd: Sendable, Equatable {
    /// `stop`, `length` or `tool_calls`.
    public var reason: String
    /// The text that stopped it, where a request named one.
    public var stopText: String?

    public init(reason: String, stopText: String? = nil) {
        self.reason = reason
        self.stopText = stopText
    }
}

/// Writes a chat's only answer the way another API has it. What it is given is as chat completions have it.
public protocol AnswerWriter: Sendable {
    /// Parts of the text of an event stream, in this order: the beginning, deltas of the message, and the end.
    mutating func begin(_ usage: Usage) -> String
    mutating func add(_ delta: JSON) -> String
    mutating func end(_ end: AnswerEnd, _ usage: Usage) -> String

    /// The whole answer of a message.
    func whole(_ message: JSON, _ end: AnswerEnd, _ usage: Usage) -> JSON

    /// What a stream ends with that cannot go on.
    func failure(_ error: APIError) -> String
}

extension JSON {
    /// An event of a stream by its name.
    func event(_ name: String) -> String { "event: \(name)\ndata: \(text())\n\n" }
}
