public import JSONTree

/// A model's chat template: the subset of Jinja that such templates use, rendered as transformers
/// renders it.
///
/// A template comes with a model and is not trusted: rendering is bounded in steps, output and
/// depth, and reaches nothing but its arguments and the clock.
public struct ChatTemplate: Sendable {
    /// Bounds on rendering.
    public struct Limits: Sendable {
        public var stepCount = 2_000_000
        public var outputByteCount = 16 << 20
        public var depth = 256
        public var sourceByteCount = 1 << 20

        public init() {}
    }

    private let statements: [Statement]
    private let limits: Limits
    /// Every name, attribute and string in the template's code.
    private let words: Set<String>

    /// Whether the template's code has a word: one without `tools` does not show tools to its model.
    public func mentions(_ word: String) -> Bool { words.contains(word) }

    /// - Throws: `TemplateError` of the kind `syntax`.
    public init(_ source: String, limits: Limits = Limits()) throws(TemplateError) {
        guard source.utf8.count <= limits.sourceByteCount else {
            throw TemplateError(.limit, "longer than \(limits.sourceByteCount) bytes", line: 1)
        }
        (statements, words) = try Parser.parse(source)
        self.limits = limits
    }

    /// Renders the template.
    ///
    /// - Parameter variables: what the template sees: `messages`, `tools`, `add_generation_prompt`,
    ///   `bos_token` and others by name.
    /// - Throws: `TemplateError`; of the kind `raised` when the template itself refuses.
    public func render(_ variables: JSON.Object) throws(TemplateError) -> String {
        var values: [String: Value] = [:]
        for (name, value) in variables.members { values[name] = Value(value) }
        var interpreter = Interpreter(variables: values, limits: limits)
        try interpreter.run(statements)
        return interpreter.output
    }
}
