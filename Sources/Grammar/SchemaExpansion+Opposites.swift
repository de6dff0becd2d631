internal import JSONTree

/// What it means that a schema does not hold.
extension SchemaExpansion {
    /// Keywords whose opposite can be told.
    static let opposed: Set<String> = [
        "$ref", "allOf", "anyOf", "const", "enum", "exclusiveMaximum", "exclusiveMinimum",
        "maximum", "maxItems", "maxLength", "maxProperties", "minimum", "minItems", "minLength",
        "minProperties", "not", "pattern", "properties", "required", "type", "multipleOf",
    ]
    static let annotations: Set<String> = [
        "$anchor", "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated",
        "description", "examples", "id", "readOnly", "title", "writeOnly", "$vocabulary",
    ]

    mutating func canFail(_ node: Int, depth: Int) -> Bool {
        guard depth > 0 else { return false }
        guard let object = document.nodes[node].schema.objectValue else { return true }
        for (keyword, value) in document.assertions(object)
        where !Self.annotations.contains(keyword) {
            guard Self.opposed.contains(keyword) else { return false }
            if case .bool = value { return false }
            switch keyword {
            case "$ref":
                guard let target = try? document.target(of: node), target != node,
                    canFail(target, depth: depth - 1)
                else { return false }
            case "allOf", "anyOf":
                for index in (value.arrayValue ?? []).indices {
                    guard let child = document.child(node, keyword, "\(index)"),
                        canFail(child, depth: depth - 1)
                    else { return false }
                }
            case "properties":
                for name in value.objectValue?.names ?? [] {
                    guard let child = document.child(node, keyword, name),
                        canFail(child, depth: depth - 1)
                    else { return false }
                }
            default: break
            }
        }
        return true
    }

    /// A node must not hold: one of its keywords does not.
    mutating func negated(
        _ node: Int, _ object: JSON.Object, _ way: Way
    ) throws(GrammarError) -> [Way] {
        var ways: [Way] = []
        for (keyword, value) in document.assertions(object)
        where !Self.annotations.contains(keyword) {
            guard Self.opposed.contains(keyword), !value.isBool else {
                throw refusal(node, keyword, "its opposite cannot be enforced")
            }
            ways += try opposite(keyword, value, node, way)
        }
        return ways
    }

    mutating func opposite(
        _ keyword: String, _ value: JSON, _ node: Int, _ way: Way
    ) throws(GrammarError) -> [Way] {
        /// A way with something more asked of values of a type.
        func with(_ types: TypeSet, _ change: (inout Flat) -> Void) -> Way {
            var next = way
            next.flat.types.formIntersection(types)
            change(&next.flat)
            return next
        }
        func adding(_ child: Int, _ holds: Bool) -> Way {
            var next = way
            next.add(child, holds)
            return next
        }
        var flat = Flat()
        switch keyword {
        case "$ref": return [adding(try document.target(of: node), false)]
        case "not": return [adding(try child(node, keyword), true)]
        case "anyOf":
            var next = way
            for index in 0..<(try count(value, node, keyword)) {
                next.add(try child(node, keyword, "\(index)"), false)
            }
            return [next]
        case "allOf":
            return try (0..<count(value, node, keyword)).mapTyped { (index) throws(GrammarError) in
                adding(try child(node, keyword, "\(index)"), false)
            }
        case "type":
            return [with(TypeSet.all.subtracting(try types(value, node))) { _ in }]
        case "enum", "const":
            let values = keyword == "const" ? [value] : value.arrayValue ?? []
            guard values.allSatisfy({ $0.isScalar }) else {
                throw refusal(node, keyword, "the opposite of lists and objects cannot be enforced")
            }
            return [with(.all) { $0.excludedValues += values }]
        case "required":
            return (value.arrayValue ?? []).compactMap(\.stringValue).map { name in
                with(.object) { $0.forbidden.insert(name) }
            }
        case "properties":
            return try (value.objectValue?.names ?? []).mapTyped { (name) throws(GrammarError) in
                let child = try child(node, keyword, name)
                return with(.object) {
                    $0.required.insert(name)
                    $0.extra[name, default: .anything].fails.insert(child)
                }
            }
        case "pattern":
            guard let pattern = value.stringValue else { throw malformed(node, keyword) }
            _ = try matches("", pattern, node, keyword)
            return [with(.string) { $0.excludedPatterns.append(pattern) }]
        case "multipleOf":
            return [with(.number) { $0.excludedMultiples.append(value.text()) }]
        default:
            try applySimple(keyword, value, node, &flat)
        }
        switch keyword {
        case "minimum", "exclusiveMinimum":
            guard let bound = flat.bounds.least else { return [] }
            let isIn = !flat.bounds.leastIsIn
            return [with(.number) { $0.bounds.lowerMost(to: bound, isIn: isIn) }]
        case "maximum", "exclusiveMaximum":
            guard let bound = flat.bounds.most else { return [] }
            let isIn = !flat.bounds.mostIsIn
            return [with(.number) { $0.bounds.raiseLeast(to: bound, isIn: isIn) }]
        case "minLength":
            return flat.leastLength == 0
                ? []
                : [
                    with(.string) {
                        $0.mostLength = min($0.mostLength ?? .max, flat.leastLength - 1)
                    }
                ]
        case "maxLength":
            return [
                with(.string) { $0.leastLength = max($0.leastLength, (flat.mostLength ?? 0) + 1) }
            ]
        case "minItems":
            return flat.leastItems == 0
                ? []
                : [with(.array) { $0.mostItems = min($0.mostItems ?? .max, flat.leastItems - 1) }]
        case "maxItems":
            return [with(.array) { $0.leastItems = max($0.leastItems, (flat.mostItems ?? 0) + 1) }]
        case "minProperties":
            return flat.leastProperties == 0
                ? []
                : [
                    with(.object) {
                        $0.mostProperties = min($0.mostProperties ?? .max, flat.leastProperties - 1)
                    }
                ]
        case "maxProperties":
            return [
                with(.object) {
                    $0.leastProperties = max($0.leastProperties, (flat.mostProperties ?? 0) + 1)
                }
            ]
        default: return []
        }
    }
}
