internal import JSONTree

/// A template that cannot be read or does not render, with the line where it went wrong.
public struct TemplateError: Error, Hashable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// The template itself is not understood.
        case syntax
        /// It asked to stop, with `raise_exception`: the conversation does not fit the model.
        case raised
        /// An operation failed.
        case runtime
        /// It ran for too long or wrote too much.
        case limit
    }

    public let kind: Kind
    public let message: String
    public let line: Int

    package init(_ kind: Kind, _ message: String, line: Int) {
        self.kind = kind
        self.message = message.shortened
        self.line = line
    }

    public var description: String { "chat template, line \(line): \(message)" }
}
