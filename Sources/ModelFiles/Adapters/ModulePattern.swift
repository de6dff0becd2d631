/// A Python regular expression over module names, as PEFT configurations use them.
///
/// Only whether it matches is asked, so matching runs on sets of positions: a node maps the set of
/// places where it may begin to the set where it may end. That is polynomial in the lengths of
/// pattern and name whatever the pattern, where a backtracking engine can be made to hang.
///
/// Known: literals, `.`, classes, `\d \w \s \b` and their opposites, groups, `|`, `* + ? {m,n}` with
/// lazy and possessive forms that do not backtrack into them, `^ $ \A \Z`, look-ahead. Back
/// references, look-behind and flags are refused.
package struct ModulePattern: Sendable {
    private let root: Node

    /// - Throws: `ModulePatternError`.
    package init(_ pattern: String) throws(ModulePatternError) {
        guard pattern.utf8.count <= 4096 else { throw ModulePatternError("longer than 4096 bytes") }
        var parser = PatternParser(pattern)
        root = try parser.parse()
    }

    /// Python's `re.fullmatch`.
    package func matchesWhole(_ name: String) -> Bool {
        let text = Array(name.unicodeScalars)
        return Matcher(text: text).ends(of: root, from: [0]).contains(text.count)
    }

    indirect enum Node: Sendable {
        case scalar(Matches)
        case sequence([Node])
        case choice([Node])
        case repeated(Node, minimum: Int, maximum: Int?)
        case lookAhead(Node, negated: Bool)
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
        let text: [Unicode.Scalar]

        func ends(of node: Node, from starts: Set<Int>) -> Set<Int> {
            if starts.isEmpty { return [] }
            switch node {
            case .scalar(let matches):
                return Set(
                    starts.filter { $0 < text.count && matches.contains(text[$0]) }.map { $0 + 1 })
            case .sequence(let nodes):
                return nodes.reduce(starts) { ends(of: $1, from: $0) }
            case .choice(let nodes):
                return nodes.reduce(into: []) { $0.formUnion(ends(of: $1, from: starts)) }
            case .repeated(let node, let minimum, let maximum):
                return repeatedEnds(of: node, from: starts, minimum, maximum)
            case .lookAhead(let node, let negated):
                return starts.filter { ends(of: node, from: [$0]).isEmpty == negated }
            case .start:
                return starts.contains(0) ? [0] : []
            case .end:
                return starts.intersection([text.count])
            case .wordBoundary(let negated):
                return starts.filter { (isWord($0 - 1) != isWord($0)) != negated }
            }
        }

        private func repeatedEnds(
            of node: Node, from starts: Set<Int>, _ minimum: Int, _ maximum: Int?
        ) -> Set<Int> {
            var current = starts
            for _ in 0..<minimum { current = ends(of: node, from: current) }
            var reached = current
            var rounds = minimum
            while !current.isEmpty, rounds < maximum ?? .max {
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

/// A pattern that is not understood.
package struct ModulePatternError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

private struct PatternParser {
    private let text: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    typealias Node = ModulePattern.Node
    typealias Matches = ModulePattern.Matches

    init(_ pattern: String) { text = Array(pattern.unicodeScalars) }

    mutating func parse() throws(ModulePatternError) -> Node {
        let node = try choice()
        guard position == text.count else { throw ModulePatternError("an unopened )") }
        return node
    }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take() -> Unicode.Scalar? {
        defer { position += 1 }
        return next
    }

    private mutating func skip(_ literal: String) -> Bool {
        let scalars = Array(literal.unicodeScalars)
        guard text[position...].starts(with: scalars) else { return false }
        position += scalars.count
        return true
    }

    private mutating func choice() throws(ModulePatternError) -> Node {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 32 else { throw ModulePatternError("nested too deep") }
        var branches = [try sequence()]
        while skip("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence() throws(ModulePatternError) -> Node {
        var nodes: [Node] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            nodes.append(try quantified(try atom()))
        }
        return .sequence(nodes)
    }

    private mutating func quantified(_ atom: Node) throws(ModulePatternError) -> Node {
        var node = atom
        while let (minimum, maximum) = try quantifier() {
            node = .repeated(node, minimum: minimum, maximum: maximum)
            // Laziness changes what a group captures, not whether the whole matches.
            _ = skip("?")
            guard next != "+" else { throw ModulePatternError("possessive quantifiers") }
        }
        return node
    }

    private mutating func quantifier() throws(ModulePatternError) -> (Int, Int?)? {
        switch next {
        case "*": position += 1; return (0, nil)
        case "+": position += 1; return (1, nil)
        case "?": position += 1; return (0, 1)
        case "{":
            guard let close = text[position...].firstIndex(of: "}") else { return nil }
            let body = String(String.UnicodeScalarView(text[position + 1..<close]))
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

    private mutating func atom() throws(ModulePatternError) -> Node {
        guard let scalar = take() else { throw ModulePatternError("an early end") }
        switch scalar {
        case ".": return .scalar(.anyButNewline)
        case "^": return .start
        case "$": return .end
        case "(": return try group()
        case "[": return .scalar(try characterClass())
        case "\\": return try escape()
        case "*", "+", "?": throw ModulePatternError("nothing to repeat")
        default: return .scalar(Matches(ranges: [scalar.value...scalar.value]))
        }
    }

    private mutating func group() throws(ModulePatternError) -> Node {
        var wrap: (Node) -> Node = { $0 }
        if skip("?") {
            if skip("=") {
                wrap = { .lookAhead($0, negated: false) }
            } else if skip("!") {
                wrap = { .lookAhead($0, negated: true) }
            } else if skip("P<") {
                while let scalar = take(), scalar != ">" {}
            } else if !skip(":") {
                throw ModulePatternError("look-behind, back references and flags")
            }
        }
        let node = try choice()
        guard skip(")") else { throw ModulePatternError("an unclosed (") }
        return wrap(node)
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
