public import JSONTree

/// The tools of a request, and how they may be used.
public struct ToolUse: Sendable, Hashable {
    /// As the request lists them.
    public var tools: JSON
    /// Those that may be called; nil for all.
    public var names: [String]?
    /// Whether the answer has to be a call.
    public var isNeeded: Bool
    /// Whether the answer may have no more than one.
    public var isSingle: Bool

    public init(
        tools: JSON, names: [String]? = nil, isNeeded: Bool = false, isSingle: Bool = false
    ) {
        self.tools = tools
        self.names = names
        self.isNeeded = isNeeded
        self.isSingle = isSingle
    }

    /// A tool that may be called.
    public struct Tool: Sendable {
        public var name: String
        /// The schema of its arguments; nil for any object.
        public var parameters: JSON?
        /// Whether arguments must satisfy the schema.
        public var isStrict: Bool
    }

    public var allowed: [Tool] {
        (tools.arrayValue ?? []).compactMap { tool in
            guard let function = tool["function"], let name = function["name"]?.stringValue,
                names?.contains(name) ?? true
            else { return nil }
            let parameters = function["parameters"]
            return Tool(
                name: name, parameters: parameters == .null ? nil : parameters,
                isStrict: function["strict"] == true)
        }
    }

    /// Whether what a model writes has to be held to this: else its calls are only read.
    public var isEnforced: Bool {
        isNeeded || names != nil || allowed.contains(where: \.isStrict)
    }
}
