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

    func has(_ parameter: String, of tool: String) -> Bool {
        !schemas(of: parameter, in: tool).isEmpty
    }

    /// The types that a parameter may have; nil when the tool does not say, or allows any.
    func types(of parameter: String, in tool: String) -> Set<String>? {
        let root = parameters[tool] ?? .null
        let found = schemas(of: parameter, in: tool).map { Tools.types(of: $0, root, depth: 8) }
        guard !found.isEmpty, !found.contains(nil) else { return nil }
        return found.reduce(into: []) { $0.formUnion($1 ?? []) }
    }

    /// What a tool says of a parameter: of its own, or in one of the ways that it may be called.
    private func schemas(of parameter: String, in tool: String) -> [JSON] {
        guard let root = parameters[tool] else { return [] }
        return Tools.schemas(of: parameter, in: root, root, depth: 4)
    }

    private static func schemas(
        of parameter: String, in schema: JSON, _ root: JSON, depth: Int
    ) -> [JSON] {
        let schema = resolved(schema, root)
        if let own = schema["properties"]?[parameter] { return [own] }
        guard depth > 0 else { return [] }
        return ways(of: schema).flatMap {
            $0.flatMap { schemas(of: parameter, in: $0, root, depth: depth - 1) }
        }
    }

    /// Members of allOf, anyOf and oneOf.
    private static func ways(of schema: JSON) -> [[JSON]] {
        ["allOf", "anyOf", "oneOf"].compactMap { schema[$0]?.arrayValue }
    }

    private static func types(of schema: JSON, _ root: JSON, depth: Int) -> Set<String>? {
        let schema = resolved(schema, root)
        if let type = schema["type"] {
            return Set((type.arrayValue ?? [type]).compactMap(\.stringValue))
        }
        if let value = schema["const"] { return [name(of: value)] }
        if let values = schema["enum"]?.arrayValue { return Set(values.map(name)) }
        guard depth > 0 else { return nil }
        if let all = schema["allOf"]?.arrayValue {
            return all.compactMap { types(of: $0, root, depth: depth - 1) }.first
        }
        guard let ways = ways(of: schema).first else { return nil }
        let found = ways.map { types(of: $0, root, depth: depth - 1) }
        return found.contains(nil) ? nil : found.reduce(into: []) { $0.formUnion($1 ?? []) }
    }

    /// What a reference to a part of the same schema points at.
    private static func resolved(_ schema: JSON, _ root: JSON) -> JSON {
        var schema = schema
        for _ in 0..<8 {
            guard let path = schema["$ref"]?.stringValue, path.hasPrefix("#/") else { break }
            schema = path.dropFirst(2).split(separator: "/").reduce(root) { at, part in
                let key = part.replacing("~1", with: "/").replacing("~0", with: "~")
                return at[String(key)] ?? .null
            }
        }
        return schema
    }

    private static func name(of value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool: "boolean"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        default: "number"
        }
    }
}
