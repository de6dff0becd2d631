internal import JSONTree

/// Keywords that leave a choice.
extension SchemaExpansion {
    /// Whether it is plain which properties and items a node and those that hold with it speak of.
    mutating func isPlain(_ node: Int, depth: Int, isTop: Bool = false) -> Bool {
        guard depth > 0, let object = document.nodes[node].schema.objectValue else {
            return depth > 0
        }
        let unclear = [
            "not", "if", "anyOf", "dependentSchemas", "dependencies", "contains", "$dynamicRef",
        ]
        guard !unclear.contains(where: { object[$0] != nil }) else { return false }
        if !isTop, object["unevaluatedProperties"] != nil || object["unevaluatedItems"] != nil {
            return false
        }
        for keyword in ["allOf", "oneOf"] {
            for index in (object[keyword]?.arrayValue ?? []).indices {
                guard let child = document.child(node, keyword, "\(index)"),
                    isPlain(child, depth: depth - 1)
                else { return false }
            }
        }
        guard object["$ref"] != nil else { return true }
        guard let target = try? document.target(of: node) else { return false }
        return isPlain(target, depth: depth - 1)
    }

    /// For each property that has a schema of its own: without the property, or with both.
    mutating func dependent(
        _ keyword: String, _ value: JSON, _ node: Int, _ way: Way
    ) throws(GrammarError) -> [Way] {
        var first = way
        try applySimple("dependentRequired", value, node, &first.flat)
        var ways = [first]
        for (name, part) in value.objectValue?.members ?? []
        where part.isSchema && part != .bool(true) {
            let child = try child(node, keyword, name)
            try spend(3 * ways.count, node)
            ways = ways.flatMap { way in
                var (absent, present, other) = (way, way, way)
                absent.flat.forbidden.insert(name)
                absent.flat.types.formIntersection(.object)
                present.flat.required.insert(name)
                present.flat.types.formIntersection(.object)
                present.add(child, true)
                other.flat.types.remove(.object)
                return [absent, present, other]
            }
        }
        return ways
    }

    /// One branch and none of the others.
    mutating func oneOf(
        _ value: JSON, _ node: Int, _ way: Way
    ) throws(GrammarError) -> [Way] {
        let branches = try (0..<count(value, node, "oneOf")).mapTyped {
            (index) throws(GrammarError) in
            try child(node, "oneOf", "\(index)")
        }
        var ways: [Way] = []
        for branch in branches {
            var next = way
            next.add(branch, true)
            for other in branches where other != branch {
                if try areApart(branch, other, depth: 3) { continue }
                guard canFail(other, depth: 8) else {
                    throw refusal(node, "oneOf", "its branches may overlap")
                }
                next.add(other, false)
            }
            ways.append(next)
        }
        return ways
    }

    mutating func conditional(
        _ node: Int, _ object: JSON.Object, _ way: Way
    ) throws(GrammarError) -> [Way] {
        let condition = try child(node, "if")
        guard object["then"] != nil || object["else"] != nil else { return [way] }
        guard canFail(condition, depth: 8) else {
            throw refusal(node, "if", "the opposite of its condition cannot be enforced")
        }
        var (yes, no) = (way, way)
        yes.add(condition, true)
        if object["then"] != nil { yes.add(try child(node, "then"), true) }
        no.add(condition, false)
        if object["else"] != nil { no.add(try child(node, "else"), true) }
        return [yes, no]
    }

    /// Whether no value satisfies both, as far as that is easily seen.
    mutating func areApart(
        _ a: Int, _ b: Int, depth: Int
    ) throws(GrammarError) -> Bool {
        // One that is asked for while it is answered may overlap, for all that is known.
        guard comparing.insert([a, b]).inserted else { return false }
        defer { comparing.remove([a, b]) }
        let (first, second) = (
            try flats(of: Demand(holds: [a])), try flats(of: Demand(holds: [b]))
        )
        try spend(first.count * second.count, a)
        for one in first {
            for other in second where try !areApart(one, other, depth: depth) { return false }
        }
        return true
    }

    mutating func areApart(
        _ a: Flat, _ b: Flat, depth: Int
    ) throws(GrammarError) -> Bool {
        if let values = a.values, let others = b.values {
            return !values.contains { value in others.contains { $0.isSameValue(as: value) } }
        }
        if let values = a.values ?? b.values {
            let flat = a.values == nil ? a : b
            return values.allSatisfy { flat.types.isDisjoint(with: TypeSet(of: $0)) }
        }
        let common = a.types.intersection(b.types)
        if common.isEmpty { return true }
        guard common == .object, depth > 0 else { return false }
        if !a.required.isDisjoint(with: b.forbidden) || !b.required.isDisjoint(with: a.forbidden) {
            return true
        }
        for name in a.required.union(b.required).sorted() {
            let (one, other) = (try property(name, a), try property(name, b))
            let isInBoth = a.required.contains(name) && b.required.contains(name)
            if isInBoth {
                let (first, second) = (try flats(of: one), try flats(of: other))
                try spend(first.count * second.count, one.holds.min() ?? 0)
                var isApart = true
                for x in first where isApart {
                    for y in second where isApart { isApart = try areApart(x, y, depth: depth - 1) }
                }
                if isApart { return true }
            } else {
                // What one wants the other has no room for.
                let absent = a.required.contains(name) ? other : one
                if try flats(of: absent).isEmpty { return true }
            }
        }
        return false
    }

    /// What a property of an object must satisfy.
    mutating func property(_ name: String, _ flat: Flat) throws(GrammarError) -> Demand {
        var demand = flat.extra[name] ?? .anything
        var isEvaluated = false
        for node in flat.holders.sorted() {
            let schema = document.nodes[node].schema
            var isNamed = false
            if schema["properties"]?[name] != nil,
                let child = document.child(node, "properties", name)
            {
                demand.holds.insert(child)
                isNamed = true
            }
            for (pattern, _) in schema["patternProperties"]?.objectValue?.members ?? [] {
                guard try matches(name, pattern, node, "patternProperties") else { continue }
                demand.holds.insert(try child(node, "patternProperties", pattern))
                isNamed = true
            }
            if !isNamed, let child = document.child(node, "additionalProperties") {
                demand.holds.insert(child)
                isNamed = true
            }
            isEvaluated = isEvaluated || isNamed
        }
        if !isEvaluated, let child = flat.unevaluatedProperties { demand.holds.insert(child) }
        return demand
    }

    func matches(
        _ text: String, _ pattern: String, _ node: Int, _ keyword: String
    ) throws(GrammarError) -> Bool {
        do throws(GrammarError) {
            return try matcher.matches(text, pattern)
        } catch {
            throw GrammarError(
                error.code, error.message, pointer: document.nodes[node].pointer, keyword: keyword)
        }
    }
}
