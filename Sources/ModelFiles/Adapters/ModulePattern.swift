internal import Synchronization

/// A Python regular expression over module names, as PEFT configurations use them.
///
/// Only whether it matches is asked, so matching runs on sets of positions: a node maps a place where
/// it may begin to the set where it may end, and is asked once for each. That is polynomial in the
/// lengths of pattern and name whatever the pattern, where a backtracking engine can be made to hang.
///
/// Known: literals, `.`, classes, `\d \w \s \b` and their opposites, groups, `|`, `* + ? {m,n}` with
/// lazy and possessive forms that do not backtrack into them, `^ $ \A \Z`, look-ahead. Back
/// references, look-behind and flags are refused.
package struct ModulePattern: Sendable {
    private let nodes: [Node]
    private let root: Int
    private let budget: PatternBudget
    /// Of a pattern for the end of a name that has nothing but letters, digits, `_` and `.`.
    private let plainEnd: [Unicode.Scalar]?

    /// - Throws: `ModulePatternError`.
    package init(
        _ pattern: String, budget: PatternBudget = PatternBudget()
    ) throws(ModulePatternError) {
        self.budget = budget
        plainEnd = nil
        guard pattern.utf8.count <= 4096 else { throw ModulePatternError("longer than 4096 bytes") }
        var parser = PatternParser(pattern)
        root = try parser.parse()
        nodes = parser.nodes
    }

    /// `(.*\.)?(key)$`, PEFT's patterns for ranks and alphas.
    ///
    /// - Throws: `ModulePatternError`.
    init(end key: String, budget: PatternBudget) throws(ModulePatternError) {
        let isPlain = key.utf8.allSatisfy {
            $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || 0x30...0x39 ~= $0
                || 0x41...0x5A ~= $0 || 0x61...0x7A ~= $0
        }
        if isPlain {
            self.init(plainEnd: Array(key.unicodeScalars), budget)
        } else {
            try self.init("(.*\\.)?(\(key))$", budget: budget)
        }
    }

    private init(plainEnd: [Unicode.Scalar], _ budget: PatternBudget) {
        self.budget = budget
        self.plainEnd = plainEnd
        (nodes, root) = ([], 0)
    }

    /// Python's `re.fullmatch`. False once the budget is spent.
    package func matchesWhole(_ name: String) -> Bool {
        let text = Array(name.unicodeScalars)
        if let plainEnd {
            let rest = text.count - plainEnd.count
            guard rest == 0 || rest > 0 && text[rest - 1] == "." else { return false }
            return zip(plainEnd, text[rest...]).allSatisfy { $0 == $1 || $0 == "." && $1 != "\n" }
        }
        var matcher = Matcher(text: text, nodes: nodes, budget: budget)
        return matcher.ends(of: root, from: 0).contains(text.count) && !budget.isSpent
    }

    /// Nodes inside others are named by their places among all of them.
    enum Node: Sendable {
        case scalar(Matches)
        case sequence([Int])
        case choice([Int])
        case repeated(Int, minimum: Int, maximum: Int?)
        case lookAhead(Int, negated: Bool)
        case start
        case end
        case wordBoundary(negated: Bool)
    }

    /// Which scalars a class holds.
    struct Matches: Sendable {
        var ranges: [ClosedRange<UInt32>]
        var negated = false

        func contains(_ scalar: Unicode.Scalar) -> Bool {
            ranges.contains { $0.contains(scalar.value) } != negated
        }

        static let word = Matches(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
        static let digit = Matches(ranges: [0x30...0x39])
        static let space = Matches(ranges: [0x09...0x0D, 0x20...0x20])
        static let anyButNewline = Matches(ranges: [0x0A...0x0A], negated: true)
    }

    private struct Matcher {
        private struct Question: Hashable {
            var node: Int
            var start: Int
        }

        let text: [Unicode.Scalar]
        let nodes: [Node]
        private let budget: PatternBudget
        private var answers: [Question: Set<Int>] = [:]

        init(text: [Unicode.Scalar], nodes: [Node], budget: PatternBudget) {
            self.text = text
            self.nodes = nodes
            self.budget = budget
        }

        mutating func ends(of node: Int, from start: Int) -> Set<Int> {
            let question = Question(node: node, start: start)
            if let known = answers[question] {
                budget.spend(known.count)
                return known
            }
            guard !budget.isSpent else { return [] }
            let ends = find(nodes[node], from: start)
            budget.spend(1 + ends.count)
            answers[question] = ends
            return ends
        }

        private mutating func ends(of node: Int, from starts: Set<Int>) -> Set<Int> {
            var all: Set<Int> = []
            for start in starts { all.formUnion(ends(of: node, from: start)) }
            return all
        }

        private mutating func find(_ node: Node, from start: Int) -> Set<Int> {
            switch node {
            case .scalar(let matches):
                return start < text.count && matches.contains(text[start]) ? [start + 1] : []
            case .sequence(let nodes):
                var places: Set = [start]
                for node in nodes where !places.isEmpty { places = ends(of: node, from: places) }
                return places
            case .choice(let nodes):
                var places: Set<Int> = []
                for node in nodes { places.formUnion(ends(of: node, from: start)) }
                return places
            case .repeated(let node, let minimum, let maximum):
                return repeatedEnds(of: node, from: start, minimum, maximum)
            case .lookAhead(let node, let negated):
                return ends(of: node, from: start).isEmpty == negated ? [start] : []
            case .start:
                return start == 0 ? [start] : []
            case .end:
                return start == text.count ? [start] : []
            case .wordBoundary(let negated):
                return (isWord(start - 1) != isWord(start)) != negated ? [start] : []
            }
        }

        private mutating func repeatedEnds(
            of node: Int, from start: Int, _ minimum: Int, _ maximum: Int?
        ) -> Set<Int> {
            var current: Set = [start]
            for _ in 0..<minimum {
                let next = ends(of: node, from: current)
                // Once more of it changes nothing.
                if next == current { break }
                current = next
            }
            var reached = current
            var rounds = minimum
            while !current.isEmpty, rounds < maximum ?? .max, !budget.isSpent {
                current = ends(of: node, from: current).subtracting(reached)
                reached.formUnion(current)
                rounds += 1
            }
            return reached
        }

        private func isWord(_ index: Int) -> Bool {
            index >= 0 && index < text.count && Matches.word.contains(text[index])
        }
    }
}

/// The steps that all patterns of one adapter may take together.
package final class PatternBudget: Sendable {
    private static let stepLimit = 20_000_000
    private let steps = Atomic<Int>(0)

    package init() {}

    /// Whether answers are not to be trusted any more.
    var isSpent: Bool { steps.load(ordering: .relaxed) > PatternBudget.stepLimit }

    func spend(_ count: Int) { steps.add(count, ordering: .relaxed) }
}

/// A pattern that is not understood.
package struct ModulePatternError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

private struct PatternParser {
    private let text: [Unicode.Scalar]
    private var position = 0
    private var depth = 0
    private(set) var nodes: [Node] = []

    typealias Node = ModulePattern.Node
    typealias Matches = ModulePattern.Matches

    init(_ pattern: String) { text = Array(pattern.unicodeScalars) }

    mutating func parse() throws(ModulePatternError) -> Int {
        let node = try choice()
        guard position == text.count else { throw ModulePatternError("an unopened )") }
        return node
    }

    private mutating func add(_ node: Node) -> Int {
        nodes.append(node)
        return nodes.count - 1
    }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take() -> Unicode.Scalar? {
        guard let scalar = next else { return nil }
        position += 1
        return scalar
    }

    private mutating func skip(_ literal: String) -> Bool {
        let scalars = Array(literal.unicodeScalars)
        guard text[position...].starts(with: scalars) else { return false }
        position += scalars.count
        return true
    }

    private mutating func choice() throws(ModulePatternError) -> Int {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 32 else { throw ModulePatternError("nested too deep") }
        var branches = [try sequence()]
        while skip("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : add(.choice(branches))
    }

    private mutating func sequence() throws(ModulePatternError) -> Int {
        var parts: [Int] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            parts.append(try quantified(try atom()))
        }
        return add(.sequence(parts))
    }

    private mutating func quantified(_ atom: Int) throws(ModulePatternError) -> Int {
        guard let (minimum, maximum) = try quantifier() else { return atom }
        // Laziness changes what a group captures, not whether the whole matches.
        _ = skip("?")
        guard next != "+" else { throw ModulePatternError("possessive quantifiers") }
        guard try quantifier() == nil else { throw ModulePatternError("multiple repeats") }
        return add(.repeated(atom, minimum: minimum, maximum: maximum))
    }

    private mutating func quantifier() throws(ModulePatternError) -> (Int, Int?)? {
        switch next {
        case "*": position += 1; return (0, nil)
        case "+": position += 1; return (1, nil)
        case "?": position += 1; return (0, 1)
        case "{":
            guard let close = text[position...].firstIndex(of: "}") else { return nil }
            let body = String(String.UnicodeScalarView(text[position + 1..<close]))
            // As in Python, braces around anything else stand for themselves.
            guard body.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2C }) else {
                return nil
            }
            let parts = body.split(separator: ",", omittingEmptySubsequences: false)
            guard parts.count <= 2, let first = parts.first,
                let minimum = first.isEmpty ? 0 : Int(first),
                let maximum = parts.count == 1
                    ? minimum : parts[1].isEmpty ? Int.max : Int(parts[1])
            else { return nil }
            guard minimum <= 1000, maximum >= minimum else {
                throw ModulePatternError("a repetition of {\(body)}")
            }
            position = close + 1
            return (minimum, maximum == .max ? nil : maximum)
        default: return nil
        }
    }

    private mutating func atom() throws(ModulePatternError) -> Int {
        guard let scalar = take() else { throw ModulePatternError("an early end") }
        switch scalar {
        case ".": return add(.scalar(.anyButNewline))
        case "^": return add(.start)
        case "$": return add(.end)
        case "(": return try group()
        case "[": return add(.scalar(try characterClass()))
        case "\\": return add(try escape())
        case "*", "+", "?": throw ModulePatternError("nothing to repeat")
        default: return add(.scalar(Matches(ranges: [scalar.value...scalar.value])))
        }
    }

    private mutating func group() throws(ModulePatternError) -> Int {
        var isNegated: Bool?
        if skip("?") {
            if skip("=") {
                isNegated = false
            } else if skip("!") {
                isNegated = true
            } else if skip("P<") {
                guard let close = text[position...].firstIndex(of: ">") else {
                    throw ModulePatternError("an unclosed (?P<")
                }
                position = close + 1
            } else if !skip(":") {
                throw ModulePatternError("look-behind, back references and flags")
            }
        }
        let node = try choice()
        guard skip(")") else { throw ModulePatternError("an unclosed (") }
        return isNegated.map { add(.lookAhead(node, negated: $0)) } ?? node
    }

    private mutating func escape() throws(ModulePatternError) -> Node {
        guard let scalar = take() else { throw ModulePatternError("a backslash at the end") }
        switch scalar {
        case "b": return .wordBoundary(negated: false)
        case "B": return .wordBoundary(negated: true)
        case "A": return .start
        case "Z": return .end
        default: return .scalar(try classEscape(scalar))
        }
    }

    private func classEscape(_ scalar: Unicode.Scalar) throws(ModulePatternError) -> Matches {
        func negated(_ matches: Matches) -> Matches {
            Matches(ranges: matches.ranges, negated: true)
        }
        switch scalar {
        case "d": return .digit
        case "D": return negated(.digit)
        case "w": return .word
        case "W": return negated(.word)
        case "s": return .space
        case "S": return negated(.space)
        case "n": return Matches(ranges: [0x0A...0x0A])
        case "t": return Matches(ranges: [0x09...0x09])
        case _ where scalar.properties.isAlphabetic || scalar.properties.numericType != nil:
            throw ModulePatternError("the escape \\\(scalar)")
        default: return Matches(ranges: [scalar.value...scalar.value])
        }
    }

    private mutating func characterClass() throws(ModulePatternError) -> Matches {
        var matches = Matches(ranges: [])
        matches.negated = skip("^")
        var isFirst = true
        while let scalar = take() {
            if scalar == "]", !isFirst { return matches }
            isFirst = false
            var low = scalar
            if scalar == "\\" {
                guard let escaped = take() else { break }
                let inner = try classEscape(escaped)
                guard !inner.negated else {
                    throw ModulePatternError("\\\(escaped) inside a class")
                }
                guard inner.ranges.count == 1, let single = inner.ranges.first, single.count == 1,
                    let value = Unicode.Scalar(single.lowerBound)
                else {
                    matches.ranges += inner.ranges
                    continue
                }
                low = value
            }
            if next == "-", position + 1 < text.count, text[position + 1] != "]" {
                position += 1
                guard let high = take(), high != "\\", high >= low else {
                    throw ModulePatternError("a bad range in a class")
                }
                matches.ranges.append(low.value...high.value)
            } else {
                matches.ranges.append(low.value...low.value)
            }
        }
        throw ModulePatternError("an unclosed [")
    }
}
