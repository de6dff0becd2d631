/// Reads GBNF, llama.cpp's notation of grammars: `root ::= "a" [b-z]* | rule{2,3}`.
///
/// <https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md>
struct NotationParser {
    private indirect enum Expression {
        case literal(String)
        /// A special token by its text.
        case token(String)
        case set(CharacterRanges)
        case reference(String)
        case sequence([Expression])
        case either([Expression])
        case repeated(Expression, Int, Int?)
    }

    private let scalars: [Unicode.Scalar]
    private var place = 0
    private var depth = 0
    private var rules: [String: Expression] = [:]
    private static let mostBytes = 64 << 10
    private static let mostDepth = 64

    static func parse(
        _ text: String, into parts: inout GrammarParts, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> Int {
        guard text.utf8.count <= mostBytes else {
            throw GrammarError(.tooComplex, "the grammar is longer than \(mostBytes) bytes")
        }
        var parser = NotationParser(scalars: Array(text.unicodeScalars))
        try parser.readRules()
        guard parser.rules["root"] != nil else {
            throw GrammarError(.malformed, "the grammar has no rule named root")
        }
        var builder = Builder(rules: parser.rules)
        return try builder.rule("root", &parts, &languages, depth: 0)
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private var next: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

    private func malformed(_ why: String) -> GrammarError {
        let line = scalars[..<min(place, scalars.count)].filter { $0 == "\n" }.count + 1
        return GrammarError(.malformed, "\(why) (line \(line) of the grammar)")
    }

    /// - Parameter crossesLines: whether line ends are space here.
    private mutating func skipSpace(crossesLines: Bool) {
        while let scalar = next {
            if scalar == "#" {
                while let scalar = next, scalar != "\n" { _ = scalar; place += 1 }
            } else if scalar == " " || scalar == "\t"
                || crossesLines && (scalar == "\n" || scalar == "\r")
            {
                place += 1
            } else {
                return
            }
        }
    }

    private mutating func take(_ text: String) -> Bool {
        guard scalars[place...].starts(with: text.unicodeScalars) else { return false }
        place += text.unicodeScalars.count
        return true
    }

    // MARK: Rules

    private mutating func readRules() throws(GrammarError) {
        while true {
            skipSpace(crossesLines: true)
            guard next != nil else { return }
            let name = try self.name()
            skipSpace(crossesLines: true)
            guard take("::=") else { throw malformed("::= is missing behind \(name)") }
            skipSpace(crossesLines: true)
            let body = try alternatives(isNested: false)
            guard rules.updateValue(body, forKey: name) == nil else {
                throw malformed("the rule \(name) is there twice")
            }
            skipSpace(crossesLines: false)
            guard next == nil || next == "\n" || next == "\r" else {
                throw malformed("\"\(String(next ?? " "))\" is not expected")
            }
        }
    }

    private mutating func name() throws(GrammarError) -> String {
        var name = ""
        while let scalar = next, Self.isNamePart(scalar) {
            name.unicodeScalars.append(scalar)
            place += 1
        }
        guard !name.isEmpty else { throw malformed("a rule's name is missing") }
        return name
    }

    private static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "-", "_": true
        default: false
        }
    }

    private mutating func alternatives(isNested: Bool) throws(GrammarError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.mostDepth else {
            throw GrammarError(.tooComplex, "the grammar is nested too deeply")
        }
        var all = [try sequence(isNested: isNested)]
        while true {
            skipSpace(crossesLines: isNested)
            // An alternative may stand on a line of its own.
            let before = place
            skipSpace(crossesLines: true)
            guard take("|") else {
                if !isNested { place = before }
                break
            }
            skipSpace(crossesLines: true)
            all.append(try sequence(isNested: isNested))
        }
        return all.count == 1 ? all[0] : .either(all)
    }

    private mutating func sequence(isNested: Bool) throws(GrammarError) -> Expression {
        var all: [Expression] = []
        while true {
            skipSpace(crossesLines: isNested)
            guard let scalar = next, let item = try item(scalar) else { break }
            all.append(try repetition(of: item))
        }
        return .sequence(all)
    }

    private mutating func item(_ scalar: Unicode.Scalar) throws(GrammarError) -> Expression? {
        switch scalar {
        case "\"": return .literal(try quoted())
        case "[": return .set(try characterSet())
        case ".":
            place += 1
            return .set(.all)
        case "(":
            place += 1
            let inner = try alternatives(isNested: true)
            skipSpace(crossesLines: true)
            guard take(")") else { throw malformed(") is missing") }
            return inner
        case "<": return .token(try token())
        case "!":
            throw GrammarError(.unsupported, "tokens that are excluded by ! are not supported")
        default:
            return Self.isNamePart(scalar) ? .reference(try name()) : nil
        }
    }

    private mutating func token() throws(GrammarError) -> String {
        guard scalars.count > place + 1, scalars[place + 1] != "[" else {
            throw GrammarError(.unsupported, "tokens by their number are not supported")
        }
        var text = ""
        while let scalar = next {
            guard scalar != "\n" else { break }
            text.unicodeScalars.append(scalar)
            place += 1
            if scalar == ">" { return text }
        }
        throw malformed("> is missing")
    }

    private mutating func repetition(of item: Expression) throws(GrammarError) -> Expression {
        var item = item
        while true {
            if take("*") {
                item = .repeated(item, 0, nil)
            } else if take("+") {
                item = .repeated(item, 1, nil)
            } else if take("?") {
                item = .repeated(item, 0, 1)
            } else if take("{") {
                let least = try number() ?? 0
                var most: Int? = least
                skipSpace(crossesLines: true)
                if take(",") {
                    skipSpace(crossesLines: true)
                    most = try number()
                    skipSpace(crossesLines: true)
                }
                guard take("}") else { throw malformed("} is missing") }
                guard least <= most ?? .max else {
                    throw malformed("{\(least),\(most ?? 0)} allows nothing")
                }
                item = .repeated(item, least, most)
            } else {
                return item
            }
        }
    }

    private mutating func number() throws(GrammarError) -> Int? {
        var digits = ""
        while let scalar = next, ("0"..."9").contains(scalar) {
            digits.unicodeScalars.append(scalar)
            place += 1
        }
        guard !digits.isEmpty else { return nil }
        guard digits.utf8.count <= 6, let number = Int(digits) else {
            throw GrammarError(.tooComplex, "{\(digits.prefix(20))} is too many")
        }
        return number
    }

    // MARK: Characters

    private mutating func quoted() throws(GrammarError) -> String {
        place += 1
        var text = ""
        while let scalar = next, scalar != "\n" {
            if scalar == "\"" {
                place += 1
                return text
            }
            text.unicodeScalars.append(try character())
        }
        throw malformed("\" is missing")
    }

    private mutating func characterSet() throws(GrammarError) -> CharacterRanges {
        place += 1
        let isInverted = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while let scalar = next {
            if scalar == "]" {
                place += 1
                let set = CharacterRanges(ranges)
                return isInverted ? set.inverted : set
            }
            let first = try character()
            var last = first
            if next == "-", place + 1 < scalars.count, scalars[place + 1] != "]" {
                place += 1
                last = try character()
            }
            guard first.value <= last.value else { throw malformed("a range is backwards") }
            ranges.append(first.value...last.value)
        }
        throw malformed("] is missing")
    }

    private mutating func character() throws(GrammarError) -> Unicode.Scalar {
        guard let scalar = next else { throw malformed("a character is missing") }
        place += 1
        guard scalar == "\\" else { return scalar }
        guard let escape = next else { throw malformed("an escape is cut off") }
        place += 1
        switch escape {
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "\\", "\"", "[", "]", "-", "^", "'": return escape
        case "x": return try hexadecimal(2)
        case "u": return try hexadecimal(4)
        case "U": return try hexadecimal(8)
        default: throw malformed("\\\(String(escape)) is no escape")
        }
    }

    private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> Unicode.Scalar {
        guard place + count <= scalars.count else { throw malformed("an escape is cut off") }
        var text = ""
        text.unicodeScalars.append(contentsOf: scalars[place..<place + count])
        guard text.unicodeScalars.allSatisfy(\.properties.isASCIIHexDigit),
            let value = UInt32(text, radix: 16), let scalar = Unicode.Scalar(value)
        else { throw malformed("\(text) is no character") }
        place += count
        return scalar
    }

    // MARK: Parts

    /// Makes parts of rules, each once. A rule that does not lead back to itself is put where it is named.
    private struct Builder {
        let rules: [String: Expression]
        private var built: [String: Int] = [:]
        /// Rules on the way, and the parts that stand for them where they are named there.
        private var open: [String: Int?] = [:]
        private static let mostDepth = 500

        init(rules: [String: Expression]) { self.rules = rules }

        mutating func rule(
            _ name: String, _ parts: inout GrammarParts, _ languages: inout RegularLanguages,
            depth: Int
        ) throws(GrammarError) -> Int {
            if let known = built[name] { return known }
            if let place = open[name] {
                if let place { return place }
                let reserved = try parts.reserve()
                open[name] = .some(reserved)
                return reserved
            }
            guard let expression = rules[name] else {
                throw GrammarError(.malformed, "the grammar has no rule named \(name.prefix(100))")
            }
            open[name] = .some(nil)
            let part = try add(expression, &parts, &languages, depth: depth + 1)
            if let reserved = open[name] ?? nil { parts.set(reserved, to: part) }
            open[name] = nil
            built[name] = part
            return part
        }

        private mutating func add(
            _ expression: Expression, _ parts: inout GrammarParts,
            _ languages: inout RegularLanguages, depth: Int
        ) throws(GrammarError) -> Int {
            guard depth <= Self.mostDepth else {
                throw GrammarError(.tooComplex, "the grammar is nested too deeply")
            }
            switch expression {
            case .literal(let text): return try parts.add(.language(languages.literal(text.utf8)))
            case .token(let text): return try parts.add(.marker(text), &languages)
            case .set(let set):
                return try parts.add(.language(languages.character(set, .text)))
            case .reference(let name): return try rule(name, &parts, &languages, depth: depth)
            case .sequence(let all):
                var built: [Int] = []
                for one in all { built.append(try add(one, &parts, &languages, depth: depth + 1)) }
                return try parts.sequence(built, &languages)
            case .either(let all):
                var built: [Int] = []
                for one in all { built.append(try add(one, &parts, &languages, depth: depth + 1)) }
                return try parts.either(built, &languages)
            case .repeated(let item, let least, let most):
                let item = try add(item, &parts, &languages, depth: depth + 1)
                let nothing = try parts.add(.language(RegularLanguages.empty))
                return try parts.repeated(
                    item, between: nothing, least: least, most: most, &languages)
            }
        }
    }
}
