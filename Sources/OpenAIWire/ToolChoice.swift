internal import JSONTree

/// Which tools an answer may call.
public enum ToolChoice: Sendable, Equatable {
    /// None, and the model is not told of any.
    case none
    case auto
    case required
    /// This one, once.
    case named(String)
    /// Some of them.
    case allowed([String], isNeeded: Bool)

    public var isNeeded: Bool {
        switch self {
        case .none, .auto: false
        case .required, .named: true
        case .allowed(_, let isNeeded): isNeeded
        }
    }

    /// Those that may be called; nil for all.
    public var names: [String]? {
        switch self {
        case .none, .auto, .required: nil
        case .named(let name): [name]
        case .allowed(let names, _): names
        }
    }

    private static let mostTools = 512

    /// Functions with names, each once.
    static func check(_ tools: JSON) throws(APIError) {
        guard let list = tools.arrayValue, list.count <= mostTools else {
            throw .invalid("tools", "tools must be a list of at most \(mostTools) tools.")
        }
        var names: Set<String> = []
        for (index, tool) in list.enumerated() {
            let path = "tools[\(index)]"
            let type = tool["type"]?.stringValue ?? "function"
            guard type == "function" else {
                throw .unsupported(
                    path, "\(path) has the type \"\(type.prefix(100))\"; supported is function.")
            }
            guard let function = tool["function"], let name = function["name"]?.stringValue,
                (1...256).contains(name.utf8.count)
            else { throw .invalid(path, "\(path).function must be an object with a name.") }
            guard names.insert(name).inserted else {
                throw .invalid(path, "\(path) has the name of another tool, \"\(name)\".")
            }
            if let parameters = function["parameters"], !parameters.isNull,
                parameters.objectValue == nil
            {
                throw .invalid(path, "\(path).function.parameters must be a JSON Schema.")
            }
        }
    }

    static func read(
        _ parameters: inout Parameters, tools: JSON?
    ) throws(APIError) -> ToolChoice {
        guard let value = parameters.json("tool_choice") else { return .auto }
        let names = (tools?.arrayValue ?? []).compactMap { $0["function"]?["name"]?.stringValue }
        let choice = try choice(value)
        guard choice == .none || choice == .auto || !names.isEmpty else {
            throw .invalid("tool_choice", "tool_choice needs tools.")
        }
        if let stray = choice.names?.first(where: { !names.contains($0) }) {
            throw .invalid("tool_choice", "tool_choice names \"\(stray)\", which is no tool here.")
        }
        return choice
    }

    private static func choice(_ value: JSON) throws(APIError) -> ToolChoice {
        switch value {
        case "none": return .none
        case "auto": return .auto
        case "required", "any": return .required
        default: break
        }
        switch value["type"]?.stringValue {
        case "function"?:
            if let name = (value["function"]?["name"] ?? value["name"])?.stringValue {
                return .named(name)
            }
        case "allowed_tools"?:
            let inner = value["allowed_tools"] ?? value
            let mode = inner["mode"]?.stringValue ?? "auto"
            let names = inner["tools"]?.arrayValue?.compactMap {
                ($0["function"]?["name"] ?? $0["name"])?.stringValue
            }
            if let names, !names.isEmpty, names.count == inner["tools"]?.arrayValue?.count,
                ["auto", "required"].contains(mode)
            {
                return .allowed(names, isNeeded: mode == "required")
            }
        case let type?:
            throw .unsupported(
                "tool_choice",
                "tool_choice.type = \"\(type.prefix(100))\" is not supported: function and allowed_tools are."
            )
        case nil: break
        }
        throw .invalid(
            "tool_choice",
            "tool_choice must be none, auto, required, a function by its name, or allowed_tools.")
    }
}

extension Parameters {
    /// A list of tools as chats have it.
    ///
    /// - Parameter function: makes a function of one, by its place.
    mutating func tools(
        _ function: (JSON, String) throws(APIError) -> JSON.Object
    ) throws(APIError) -> JSON? {
        guard let value = json("tools") else { return nil }
        guard let list = value.arrayValue else {
            throw .invalid("tools", "tools must be a list of tools.")
        }
        var tools: [JSON] = []
        for (index, tool) in list.enumerated() {
            let function = try function(tool, "tools[\(index)]")
            tools.append(["type": "function", "function": .object(function)])
        }
        return .array(tools)
    }
}

/// What becomes of a model's thoughts.
public enum Reasoning: Sendable, Equatable {
    /// `reasoning_content` of the answer.
    case apart
    /// Left out of the answer.
    case hidden
    /// In the text, as the model wrote them.
    case inText

    static func read(_ parameters: inout Parameters) throws(APIError) -> Reasoning {
        let isShown = try parameters.bool("include_reasoning") ?? true
        switch try parameters.string("reasoning_format") {
        case nil, "auto"?, "deepseek"?: return isShown ? .apart : .hidden
        case "none"?: return .inText
        case let other?:
            throw .unsupported(
                "reasoning_format",
                "reasoning_format = \"\(other.prefix(100))\" is not supported: auto, deepseek and none are."
            )
        }
    }
}
