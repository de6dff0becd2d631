internal import JSONTree

/// Turns demands into the ways to satisfy them.
///
/// What cannot be told exactly is refused with its place and keyword; keywords that the specification does not know are
/// annotations and say nothing.
struct SchemaExpansion {
    var document: SchemaDocument
    let matcher = PatternMatcher()
    var known: [Demand: [Flat]] = [:]
    var comparing: Set<[Int]> = []
    static let mostFlats = 200
    static let mostSteps = 4_000
    /// Ways made, ways compared and listed values looked at.
    private var work = 0
    private static let mostWork = 400_000

    init(_ schema: JSON) throws(GrammarError) { document = try SchemaDocument(schema) }

    /// Keywords that assert something and are not understood.
    static let unsupported: Set<String> = [
        "$dynamicRef", "$recursiveRef",
    ]

    /// Counts work, so that no schema takes more than some.
    mutating func spend(_ amount: Int, _ node: Int) throws(GrammarError) {
        work += amount
        guard work <= Self.mostWork else {
            throw GrammarError(
                .tooComplex, "there are too many ways to satisfy the schema",
                pointer: document.nodes[node].pointer)
        }
    }

    func refusal(_ node: Int, _ keyword: String, _ why: String) -> GrammarError {
        GrammarError(
            .unsupported, "\(keyword): \(why)", pointer: document.nodes[node].pointer,
            keyword: keyword)
    }

    func malformed(_ node: Int, _ keyword: String) -> GrammarError {
        GrammarError(
            .malformed, "\(keyword) has a value that it cannot have",
            pointer: document.nodes[node].pointer, keyword: keyword)
    }

    /// All ways to satisfy a demand.
    mutating func flats(of demand: Demand) throws(GrammarError) -> [Flat] {
        if let found = known[demand] { return found }
        var result: [Flat] = []
        var seen: Set<Flat> = []
        // What is left to read of each way.
        var waiting = [Way(demand)]
        var steps = 0
        while let way = waiting.popLast() {
            steps += 1
            guard steps <= Self.mostSteps, result.count <= Self.mostFlats else {
                let node = demand.holds.min() ?? 0
                throw GrammarError(
                    .tooComplex, "there are too many ways to satisfy the schema",
                    pointer: document.nodes[node].pointer)
            }
            guard let ways = try step(way) else {
                if way.flat.types.isEmpty { continue }
                if seen.insert(way.flat).inserted { result.append(way.flat) }
                continue
            }
            // The first is read first.
            waiting += ways.reversed()
        }
        known[demand] = result
        return result
    }

    /// A way that is being put together.
    struct Way {
        var flat = Flat()
        var waiting: [(node: Int, holds: Bool)] = []
        var seen = Demand()
        /// The demand's only node, of which all others come.
        let root: Int?

        init(_ demand: Demand) {
            root = demand.holds.count == 1 && demand.fails.isEmpty ? demand.holds.first : nil
            for node in demand.holds.sorted() { add(node, true) }
            for node in demand.fails.sorted() { add(node, false) }
        }

        mutating func add(_ node: Int, _ holds: Bool) {
            let isNew =
                holds ? seen.holds.insert(node).inserted : seen.fails.insert(node).inserted
            if isNew { waiting.append((node, holds)) }
        }
    }

    /// Reads one more node of a way.
    ///
    /// - Returns: what comes of it, or nil when all has been read.
    mutating func step(_ way: Way) throws(GrammarError) -> [Way]? {
        var way = way
        guard !way.waiting.isEmpty else { return nil }
        let (node, holds) = way.waiting.removeFirst()
        let schema = document.nodes[node].schema
        if case .bool(let value) = schema { return value == holds ? [way] : [] }
        guard let object = schema.objectValue else { throw malformed(node, "schema") }
        guard holds else { return try negated(node, object, way) }
        let isReference = document.referencesStandAlone && object["$ref"] != nil
        if object["enum"] != nil || object["const"] != nil, !isReference {
            return try listed(node, object, way)
        }
        var ways = [way]
        for (keyword, value) in document.assertions(object) {
            var next: [Way] = []
            for way in ways { next += try apply(keyword, value, node, object, way) }
            ways = next
            try spend(ways.count, node)
        }
        return ways
    }

    /// A node with `enum` or `const`: those of its values that satisfy everything.
    mutating func listed(
        _ node: Int, _ object: JSON.Object, _ way: Way
    ) throws(GrammarError) -> [Way] {
        var values: [JSON]
        if let list = object["enum"] {
            guard let list = list.arrayValue else { throw malformed(node, "enum") }
            values = list
        } else {
            values = [object["const"] ?? .null]
        }
        try spend(values.count, node)
        let before = way.flat.values.map { ListedValues($0) }
        var validator = SchemaValidator(document: document, matcher: matcher)
        var left: [JSON] = []
        var seen = ListedValues([])
        for value in values where seen.insert(value) {
            var isFine = before?.contains(value) ?? true
            for node in way.seen.holds where isFine {
                isFine = try validator.isValid(value, node)
            }
            for node in way.seen.fails where isFine {
                isFine = try !validator.isValid(value, node)
            }
            if isFine { left.append(value) }
        }
        document = validator.document
        try spend(validator.work, node)
        // Every node of the way has been asked, those that were still to be read too.
        var result = way
        result.flat.values = left
        result.waiting.removeAll()
        return left.isEmpty ? [] : [result]
    }

    // MARK: Keywords

    mutating func apply(
        _ keyword: String, _ value: JSON, _ node: Int, _ object: JSON.Object, _ way: Way
    ) throws(GrammarError) -> [Way] {
        if Self.unsupported.contains(keyword) {
            throw refusal(node, keyword, "cannot be enforced")
        }
        var way = way
        switch keyword {
        case "$ref":
            way.add(try document.target(of: node), true)
        case "allOf":
            for index in 0..<(try count(value, node, keyword)) {
                way.add(try child(node, keyword, "\(index)"), true)
            }
        case "anyOf":
            return try (0..<count(value, node, keyword)).mapTyped { (index) throws(GrammarError) in
                var next = way
                next.add(try child(node, keyword, "\(index)"), true)
                return next
            }
        case "oneOf":
            return try oneOf(value, node, way)
        case "not":
            way.add(try child(node, keyword), false)
        case "if":
            return try conditional(node, object, way)
        case "type":
            way.flat.types.formIntersection(try types(value, node))
        case "contains":
            guard way.flat.contained == nil else {
                throw refusal(node, keyword, "cannot be enforced twice")
            }
            let least =
                try object["minContains"].map { (value) throws(GrammarError) in
                    try size(value, node, "minContains")
                } ?? 1
            let most = try object["maxContains"].map { (value) throws(GrammarError) in
                try size(value, node, "maxContains")
            }
            guard least > 0 || most != nil else { return [way] }
            let counted = try child(node, keyword)
            if most != nil, !canFail(counted, depth: 8) {
                throw refusal(node, "maxContains", "cannot be enforced for such items")
            }
            way.flat.contained = Flat.Contained(node: counted, least: least, most: most)
        case "unevaluatedProperties", "unevaluatedItems":
            if value == .bool(true) { return [way] }
            guard way.root == node, isPlain(node, depth: 8, isTop: true) else {
                throw refusal(
                    node, keyword, "cannot be enforced beside such other schemas for the same value"
                )
            }
            if keyword == "unevaluatedItems" {
                guard object["contains"] == nil else {
                    throw refusal(node, keyword, "cannot be enforced beside contains")
                }
                way.flat.unevaluatedItems = try child(node, keyword)
            } else {
                way.flat.unevaluatedProperties = try child(node, keyword)
            }
        case "dependentSchemas", "dependencies":
            return try dependent(keyword, value, node, way)
        case "items", "prefixItems", "additionalItems", "properties", "patternProperties",
            "additionalProperties", "propertyNames":
            way.flat.holders.insert(node)
        default:
            try applySimple(keyword, value, node, &way.flat)
        }
        return [way]
    }

    func child(_ node: Int, _ keyword: String) throws(GrammarError) -> Int {
        guard let child = document.child(node, keyword) else { throw malformed(node, keyword) }
        return child
    }

    func child(_ node: Int, _ keyword: String, _ name: String) throws(GrammarError) -> Int {
        guard let child = document.child(node, keyword, name) else {
            throw malformed(node, keyword)
        }
        return child
    }

    func count(_ value: JSON, _ node: Int, _ keyword: String) throws(GrammarError) -> Int {
        guard let list = value.arrayValue, !list.isEmpty else { throw malformed(node, keyword) }
        return list.count
    }

    func types(_ value: JSON, _ node: Int) throws(GrammarError) -> TypeSet {
        var result = TypeSet()
        for name in value.arrayValue ?? [value] {
            guard let type = name.stringValue.flatMap({ TypeSet($0) }) else {
                throw malformed(node, "type")
            }
            result.formUnion(type)
        }
        return result
    }

    /// A keyword's number of things, a thousand million at most: nothing has more.
    private func size(
        _ value: JSON, _ node: Int, _ keyword: String
    ) throws(GrammarError) -> Int {
        guard let number = value.doubleValue, number >= 0, number.rounded() == number else {
            throw malformed(node, keyword)
        }
        return number < 1e9 ? Int(number) : Int(1e9)
    }

    func applySimple(
        _ keyword: String, _ value: JSON, _ node: Int, _ flat: inout Flat
    ) throws(GrammarError) {
        func size() throws(GrammarError) -> Int { try self.size(value, node, keyword) }
        func lower(_ bound: inout Int?, _ size: Int) { bound = min(bound ?? size, size) }
        switch keyword {
        case "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum":
            // Before draft 6 the exclusive ones were true or false.
            if case .bool(let isExclusive) = value {
                let other = keyword == "exclusiveMinimum" ? "minimum" : "maximum"
                guard isExclusive else { return }
                guard let limit = document.nodes[node].schema[other], let bound = decimal(limit)
                else {
                    throw malformed(node, keyword)
                }
                if other == "minimum" {
                    flat.bounds.raiseLeast(to: bound, isIn: false)
                } else {
                    flat.bounds.lowerMost(to: bound, isIn: false)
                }
                return
            }
            guard let bound = decimal(value) else { throw malformed(node, keyword) }
            switch keyword {
            case "minimum": flat.bounds.raiseLeast(to: bound, isIn: true)
            case "exclusiveMinimum": flat.bounds.raiseLeast(to: bound, isIn: false)
            case "maximum": flat.bounds.lowerMost(to: bound, isIn: true)
            default: flat.bounds.lowerMost(to: bound, isIn: false)
            }
        case "multipleOf":
            guard let number = value.doubleValue, number > 0 else { throw malformed(node, keyword) }
            flat.multiples.append(value.text())
        case "pattern":
            guard let pattern = value.stringValue else { throw malformed(node, keyword) }
            _ = try matches("", pattern, node, keyword)
            flat.patterns.append(pattern)
        case "format":
            guard let format = value.stringValue else { throw malformed(node, keyword) }
            guard document.meansFormat(node) else { return }
            guard !Formats.beyond.contains(format) else {
                throw refusal(node, keyword, "\(format) cannot be enforced")
            }
            if Formats.pattern(format) != nil { flat.formats.append(format) }
        case "minLength": flat.leastLength = max(flat.leastLength, try size())
        case "maxLength": lower(&flat.mostLength, try size())
        case "minItems": flat.leastItems = max(flat.leastItems, try size())
        case "maxItems": lower(&flat.mostItems, try size())
        case "minProperties": flat.leastProperties = max(flat.leastProperties, try size())
        case "maxProperties": lower(&flat.mostProperties, try size())
        case "uniqueItems":
            if value == .bool(true) { flat.isUnique = true }
        case "required":
            // Before draft 4 a property said so of itself.
            if case .bool = value { return }
            guard let names = value.arrayValue else { throw malformed(node, keyword) }
            for name in names {
                guard let name = name.stringValue else { throw malformed(node, keyword) }
                flat.required.insert(name)
            }
        case "dependentRequired", "dependencies":
            guard let parts = value.objectValue else { throw malformed(node, keyword) }
            for (name, part) in parts.members {
                guard let needs = part.arrayValue else { continue }
                let names = needs.compactMap(\.stringValue)
                guard names.count == needs.count else { throw malformed(node, keyword) }
                flat.dependencies.append(Flat.Dependency(name: name, needs: Set(names)))
            }
        default: break
        }
    }

    func decimal(_ value: JSON) -> NumberBounds.Decimal? {
        value.doubleValue == nil ? nil : NumberBounds.Decimal(value.text())
    }
}

extension Sequence {
    /// `map` with an error of a type.
    func mapTyped<Result>(
        _ transform: (Element) throws(GrammarError) -> Result
    ) throws(GrammarError) -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try transform(element)) }
        return results
    }
}

extension JSON {
    var isBool: Bool { if case .bool = self { true } else { false } }

    var isScalar: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    /// Equal as JSON Schema compares: 1 is 1.0, and members have no order.
    func isSameValue(as other: JSON) -> Bool {
        switch (self, other) {
        case (.array(let a), .array(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.isSameValue(as: $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count
                && a.members.allSatisfy { name, value in
                    b[name].map { value.isSameValue(as: $0) } ?? false
                }
        case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
        case (.bool(let a), .bool(let b)): return a == b
        case (.null, .null): return true
        default:
            guard doubleValue != nil, other.doubleValue != nil,
                let a = NumberBounds.Decimal(text()), let b = NumberBounds.Decimal(other.text())
            else { return false }
            return a == b
        }
    }
}
