internal import JSONTree

/// A schema as a grammar: rules are made as texts come to them, and properties may stand in any order.
final class SchemaGrammar: GrammarRules {
    private enum Rule: Hashable {
        case start
        /// A demand's number.
        case value(Int)
        /// An object behind its brace: which of its properties it has, and how many others.
        case members(Int, seen: [UInt64], others: Int)
        /// A list behind its bracket: how many items it has, which of its values, where they must differ, and how many
        /// that `contains` counts.
        case items(Int, Int, used: [UInt64], counted: Int)
    }

    /// What a flat comes to.
    private struct Way {
        var scalar: RegularLanguages.ID
        var object: Int?
        var array: Int?
    }

    private var expansion: SchemaExpansion
    private var rules: [Rule] = [.start]
    private var numbers: [Rule: Int] = [.start: 0]
    private var demands: [Demand] = []
    private var demandNumbers: [Demand: Int] = [:]
    /// By demand.
    private var ways: [[Way]] = []
    private var objects: [ObjectPlan] = []
    private var arrays: [ArrayPlan] = []
    /// Demands that some value satisfies.
    private var satisfiable: [Bool] = []
    let start = 0

    private static let mostWays = 20_000
    private static let mostLanguages = 400_000
    private static let mostSearched = 5_000

    var integersHaveNoPoint: Bool { expansion.document.integersHaveNoPoint }

    /// Reads a schema whole: whatever of it cannot be enforced is refused now.
    init(_ schema: JSON, _ languages: inout RegularLanguages) throws(GrammarError) {
        guard schema.isSchema else {
            throw GrammarError(.malformed, "a schema is an object, true or false", pointer: "")
        }
        expansion = try SchemaExpansion(schema)
        try explore(&languages)
        guard satisfiable[0] else {
            throw GrammarError(.unsatisfiable, "no value satisfies the schema", pointer: "")
        }
    }

    // MARK: Reading it whole

    private func number(of demand: Demand) -> Int {
        if let known = demandNumbers[demand] { return known }
        demands.append(demand)
        demandNumbers[demand] = demands.count - 1
        return demands.count - 1
    }

    private func explore(_ languages: inout RegularLanguages) throws(GrammarError) {
        _ = number(of: Demand(holds: [0]))
        var wayCount = 0
        while ways.count < demands.count {
            var found: [Way] = []
            for flat in try expansion.flats(of: demands[ways.count]) {
                found.append(try way(flat, &languages))
                wayCount += 1
                guard wayCount <= Self.mostWays, languages.count <= Self.mostLanguages,
                    languages.searchedCount <= Self.mostSearched, !languages.isTooLarge
                else {
                    let node = demands[ways.count].holds.min() ?? 0
                    throw GrammarError(
                        .tooComplex, "the schema takes too much work",
                        pointer: expansion.document.nodes[node].pointer)
                }
            }
            ways.append(found)
        }
        satisfiable = Array(repeating: false, count: demands.count)
        // Least fixed point: what can be had without itself first.
        var isChanged = true
        while isChanged {
            isChanged = false
            for demand in demands.indices.reversed() where !satisfiable[demand] {
                guard ways[demand].contains(where: { isSatisfiable($0) }) else { continue }
                satisfiable[demand] = true
                isChanged = true
            }
        }
    }

    private func way(
        _ flat: Flat, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> Way {
        let scalar = try languages.scalars(flat)
        var way = Way(
            scalar: languages.isEmpty(scalar) ? RegularLanguages.never : scalar)
        guard flat.values == nil else { return way }
        if flat.types.contains(.object) {
            let plan = try ObjectPlan(flat, &expansion, &languages) { number(of: $0) }
            way.object = objects.count
            objects.append(plan)
        }
        if flat.types.contains(.array) {
            let plan = try ArrayPlan(flat, &expansion) { number(of: $0) }
            way.array = arrays.count
            arrays.append(plan)
        }
        return way
    }

    private func isSatisfiable(_ way: Way) -> Bool {
        way.scalar != RegularLanguages.never
            || way.object.map { objects[$0].isSatisfiable(given: satisfiable) } ?? false
            || way.array.map { arrays[$0].isSatisfiable(given: satisfiable) } ?? false
    }

    // MARK: Rules

    private func number(_ rule: Rule) -> Int {
        if let known = numbers[rule] { return known }
        rules.append(rule)
        numbers[rule] = rules.count - 1
        return rules.count - 1
    }

    func productions(
        of rule: Int, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> [[Symbol]] {
        switch rules[rule] {
        case .start: return [[.rule(number(.value(0)))]]
        case .value(let demand): return value(demand, &languages)
        case .members(let object, let seen, let others):
            return members(object, seen, others, &languages)
        case .items(let array, let count, let used, let counted):
            return items(array, count, used, counted, &languages)
        }
    }

    private func value(_ demand: Int, _ languages: inout RegularLanguages) -> [[Symbol]] {
        var productions: [[Symbol]] = []
        let scalar = languages.either(ways[demand].map(\.scalar))
        if scalar != RegularLanguages.never { productions.append([.terminal(scalar)]) }
        for way in ways[demand] {
            if let object = way.object, objects[object].isSatisfiable(given: satisfiable) {
                let seen = Array(
                    repeating: 0 as UInt64, count: (objects[object].names.count + 63) / 64)
                productions.append([
                    .terminal(languages.literal([0x7B])),
                    .rule(number(.members(object, seen: seen, others: 0))),
                ])
            }
            if let array = way.array, arrays[array].isSatisfiable(given: satisfiable) {
                let used = Array(
                    repeating: 0 as UInt64, count: ((arrays[array].values?.count ?? 0) + 63) / 64)
                productions.append([
                    .terminal(languages.literal([0x5B])),
                    .rule(number(.items(array, 0, used: used, counted: 0))),
                ])
            }
        }
        return productions
    }

    private func members(
        _ object: Int, _ seen: [UInt64], _ others: Int, _ languages: inout RegularLanguages
    ) -> [[Symbol]] {
        let plan = objects[object]
        let isFirst = others == 0 && seen.allSatisfy { $0 == 0 }
        var productions: [[Symbol]] = []
        if plan.mayEnd(seen, others) {
            let space = languages.space()
            productions.append([.terminal(languages.sequence(space, languages.literal([0x7D])))])
        }
        for index in plan.names.indices where !seen.has(index) {
            guard satisfiable[plan.demands[index]] else { continue }
            let next = seen.with(index)
            guard plan.hasRoom(next, others, given: satisfiable) else { continue }
            let key = plan.key(index, isFirst: isFirst, &languages)
            productions.append([
                .terminal(key), .rule(number(.value(plan.demands[index]))),
                .rule(number(.members(object, seen: next, others: others))),
            ])
        }
        for (index, other) in plan.others.enumerated() where satisfiable[other.demand] {
            guard plan.hasRoom(seen, others + 1, given: satisfiable) else { continue }
            let key = plan.otherKey(index, isFirst: isFirst, &languages)
            let count = plan.flat.mostProperties == nil ? 1 : others + 1
            productions.append([
                .terminal(key), .rule(number(.value(other.demand))),
                .rule(number(.members(object, seen: seen, others: count))),
            ])
        }
        return productions
    }

    private func items(
        _ array: Int, _ count: Int, _ used: [UInt64], _ counted: Int,
        _ languages: inout RegularLanguages
    ) -> [[Symbol]] {
        let plan = arrays[array]
        let space = languages.space()
        let comma = languages.literal([0x2C])
        let before = count == 0 ? space : languages.sequence([space, comma, space])
        var productions: [[Symbol]] = []
        if count >= plan.flat.leastItems, counted >= plan.flat.contained?.least ?? 0 {
            productions.append([.terminal(languages.sequence(space, languages.literal([0x5D])))])
        }
        guard count < plan.flat.mostItems ?? .max else { return productions }
        let next = plan.flat.mostItems == nil ? min(count + 1, plan.lastCount) : count + 1
        if let values = plan.values {
            for (index, value) in values.enumerated() where !used.has(index) {
                productions.append([
                    .terminal(languages.sequence(before, languages.listed([value]))),
                    .rule(number(.items(array, next, used: used.with(index), counted: 0))),
                ])
            }
            return productions
        }
        func add(_ demand: Int, counted: Int) {
            guard satisfiable[demand], plan.hasRoom(count + 1, counted: counted) else { return }
            productions.append([
                .terminal(before), .rule(number(.value(demand))),
                .rule(number(.items(array, next, used: used, counted: counted))),
            ])
        }
        add(plan.uncounted(count), counted: counted)
        if let contained = plan.flat.contained, let demand = plan.counted(count) {
            if let most = contained.most {
                if counted < most { add(demand, counted: counted + 1) }
            } else if counted < contained.least {
                add(demand, counted: counted + 1)
            }
        }
        return productions
    }
}

extension [UInt64] {
    func has(_ index: Int) -> Bool { self[index / 64] >> UInt64(index % 64) & 1 != 0 }

    func with(_ index: Int) -> [UInt64] {
        var result = self
        result[index / 64] |= 1 << UInt64(index % 64)
        return result
    }
}
