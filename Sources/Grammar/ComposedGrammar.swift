internal import JSONTree

/// Regular languages, schemas and other grammars as the parts of one.
struct GrammarParts {
    enum Part {
        case language(RegularLanguages.ID)
        /// Rules of their own, by number.
        case rules(Int)
        case sequence([Int])
        case either([Int])
        case repeated(Int, between: Int, least: Int, most: Int?)
        /// Another part, which may be this one's own beginning.
        case reference(Int)
    }

    private(set) var parts: [Part] = []
    fileprivate var rules: [any GrammarRules] = []
    private static let mostParts = 50_000
    private static let mostCount = 1000

    mutating func add(_ part: Part) throws(GrammarError) -> Int {
        guard parts.count < Self.mostParts else {
            throw GrammarError(.tooComplex, "the grammar has too many parts")
        }
        parts.append(part)
        return parts.count - 1
    }

    /// A part for what is still to be said.
    mutating func reserve() throws(GrammarError) -> Int { try add(.either([])) }

    mutating func set(_ part: Int, to other: Int) { parts[part] = .reference(other) }

    mutating func add(rules: any GrammarRules) throws(GrammarError) -> Int {
        self.rules.append(rules)
        return try add(.rules(self.rules.count - 1))
    }

    private func language(_ part: Int) -> RegularLanguages.ID? {
        if case .language(let language) = parts[part] { language } else { nil }
    }

    // What is regular becomes one language: a parser has less to do with it.

    mutating func sequence(
        _ all: [Int], _ languages: inout RegularLanguages
    ) throws(GrammarError) -> Int {
        var result: [Int] = []
        for part in all {
            guard let b = language(part), let last = result.last, let a = language(last) else {
                result.append(part)
                continue
            }
            result[result.count - 1] = try add(.language(languages.sequence(a, b)))
        }
        if result.isEmpty { return try add(.language(RegularLanguages.empty)) }
        return result.count == 1 ? result[0] : try add(.sequence(result))
    }

    mutating func either(
        _ all: [Int], _ languages: inout RegularLanguages
    ) throws(GrammarError) -> Int {
        let regular = all.compactMap { language($0) }
        var result = all.filter { language($0) == nil }
        if !regular.isEmpty { result.append(try add(.language(languages.either(regular)))) }
        return result.count == 1 ? result[0] : try add(.either(result))
    }

    mutating func repeated(
        _ item: Int, between: Int, least: Int, most: Int?, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> Int {
        guard least <= most ?? .max else { return try add(.language(RegularLanguages.never)) }
        if let item = language(item), let between = language(between) {
            guard between != RegularLanguages.empty else {
                return try add(.language(languages.repeated(item, least, most)))
            }
            guard most != 0 else { return try add(.language(RegularLanguages.empty)) }
            let next = languages.sequence(between, item)
            let more = languages.repeated(next, max(0, least - 1), most.map { $0 - 1 })
            let some = languages.sequence(item, more)
            return try add(.language(least == 0 ? languages.optional(some) : some))
        }
        guard max(least, most ?? 0) <= Self.mostCount else {
            throw GrammarError(
                .tooComplex, "a part is repeated more than \(Self.mostCount) times")
        }
        return try add(.repeated(item, between: between, least: least, most: most))
    }

    // MARK: Sources

    mutating func add(
        _ source: GrammarSource, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> Int {
        switch source {
        case .schema(let schema): return try add(rules: SchemaGrammar(schema, &languages))
        case .jsonObject: return try add(rules: SchemaGrammar(["type": "object"], &languages))
        case .pattern(let text):
            let pattern = try PatternParser.parse(text)
            return try add(.language(try languages.matching(pattern, .text, isWhole: true)))
        case .choice(let texts):
            return try add(.language(languages.oneOf(texts.map { Array($0.utf8) })))
        case .notation(let text): return try NotationParser.parse(text, into: &self, &languages)
        case .literal(let text): return try add(.language(languages.literal(text.utf8)))
        case .marker(let text):
            let special = GrammarSource.bytes(ofSpecialToken: Array(text.utf8))
            return try add(
                .language(
                    languages.either([languages.literal(text.utf8), languages.literal(special)])))
        case .free(let texts):
            let all = languages.repeated(languages.character(.all, .text), 0, nil)
            var parts = [all]
            for text in texts where !text.isEmpty {
                let found = languages.sequence([all, languages.literal(text.utf8), all])
                parts.append(languages.not(found))
            }
            return try add(.language(languages.both(parts)))
        case .sequence(let sources):
            var all: [Int] = []
            for source in sources { all.append(try add(source, &languages)) }
            return try sequence(all, &languages)
        case .either(let sources):
            var all: [Int] = []
            for source in sources { all.append(try add(source, &languages)) }
            return try either(all, &languages)
        case .repeated(let item, let between, let least, let most):
            let (item, between) = (try add(item, &languages), try add(between, &languages))
            return try repeated(item, between: between, least: least, most: most, &languages)
        }
    }
}

/// Parts as the rules of a grammar.
final class ComposedGrammar: GrammarRules {
    private enum Rule: Hashable {
        case part(Int)
        /// What follows so many of a part that is repeated.
        case repeated(Int, Int)
        /// A rule of a part that has rules of its own.
        case inner(Int, Int)
    }

    private let parts: GrammarParts
    /// By part: whether any text is it, and whether nothing at all is.
    private var isPossible: [Bool]
    private var rules: [Rule] = []
    private var numbers: [Rule: Int] = [:]
    let start = 0

    init(
        _ parts: GrammarParts, start: Int, _ languages: inout RegularLanguages
    ) throws(GrammarError) {
        self.parts = parts
        isPossible = Array(repeating: false, count: parts.parts.count)
        _ = number(.part(start))
        findPossible(&languages)
        guard !languages.isTooLarge else {
            throw GrammarError(.tooComplex, "the grammar takes too much work")
        }
        guard isPossible[start] else {
            throw GrammarError(.unsatisfiable, "no text is in the grammar")
        }
    }

    /// Least fixed point: what can be had without itself first.
    private func findPossible(_ languages: inout RegularLanguages) {
        var isChanged = true
        while isChanged, !languages.isTooLarge {
            isChanged = false
            for (index, part) in parts.parts.enumerated().reversed() where !isPossible[index] {
                languages.work += 1
                let isNow: Bool
                switch part {
                case .language(let language): isNow = !languages.isEmpty(language)
                case .rules: isNow = true
                case .sequence(let all): isNow = all.allSatisfy { isPossible[$0] }
                case .either(let all): isNow = all.contains { isPossible[$0] }
                case .repeated(let item, let between, let least, _):
                    isNow =
                        least == 0 || isPossible[item] && (least == 1 || isPossible[between])
                case .reference(let other): isNow = isPossible[other]
                }
                if isNow {
                    isPossible[index] = true
                    isChanged = true
                }
            }
        }
    }

    private func number(_ rule: Rule) -> Int {
        if let known = numbers[rule] { return known }
        rules.append(rule)
        numbers[rule] = rules.count - 1
        return rules.count - 1
    }

    private func symbol(_ part: Int) -> Symbol {
        if case .language(let language) = parts.parts[part] { return .terminal(language) }
        return .rule(number(.part(part)))
    }

    func productions(
        of rule: Int, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> [[Symbol]] {
        switch rules[rule] {
        case .inner(let part, let rule):
            return try parts.rules[part].productions(of: rule, &languages).map { body in
                body.map { symbol in
                    if case .rule(let rule) = symbol { return .rule(number(.inner(part, rule))) }
                    return symbol
                }
            }
        case .part(let part):
            switch parts.parts[part] {
            case .language(let language): return [[.terminal(language)]]
            case .rules(let inner):
                return [[.rule(number(.inner(inner, parts.rules[inner].start)))]]
            case .sequence(let all): return [all.map { symbol($0) }]
            case .either(let all): return all.filter { isPossible[$0] }.map { [symbol($0)] }
            case .repeated: return [[.rule(number(.repeated(part, 0)))]]
            case .reference(let other): return [[symbol(other)]]
            }
        case .repeated(let part, let count):
            guard case .repeated(let item, let between, let least, let most) = parts.parts[part]
            else { return [] }
            var productions: [[Symbol]] = count >= least ? [[]] : []
            if count < most ?? .max, isPossible[item], count == 0 || isPossible[between] {
                // From so many on nothing changes with one more.
                let next = most == nil ? min(count + 1, max(least, 1)) : count + 1
                let first = count == 0 ? [] : [symbol(between)]
                productions.append(first + [symbol(item), .rule(number(.repeated(part, next)))])
            }
            return productions
        }
    }
}
