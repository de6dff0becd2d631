internal import JSONTree

/// What an object of a flat may have.
final class ObjectPlan {
    let flat: Flat
    /// Properties that the schema names, in its order.
    let names: [String]
    /// Numbers of what their values must satisfy.
    let demands: [Int]
    /// All others, by what their names are: the language between the quotes, and what their values must satisfy.
    let others: [(key: RegularLanguages.ID, demand: Int)]
    /// By name: what must be there too, as places.
    private let needs: [Int: Set<Int>]
    private let required: Set<Int>
    private let requiredBits: [UInt64]
    /// Keys with what stands around them, by place and whether they are the first.
    private var keys: [[RegularLanguages.ID?]]
    /// Something is required that cannot be there.
    private let isImpossible: Bool

    private static let mostNames = 2_000
    private static let mostPatterns = 5

    init(
        _ flat: Flat, _ expansion: inout SchemaExpansion, _ languages: inout RegularLanguages,
        number: (Demand) -> Int
    ) throws(GrammarError) {
        self.flat = flat
        var names: [String] = []
        var known: Set<String> = []
        func add(_ name: String) {
            if known.insert(name).inserted, !flat.forbidden.contains(name) { names.append(name) }
        }
        for node in flat.holders.sorted() {
            for name in expansion.document.nodes[node].schema["properties"]?.objectValue?.names
                ?? []
            {
                add(name)
            }
        }
        for name in flat.required.sorted() { add(name) }
        for name in flat.extra.keys.sorted() { add(name) }
        for dependency in flat.dependencies {
            add(dependency.name)
            for name in dependency.needs.sorted() { add(name) }
        }
        guard names.count <= Self.mostNames else {
            throw GrammarError(
                .tooComplex, "an object has too many properties", pointer: "", keyword: "properties"
            )
        }
        let limits = flat.holders.sorted().compactMap {
            expansion.document.child($0, "propertyNames")
        }
        var validator = SchemaValidator(document: expansion.document, matcher: expansion.matcher)
        var (kept, demands): ([String], [Int]) = ([], [])
        for name in names {
            var isAllowed = true
            for limit in limits where isAllowed {
                isAllowed = try validator.isValid(.string(name), limit)
            }
            guard isAllowed else { continue }
            kept.append(name)
            demands.append(number(try expansion.property(name, flat)))
        }
        self.names = kept
        self.demands = demands
        let places = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
        let required = Set(flat.required.compactMap { places[$0] })
        self.required = required
        requiredBits = required.reduce(
            Array(repeating: 0, count: (kept.count + 63) / 64)
        ) { $0.with($1) }
        known.formUnion(flat.forbidden)
        var isImpossible = required.count < flat.required.count
        var needs: [Int: Set<Int>] = [:]
        for dependency in flat.dependencies {
            guard let place = places[dependency.name] else { continue }
            for name in dependency.needs {
                // What cannot be had makes what needs it impossible.
                needs[place, default: []].insert(places[name] ?? -1)
            }
        }
        self.needs = needs
        if needs.contains(where: { required.contains($0.key) && $0.value.contains(-1) }) {
            isImpossible = true
        }
        self.isImpossible = isImpossible
        let others = try Self.others(flat, known, limits, &expansion, &languages)
        self.others = others.map { ($0.key, number($0.demand)) }
        keys = Array(
            repeating: Array(repeating: nil, count: kept.count + others.count), count: 2)
        if !others.isEmpty, flat.leastProperties > required.count + 1 {
            // Names that the schema does not have might be the same one again.
            throw GrammarError(
                .unsupported,
                "minProperties: cannot be enforced for properties that the schema does not name",
                pointer: expansion.document.nodes[flat.holders.min() ?? 0].pointer,
                keyword: "minProperties")
        }
    }

    /// Names beside those that are known, apart by the patterns that they match.
    private static func others(
        _ flat: Flat, _ known: Set<String>, _ limits: [Int], _ expansion: inout SchemaExpansion,
        _ languages: inout RegularLanguages
    ) throws(GrammarError) -> [(key: RegularLanguages.ID, demand: Demand)] {
        var patterns: [(node: Int, pattern: String, child: Int)] = []
        for node in flat.holders.sorted() {
            let members = expansion.document.nodes[node].schema["patternProperties"]?.objectValue
            for name in members?.names ?? [] {
                patterns.append((node, name, try expansion.child(node, "patternProperties", name)))
            }
        }
        guard patterns.count <= mostPatterns else {
            throw expansion.refusal(
                patterns[0].node, "patternProperties", "there are too many patterns")
        }
        var base: [RegularLanguages.ID] = [
            languages.repeated(languages.character(.all, .jsonString), 0, nil)
        ]
        let knownNames = known.sorted().map {
            Array(CanonicalJSON.bytes(of: .string($0)).dropFirst().dropLast())
        }
        if !known.isEmpty { base.append(languages.not(languages.oneOf(knownNames))) }
        for limit in limits {
            var allowed: [RegularLanguages.ID] = []
            for way in try expansion.flats(of: Demand(holds: [limit])) {
                if let values = way.values {
                    let texts = values.compactMap(\.stringValue)
                    allowed.append(languages.either(texts.map { languages.text($0, .jsonString) }))
                } else if way.types.contains(.string) {
                    allowed.append(try languages.content(way))
                }
            }
            base.append(languages.either(allowed))
        }
        var matching: [RegularLanguages.ID] = []
        for (node, pattern, _) in patterns {
            _ = try expansion.matches("", pattern, node, "patternProperties")
            matching.append(try languages.matching(try PatternParser.parse(pattern), .jsonString))
        }
        var result: [(RegularLanguages.ID, Demand)] = []
        for subset in 0..<(1 << patterns.count) {
            var parts = base
            var demand = Demand.anything
            var named: Set<Int> = []
            for (index, entry) in patterns.enumerated() {
                let isIn = subset >> index & 1 != 0
                parts.append(isIn ? matching[index] : languages.not(matching[index]))
                if isIn {
                    demand.holds.insert(entry.child)
                    named.insert(entry.node)
                }
            }
            var isEvaluated = !named.isEmpty
            for node in flat.holders where !named.contains(node) {
                if let child = expansion.document.child(node, "additionalProperties") {
                    demand.holds.insert(child)
                    isEvaluated = true
                }
            }
            if !isEvaluated, let child = flat.unevaluatedProperties { demand.holds.insert(child) }
            let key = languages.both(parts)
            if !languages.isEmpty(key) { result.append((key, demand)) }
        }
        return result
    }

    // MARK: Questions

    /// Everything that properties need, and what they need in turn.
    private func closure(_ places: Set<Int>) -> Set<Int> {
        var (result, waiting) = (places, Array(places))
        while let place = waiting.popLast() {
            for need in needs[place] ?? [] where result.insert(need).inserted {
                waiting.append(need)
            }
        }
        return result
    }

    /// A property's name with its colon, and the comma before it unless it is the first.
    func key(
        _ place: Int, isFirst: Bool, _ languages: inout RegularLanguages
    ) -> RegularLanguages.ID {
        if let known = keys[isFirst ? 0 : 1][place] { return known }
        let text = languages.string(names[place])
        return keep(text, place, isFirst, &languages)
    }

    /// The same of a name that the schema does not have.
    func otherKey(
        _ index: Int, isFirst: Bool, _ languages: inout RegularLanguages
    ) -> RegularLanguages.ID {
        if let known = keys[isFirst ? 0 : 1][names.count + index] { return known }
        let quote = languages.literal([0x22])
        let text = languages.sequence([quote, others[index].key, quote])
        return keep(text, names.count + index, isFirst, &languages)
    }

    private func keep(
        _ text: RegularLanguages.ID, _ place: Int, _ isFirst: Bool,
        _ languages: inout RegularLanguages
    ) -> RegularLanguages.ID {
        let space = languages.space()
        let comma = languages.sequence([space, languages.literal([0x2C]), space])
        let colon = languages.sequence(languages.literal([0x3A]), space)
        let key = languages.sequence([isFirst ? space : comma, text, colon])
        keys[isFirst ? 0 : 1][place] = key
        return key
    }

    private func places(_ seen: [UInt64]) -> Set<Int> {
        Set(names.indices.filter { seen.has($0) })
    }

    func isSatisfiable(given satisfiable: [Bool]) -> Bool {
        guard !isImpossible else { return false }
        let wanted = closure(required)
        guard !wanted.contains(-1), wanted.allSatisfy({ satisfiable[demands[$0]] }),
            wanted.count <= flat.mostProperties ?? .max,
            flat.leastProperties <= flat.mostProperties ?? .max
        else { return false }
        guard flat.leastProperties > 0 else { return true }
        let possible = names.indices.filter { place in
            satisfiable[demands[place]]
                && closure([place]).allSatisfy { $0 >= 0 && satisfiable[demands[$0]] }
        }
        let hasOthers = others.contains { satisfiable[$0.demand] }
        return flat.leastProperties <= possible.count + (hasOthers ? 1 : 0)
    }

    func mayEnd(_ seen: [UInt64], _ others: Int) -> Bool {
        if needs.isEmpty, flat.leastProperties == 0 {
            return zip(requiredBits, seen).allSatisfy { $0 & ~$1 == 0 }
        }
        let have = places(seen)
        return closure(required.union(have)).isSubset(of: have)
            && have.count + min(others, 1) >= flat.leastProperties
    }

    /// Whether an object that has these can still be completed.
    func hasRoom(_ seen: [UInt64], _ others: Int, given satisfiable: [Bool]) -> Bool {
        if needs.isEmpty, flat.mostProperties == nil { return true }
        let have = places(seen)
        let wanted = closure(required.union(have))
        guard !wanted.contains(-1), wanted.allSatisfy({ satisfiable[demands[$0]] }) else {
            return false
        }
        return wanted.count + others <= flat.mostProperties ?? .max
    }
}

/// What a list of a flat may have.
struct ArrayPlan {
    let flat: Flat
    /// What each must satisfy if it is not, or is, one of those that `contains` counts; the last is for all others.
    private let plain: [Int]
    private let countedOnes: [Int]
    private let prefixCount: Int
    /// The only values that items may have, where they must differ.
    let values: [JSON]?

    init(
        _ flat: Flat, _ expansion: inout SchemaExpansion, number: (Demand) -> Int
    ) throws(GrammarError) {
        self.flat = flat
        var count = 0
        func list(_ node: Int) -> Int {
            let schema = expansion.document.nodes[node].schema
            return (schema["prefixItems"] ?? schema["items"])?.arrayValue?.count ?? 0
        }
        for node in flat.holders { count = max(count, list(node)) }
        func demand(_ index: Int) throws(GrammarError) -> Demand {
            var demand = Demand.anything
            var isEvaluated = false
            for node in flat.holders.sorted() {
                let schema = expansion.document.nodes[node].schema
                let keyword = schema["prefixItems"] != nil ? "prefixItems" : "items"
                if index < list(node) {
                    demand.holds.insert(try expansion.child(node, keyword, "\(index)"))
                } else if schema["items"]?.arrayValue != nil {
                    if let child = expansion.document.child(node, "additionalItems") {
                        demand.holds.insert(child)
                    }
                } else if let child = expansion.document.child(node, "items") {
                    demand.holds.insert(child)
                } else {
                    continue
                }
                isEvaluated = true
            }
            if !isEvaluated, let child = flat.unevaluatedItems { demand.holds.insert(child) }
            return demand
        }
        prefixCount = count
        let each = try (0...count).mapTyped { (index) throws(GrammarError) in try demand(index) }
        plain = each.map { demand in
            var demand = demand
            if let contained = flat.contained, contained.most != nil {
                demand.fails.insert(contained.node)
            }
            return number(demand)
        }
        countedOnes =
            flat.contained.map { contained in
                each.map { number($0.adding(contained.node)) }
            } ?? []
        guard !(flat.isUnique && flat.contained != nil) else {
            throw expansion.refusal(
                flat.holders.min() ?? 0, "uniqueItems", "cannot be enforced beside contains")
        }
        guard flat.isUnique, flat.mostItems ?? .max > 1 else {
            values = nil
            return
        }
        let pointer = flat.holders.min().map { expansion.document.nodes[$0].pointer } ?? ""
        let refusal = GrammarError(
            .unsupported, "uniqueItems: cannot be enforced unless items are listed by enum",
            pointer: pointer, keyword: "uniqueItems")
        guard count == 0 else { throw refusal }
        var values: [JSON] = []
        for way in try expansion.flats(of: each[0]) {
            guard let listed = way.values else { throw refusal }
            values += listed.filter { value in !values.contains { $0.isSameValue(as: value) } }
        }
        self.values = values
    }

    func uncounted(_ index: Int) -> Int { plain[min(index, prefixCount)] }

    func counted(_ index: Int) -> Int? {
        countedOnes.isEmpty ? nil : countedOnes[min(index, prefixCount)]
    }

    /// From so many items on nothing changes with one more.
    var lastCount: Int { max(prefixCount, flat.leastItems, 1) }

    /// Whether a list with so many items, so many of them counted, can still get all that `contains` wants.
    func hasRoom(_ count: Int, counted: Int) -> Bool {
        guard let contained = flat.contained else { return true }
        // Those of the prefix may be others; behind it any may be one.
        let room = (flat.mostItems ?? .max) - max(count, prefixCount)
        return contained.least - counted <= room
    }

    func isSatisfiable(given satisfiable: [Bool]) -> Bool {
        guard flat.leastItems <= flat.mostItems ?? .max else { return false }
        if let values { return flat.leastItems <= values.count }
        if let contained = flat.contained, contained.least > 0 {
            guard let counted = counted(prefixCount), satisfiable[counted],
                contained.least <= contained.most ?? .max,
                prefixCount + contained.least <= flat.mostItems ?? .max,
                plain[..<prefixCount].allSatisfy({ satisfiable[$0] })
            else { return false }
        }
        return plain.prefix(min(flat.leastItems, prefixCount + 1)).allSatisfy { satisfiable[$0] }
    }
}
