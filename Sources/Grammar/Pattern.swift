/// A regular expression as ECMAScript and JSON Schema have it, without what is not regular.
indirect enum Pattern: Hashable, Sendable {
    case characters(CharacterRanges)
    case sequence([Pattern])
    case either([Pattern])
    case repeated(Pattern, Int, Int?)
    /// ^ and $.
    case start
    case end
    /// What follows must, or must not, begin so.
    case look(Pattern, isPositive: Bool)

    static let any = Pattern.repeated(.characters(.all), 0, nil)
}

/// Reads a regular expression.
struct PatternParser {
    private let scalars: [Unicode.Scalar]
    private var place = 0
    private var depth = 0
    private static let mostDepth = 100
    private static let mostBytes = 16 << 10
    private static let mostRepeats = 10_000

    static func parse(_ text: String) throws(GrammarError) -> Pattern {
        guard text.utf8.count <= mostBytes else {
            throw GrammarError(.tooComplex, "a pattern has at most \(mostBytes) bytes")
        }
        var parser = PatternParser(scalars: Array(text.unicodeScalars))
        let pattern = try parser.alternatives()
        guard parser.place == parser.scalars.count else {
            throw parser.malformed("unmatched )")
        }
        return pattern
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private func malformed(_ what: String) -> GrammarError {
        GrammarError(.malformed, "the pattern is malformed: \(what) at character \(place + 1)")
    }

    private func unsupported(_ what: String) -> GrammarError {
        GrammarError(.unsupported, "patterns with \(what) are not supported")
    }

    private var next: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

    private mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard place + wanted.count <= scalars.count,
            scalars[place..<place + wanted.count].elementsEqual(wanted)
        else { return false }
        place += wanted.count
        return true
    }

    private mutating func alternatives() throws(GrammarError) -> Pattern {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.mostDepth else {
            throw GrammarError(.tooComplex, "the pattern is nested too deeply")
        }
        var parts = [try sequence()]
        while take("|") { parts.append(try sequence()) }
        return parts.count == 1 ? parts[0] : .either(parts)
    }

    private mutating func sequence() throws(GrammarError) -> Pattern {
        var parts: [Pattern] = []
        while let next, next != "|", next != ")" {
            let atom = try atom()
            parts.append(try repeated(atom))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func repeated(_ atom: Pattern) throws(GrammarError) -> Pattern {
        let bounds: (Int, Int?)
        switch next {
        case "*": bounds = (0, nil)
        case "+": bounds = (1, nil)
        case "?": bounds = (0, 1)
        case "{":
            guard let counted = try counts() else { return atom }
            bounds = counted
            place -= 1
        default: return atom
        }
        place += 1
        // Lazy quantifiers have the same language.
        if next == "?" {
            place += 1
        } else if next == "+" {
            throw unsupported("possessive quantifiers")
        }
        if next == "*" || next == "?" { throw malformed("nothing to repeat") }
        switch atom {
        case .start, .end, .look: throw unsupported("repeated assertions")
        default: return .repeated(atom, bounds.0, bounds.1)
        }
    }

    /// {2}, {2,}, {2,5}, with the place behind it; nil when the brace is only a brace.
    private mutating func counts() throws(GrammarError) -> (Int, Int?)? {
        let start = place
        func fail(_ parser: inout PatternParser) -> (Int, Int?)? {
            parser.place = start
            return nil
        }
        place += 1
        guard let least = number() else { return fail(&self) }
        var most: Int? = least
        if take(",") { most = number() }
        guard take("}") else { return fail(&self) }
        guard least <= most ?? least else { throw malformed("numbers out of order") }
        guard max(least, most ?? 0) <= Self.mostRepeats else {
            throw GrammarError(.tooComplex, "patterns repeat at most \(Self.mostRepeats) times")
        }
        return (least, most)
    }

    private mutating func number() -> Int? {
        var digits = ""
        while let next, ("0"..."9").contains(next), digits.utf8.count < 9 {
            digits.unicodeScalars.append(next)
            place += 1
        }
        return Int(digits)
    }

    private mutating func atom() throws(GrammarError) -> Pattern {
        guard let next else { throw malformed("it ends early") }
        place += 1
        switch next {
        case ".": return .characters(CharacterRanges.lineEnds.inverted)
        case "^": return .start
        case "$": return .end
        case "(": return try group()
        case "[": return .characters(try characterClass())
        case "\\": return try escape()
        case "*", "+", "?":
            place -= 1
            throw malformed("nothing to repeat")
        default:
            if next == "{" {
                place -= 1
                if try counts() != nil { throw malformed("nothing to repeat") }
                place += 1
            }
            return .characters(CharacterRanges([next.value...next.value]))
        }
    }

    private mutating func group() throws(GrammarError) -> Pattern {
        var look: Bool?
        if take("?") {
            if take(":") {
            } else if take("=") {
                look = true
            } else if take("!") {
                look = false
            } else if take("<=") || take("<!") {
                throw unsupported("lookbehind")
            } else if take("<") || take("P<") {
                while let next, next != ">" {
                    guard next.properties.isAlphabetic || next == "_" || ("0"..."9").contains(next)
                    else { throw malformed("a group's name") }
                    place += 1
                }
                guard take(">") else { throw malformed("a group's name") }
            } else {
                throw unsupported("flags and other groups that begin with (?")
            }
        }
        let inner = try alternatives()
        guard take(")") else { throw malformed("missing )") }
        guard let look else { return inner }
        return .look(inner, isPositive: look)
    }

    private mutating func escape() throws(GrammarError) -> Pattern {
        guard let next else { throw malformed("it ends with a backslash") }
        switch next {
        case "b", "B": throw unsupported("word boundaries (\\b)")
        case "1"..."9": throw unsupported("references to groups (\\\(next))")
        case "k": throw unsupported("references to groups (\\k)")
        case "A":
            place += 1
            return .start
        case "Z", "z":
            place += 1
            return .end
        default: return .characters(try escapedSet())
        }
    }

    /// Behind a backslash.
    private mutating func escapedSet() throws(GrammarError) -> CharacterRanges {
        guard let next else { throw malformed("it ends with a backslash") }
        place += 1
        func one(_ value: UInt32) -> CharacterRanges { CharacterRanges([value...value]) }
        switch next {
        case "d": return .digits
        case "D": return CharacterRanges.digits.inverted
        case "w": return .word
        case "W": return CharacterRanges.word.inverted
        case "s": return .space
        case "S": return CharacterRanges.space.inverted
        case "n": return one(0x0A)
        case "r": return one(0x0D)
        case "t": return one(0x09)
        case "f": return one(0x0C)
        case "v": return one(0x0B)
        case "0": return one(0)
        case "c":
            guard let letter = self.next, letter.isASCII, letter.properties.isAlphabetic else {
                throw malformed("\\c wants a letter")
            }
            place += 1
            return one(letter.value & 31)
        case "x": return one(try hexadecimal(2))
        case "u":
            if take("{") {
                let start = place
                while let digit = self.next, digit != "}" { _ = digit; place += 1 }
                let text = String(String.UnicodeScalarView(scalars[start..<place]))
                guard let value = UInt32(text, radix: 16), Unicode.Scalar(value) != nil, take("}")
                else { throw malformed("\\u{…}") }
                return one(value)
            }
            let value = try hexadecimal(4)
            if (0xD800...0xDBFF).contains(value), take("\\u") {
                let low = try hexadecimal(4)
                guard (0xDC00...0xDFFF).contains(low) else { throw malformed("a lone surrogate") }
                return one(0x10000 + (value - 0xD800) << 10 + (low - 0xDC00))
            }
            guard Unicode.Scalar(value) != nil else { throw unsupported("lone surrogates") }
            return one(value)
        case "p", "P":
            var name = ""
            if take("{") {
                while let letter = self.next, letter != "}" {
                    name.unicodeScalars.append(letter)
                    place += 1
                }
                guard take("}") else { throw malformed("\\p{…}") }
            } else if let letter = self.next {
                name.unicodeScalars.append(letter)
                place += 1
            }
            for prefix in ["General_Category=", "gc="] where name.hasPrefix(prefix) {
                name.removeFirst(prefix.count)
            }
            guard let set = CharacterRanges.category(name) else {
                throw unsupported("\\p{\(name)}")
            }
            return next == "p" ? set : set.inverted
        default:
            if next.isASCII, next.properties.isAlphabetic { throw malformed("\\\(next)") }
            return one(next.value)
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> UInt32 {
        guard place + count <= scalars.count else { throw malformed("a number in hexadecimal") }
        let text = String(String.UnicodeScalarView(scalars[place..<place + count]))
        guard text.utf8.count == count, text.allSatisfy(\.isHexDigit),
            let value = UInt32(text, radix: 16)
        else {
            throw malformed("a number in hexadecimal")
        }
        place += count
        return value
    }

    private mutating func characterClass() throws(GrammarError) -> CharacterRanges {
        let isInverted = take("^")
        var set = CharacterRanges([])
        while true {
            guard let next else { throw malformed("missing ]") }
            if next == "]" {
                place += 1
                break
            }
            let first = try classMember()
            guard self.next == "-", place + 1 < scalars.count, scalars[place + 1] != "]" else {
                set = set.union(first)
                continue
            }
            place += 1
            let second = try classMember()
            guard let low = first.single, let high = second.single else {
                // [\w-.]: a class does not begin a range, and the hyphen is one.
                set = set.union(first).union(second).union(CharacterRanges("-"))
                continue
            }
            guard low <= high else { throw malformed("a range out of order") }
            set = set.union(CharacterRanges([low...high]))
        }
        return isInverted ? set.inverted : set
    }

    private mutating func classMember() throws(GrammarError) -> CharacterRanges {
        guard let next else { throw malformed("missing ]") }
        place += 1
        guard next == "\\" else { return CharacterRanges([next.value...next.value]) }
        if take("b") { return CharacterRanges([0x08...0x08]) }
        if take("-") { return CharacterRanges("-") }
        return try escapedSet()
    }
}

extension CharacterRanges {
    fileprivate var single: UInt32? {
        guard ranges.count == 1, ranges[0].count == 1 else { return nil }
        return ranges[0].lowerBound
    }
}

// MARK: As a language

extension RegularLanguages {
    /// Strings in which the pattern is found somewhere, as JSON Schema means it; or which it is, when it must be the whole.
    mutating func matching(
        _ pattern: Pattern, _ encoding: Encoding, isWhole: Bool = false
    ) throws(GrammarError) -> ID {
        try language(pattern, encoding, atStart: true, atEnd: true, isOpen: !isWhole)
    }

    /// - Parameters:
    ///   - atStart, atEnd: nothing of the pattern stands before, or behind.
    ///   - isOpen: then the string may have more there, unless ^ or $ says no.
    private mutating func language(
        _ pattern: Pattern, _ encoding: Encoding, atStart: Bool, atEnd: Bool, isOpen: Bool
    ) throws(GrammarError) -> ID {
        switch pattern {
        case .either(let parts):
            var languages: [ID] = []
            for part in parts {
                languages.append(
                    try language(part, encoding, atStart: atStart, atEnd: atEnd, isOpen: isOpen))
            }
            return either(languages)
        case .sequence(let parts):
            return try sequence(
                parts[...], encoding, isSkipping: atStart && isOpen, isFirst: atStart,
                atEnd: atEnd, isOpen: isOpen)
        case .start, .end, .look:
            return try sequence(
                [pattern], encoding, isSkipping: atStart && isOpen, isFirst: atStart, atEnd: atEnd,
                isOpen: isOpen)
        case .characters(let set):
            return open(character(set, encoding), encoding, atStart && isOpen, atEnd && isOpen)
        case .repeated(let inner, let least, let most):
            guard !inner.hasAssertions else {
                throw GrammarError(
                    .unsupported, "patterns with repeated assertions are not supported")
            }
            let one = try language(inner, encoding, atStart: false, atEnd: false, isOpen: false)
            return open(
                repeated(one, least, most), encoding, atStart && isOpen, atEnd && isOpen)
        }
    }

    private mutating func open(
        _ language: ID, _ encoding: Encoding, _ before: Bool, _ behind: Bool
    ) -> ID {
        guard before || behind else { return language }
        let any = repeated(character(.all, encoding), 0, nil)
        return sequence([before ? any : Self.empty, language, behind ? any : Self.empty])
    }

    /// - Parameters:
    ///   - isSkipping: anything may stand before the sequence.
    ///   - isFirst: nothing of the pattern does, so that it may begin with ^.
    private mutating func sequence(
        _ parts: ArraySlice<Pattern>, _ encoding: Encoding, isSkipping: Bool, isFirst: Bool,
        atEnd: Bool, isOpen: Bool
    ) throws(GrammarError) -> ID {
        let any = repeated(character(.all, encoding), 0, nil)
        guard let first = parts.first else {
            return isOpen && (isSkipping || atEnd) ? any : Self.empty
        }
        let rest = parts.dropFirst()
        switch first {
        case .start:
            guard isFirst else {
                throw GrammarError(
                    .unsupported, "patterns with ^ behind something are not supported")
            }
            return try sequence(
                rest, encoding, isSkipping: false, isFirst: true, atEnd: atEnd, isOpen: isOpen)
        case .end:
            guard atEnd, rest.allSatisfy({ $0 == .end }) else {
                throw GrammarError(
                    .unsupported, "patterns with $ before something are not supported")
            }
            return isSkipping ? any : Self.empty
        case .look(let inner, let isPositive):
            guard atEnd else {
                throw GrammarError(
                    .unsupported, "patterns with lookahead inside a group are not supported")
            }
            // Where something may have been skipped no ^ may follow.
            let isFirst = isFirst && !isSkipping
            let wanted = try sequence(
                [inner], encoding, isSkipping: false, isFirst: isFirst, atEnd: true, isOpen: true)
            let behind = try sequence(
                rest, encoding, isSkipping: false, isFirst: isFirst, atEnd: atEnd, isOpen: isOpen)
            let found = both([isPositive ? wanted : not(wanted), behind])
            return isSkipping ? sequence(any, found) : found
        default:
            // Parts that may be anchors stand at the ends; a group at the start may hold some.
            let head = try language(
                first, encoding, atStart: isSkipping || isFirst && !isOpen,
                atEnd: atEnd && rest.isEmpty, isOpen: isOpen)
            guard !rest.isEmpty else { return head }
            let behind = try sequence(
                rest, encoding, isSkipping: false, isFirst: false, atEnd: atEnd, isOpen: isOpen)
            return sequence(head, behind)
        }
    }
}

extension Pattern {
    var hasAssertions: Bool {
        switch self {
        case .characters: false
        case .sequence(let parts), .either(let parts): parts.contains { $0.hasAssertions }
        case .repeated(let inner, _, _): inner.hasAssertions
        case .start, .end, .look: true
        }
    }
}
