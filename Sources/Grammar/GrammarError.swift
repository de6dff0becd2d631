/// Why a grammar cannot be had. Nothing is enforced in part: what is not understood is refused.
public struct GrammarError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Not a schema, pattern or grammar at all.
        case malformed = "invalid_grammar"
        /// A part of it that cannot be enforced exactly.
        case unsupported = "unsupported_grammar"
        /// Nothing can satisfy it.
        case unsatisfiable = "unsatisfiable_grammar"
        case tooComplex = "grammar_too_complex"
    }

    public let code: Code
    public let message: String
    /// Where in a schema, as a JSON pointer.
    public let pointer: String?
    /// What of a schema.
    public let keyword: String?

    init(_ code: Code, _ message: String, pointer: String? = nil, keyword: String? = nil) {
        self.code = code
        self.message = message
        self.pointer = pointer
        self.keyword = keyword
    }

    public var description: String {
        guard let pointer else { return message }
        return "\(message) (at \(pointer.isEmpty ? "the root" : pointer))"
    }
}
