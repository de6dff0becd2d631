internal import JSONTree

/// A schema's parts by number, with what its references mean.
struct SchemaDocument {
    struct Node {
        var schema: JSON
        var pointer: String
        /// The identifier that its references are relative to.
        var base: String
    }

    private(set) var nodes: [Node] = []
    private var numbers: [String: Int] = [:]
    /// Nodes by identifier, and by identifier and anchor.
    private var identified: [String: Int] = [:]
    private var anchors: [String: Int] = [:]
    /// By node, where it has an enum.
    private(set) var listed: [Int: ListedValues] = [:]
    private let root: JSON
    /// Before draft 2019-09 nothing counts beside a reference.
    let referencesStandAlone: Bool
    private let formatsAreAnnotations: Bool
    /// Before draft 6 a number with a point is no integer.
    let integersHaveNoPoint: Bool

    static let mostNodes = 20_000
    static let mostDepth = 64
    private static let mostBytes = 256 << 10

    /// Keywords whose value is a schema, a list of schemas, or schemas by name.
    private static let single: Set<String> = [
        "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not",
        "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
    ]
    private static let lists: Set<String> = ["allOf", "anyOf", "items", "oneOf", "prefixItems"]
    private static let named: Set<String> = [
        "$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties",
        "properties",
    ]

    init(_ schema: JSON) throws(GrammarError) {
        root = schema
        let draft = schema["$schema"]?.stringValue ?? ""
        referencesStandAlone = ["draft-03", "draft-04", "draft-05", "draft-06", "draft-07"].contains
        {
            draft.containsText($0)
        }
        formatsAreAnnotations = draft.containsText("2019-09") || draft.containsText("2020-12")
        integersHaveNoPoint = ["draft-03", "draft-04", "draft-05"].contains {
            draft.containsText($0)
        }
        try add(schema, pointer: "", base: "", depth: 0)
    }

    @discardableResult
    private mutating func add(
        _ schema: JSON, pointer: String, base: String, depth: Int
    ) throws(GrammarError) -> Int {
        guard depth <= Self.mostDepth, nodes.count < Self.mostNodes else {
            throw GrammarError(.tooComplex, "the schema is too large or too deep", pointer: pointer)
        }
        let number = nodes.count
        var base = base
        if let identifier = schema["$id"]?.stringValue ?? schema["id"]?.stringValue,
            schema["$ref"] == nil
        {
            base = Self.resolve(identifier, base).withoutFragment
            identified[base] = identified[base] ?? number
        } else if number == 0 {
            identified[""] = 0
        }
        nodes.append(Node(schema: schema, pointer: pointer, base: base))
        if let values = schema["enum"]?.arrayValue {
            guard values.count(where: { $0.stringValue == nil }) <= ListedValues.mostOthers else {
                throw GrammarError(
                    .tooComplex, "an enum lists too many values that are no strings",
                    pointer: pointer, keyword: "enum")
            }
            listed[number] = ListedValues(values)
        }
        numbers[pointer] = number
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let anchor = schema[keyword]?.stringValue { anchors[base + "#" + anchor] = number }
        }
        guard let object = schema.objectValue else { return number }
        for (name, value) in object.members {
            let path = pointer + "/" + Self.escape(name)
            if Self.single.contains(name), value.isSchema {
                try add(value, pointer: path, base: base, depth: depth + 1)
            } else if Self.lists.contains(name), let parts = value.arrayValue {
                for (index, part) in parts.enumerated() where part.isSchema {
                    try add(part, pointer: path + "/\(index)", base: base, depth: depth + 1)
                }
            } else if Self.named.contains(name), let parts = value.objectValue {
                for (key, part) in parts.members where part.isSchema {
                    try add(
                        part, pointer: path + "/" + Self.escape(key), base: base, depth: depth + 1)
                }
            }
        }
        return number
    }

    /// The node of a part of another.
    func child(_ number: Int, _ path: String...) -> Int? {
        numbers[nodes[number].pointer + path.map { "/" + Self.escape($0) }.joined()]
    }

    static func escape(_ name: String) -> String {
        var text = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "~": text += "~0"
            case "/": text += "~1"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// Whether a format is asked for: from draft 2019-09 on it is an annotation (2020-12, Validation 7.2.1), but who writes
    /// it beside a type means it.
    func meansFormat(_ node: Int) -> Bool {
        !formatsAreAnnotations || nodes[node].schema["type"] != nil
    }

    /// The keywords of a schema that count.
    func assertions(_ object: JSON.Object) -> [(name: String, value: JSON)] {
        guard referencesStandAlone, let reference = object["$ref"] else { return object.members }
        return [("$ref", reference)]
    }

    // MARK: References

    /// What a node's $ref means.
    mutating func target(of number: Int, keyword: String = "$ref") throws(GrammarError) -> Int {
        let node = nodes[number]
        guard let text = node.schema[keyword]?.stringValue else {
            throw GrammarError(
                .malformed, "\(keyword) is not a string", pointer: node.pointer, keyword: keyword)
        }
        let full = Self.resolve(text, node.base)
        let (identifier, fragment) = (full.withoutFragment, full.fragment)
        if let anchor = anchors[identifier + "#" + fragment], !fragment.isEmpty { return anchor }
        guard let document = identified[identifier] ?? (identifier == nodes[0].base ? 0 : nil)
        else {
            throw GrammarError(
                .unsupported, "\(keyword) leads outside of the schema: \(text)",
                pointer: node.pointer,
                keyword: keyword)
        }
        guard fragment.isEmpty || fragment.hasPrefix("/") else {
            throw GrammarError(
                .unsupported, "\(keyword) names nothing: \(text)", pointer: node.pointer,
                keyword: keyword)
        }
        let pointer = nodes[document].pointer + Self.normalized(fragment)
        if let known = numbers[pointer] { return known }
        // A part that no keyword makes a schema is one because it is referred to.
        guard let schema = value(at: pointer), schema.isSchema else {
            throw GrammarError(
                .malformed, "\(keyword) names nothing: \(text)", pointer: node.pointer,
                keyword: keyword)
        }
        return try add(schema, pointer: pointer, base: nodes[document].base, depth: 0)
    }

    /// Percent signs undone, and names escaped in one way.
    private static func normalized(_ fragment: String) -> String {
        fragment.percentDecoded.split(separator: "/", omittingEmptySubsequences: false).map {
            part in
            escape(unescape(part))
        }.joined(separator: "/")
    }

    private static func unescape(_ part: Substring) -> String {
        var (text, isEscape) = ("", false)
        for scalar in part.unicodeScalars {
            if isEscape {
                text.unicodeScalars.append(scalar == "0" ? "~" : scalar == "1" ? "/" : scalar)
                isEscape = false
            } else if scalar == "~" {
                isEscape = true
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    private func value(at pointer: String) -> JSON? {
        var value: JSON? = root
        for part in pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let name = Self.unescape(part)
            if let list = value?.arrayValue {
                guard let index = Int(name), list.indices.contains(index) else { return nil }
                value = list[index]
            } else {
                value = value?[name]
            }
        }
        return value
    }

    /// A reference against what it is relative to, as far as schemas use that (RFC 3986, 5.2).
    private static func resolve(_ reference: String, _ base: String) -> String {
        if reference.contains("://") || reference.hasPrefix("urn:") || base.isEmpty {
            return reference
        }
        if reference.hasPrefix("#") || reference.isEmpty { return base + reference }
        let scheme = base.range(of: "://")
        let authorityEnd = scheme.flatMap { base[$0.end...].firstIndex(of: "/") } ?? base.endIndex
        if reference.hasPrefix("/") { return base[..<authorityEnd] + reference }
        guard let slash = base.lastIndex(of: "/"), slash >= authorityEnd || scheme == nil else {
            return scheme == nil ? reference : base + "/" + reference
        }
        return base[...slash] + reference
    }
}

extension String {
    fileprivate var withoutFragment: String { String(prefix { $0 != "#" }) }
    fileprivate var fragment: String {
        firstIndex(of: "#").map { String(self[index(after: $0)...]) } ?? ""
    }

    fileprivate func containsText(_ text: String) -> Bool { range(of: text) != nil }

    /// Where a text stands in this one.
    fileprivate func range(of text: String) -> (start: Index, end: Index)? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) {
                return (start, index(start, offsetBy: text.count))
            }
            start = index(after: start)
        }
        return nil
    }

    fileprivate var percentDecoded: String {
        guard contains("%") else { return self }
        var (bytes, rest) = ([UInt8](), utf8[...])
        while let byte = rest.first {
            if byte == 0x25, rest.count > 2,
                let value = UInt8(
                    String(decoding: rest.dropFirst().prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension JSON {
    /// An object, or true or false.
    var isSchema: Bool {
        switch self {
        case .object, .bool: true
        default: false
        }
    }
}
