internal import JSONTree

/// A message of a conversation.
public struct Message: Sendable, Hashable {
    public enum Role: String, Sendable {
        case system, user, assistant
    }

    public var role: Role
    public var text: String

    public init(role: Role, text: String) {
        self.role = role
        self.text = text
    }

    /// What the model is told before the conversation.
    public static func system(_ text: String) -> Message { Message(role: .system, text: text) }
    public static func user(_ text: String) -> Message { Message(role: .user, text: text) }
    /// An earlier answer.
    public static func assistant(_ text: String) -> Message {
        Message(role: .assistant, text: text)
    }

    var json: JSON { ["role": .string(role.rawValue), "content": .string(text)] }
}
