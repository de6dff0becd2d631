internal import JSONTree

/// The tools of a request: what they are called, and what their parameters are.
struct Tools: Sendable {
    private var parameters: [String: JSON] = [:]

    init(_ json: JSON?) {
        for tool in json?.arrayValue ?? [] {
            guard let function = tool["function"], let name = function["name"]?.stringValue else {
                continue
            }
            parameters[name] = function["parameters"] ?? .null
        }
    }

    func has(_ name: String) -> Bool { parameters[name] != nil }

    /// The types that a parameter may have; nil when the tool does not say.
    func types(of parameter: String, in tool: String) -> Set<String>? {
        guard let schema = parameters[tool]?["properties"]?[parameter] else { return nil }
        return Tools.types(of: schema, depth: 4)
    }

    private static func types(of schema: JSON, depth: Int) -> Set<String>? {
        if let type = schema["type"] {
            return Set((type.arrayValue ?? [type]).compactMap(\.stringValue))
        }
        guard depth > 0, let ways = (schema["anyOf"] ?? schema["oneOf"])?.arrayValue else {
            return nil
        }
        return ways.reduce(into: []) { $0.formUnion(types(of: $1, depth: depth - 1) ?? []) }
    }
}
