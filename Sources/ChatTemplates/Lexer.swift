internal import JSONTree

/// What a template's text consists of.
struct Token: Equatable {
    enum Kind: Equatable {
        case text(String)
        case expressionStart, expressionEnd
        case statementStart, statementEnd
        case name(String)
        case string(String)
        case integer(Int)
        case number(Double)
        case symbol(String)
        case end
    }

    var kind: Kind
    var line: Int
}

/// Splits a template into tokens with Jinja's white space rules as transformers sets them:
/// `trim_blocks` (a newline after a statement is dropped), `lstrip_blocks` (so is the space before
/// one at the start of a line), and no newline at the template's end.
struct Lexer {
    private let source: [Unicode.Scalar]
    private var position = 0
    private var line = 1
    private var tokens: [Token] = []
    /// Set after a tag that ends with `-`, or a statement, for the text that follows.
    private var trimsAllSpace = false
    private var trimsNewline = false

    init(_ text: String) {
        var scalars: [Unicode.Scalar] = []
        var isAfterReturn = false
        for scalar in text.unicodeScalars {
            // Every kind of line end becomes one newline.
            if scalar != "\n" || !isAfterReturn { scalars.append(scalar == "\r" ? "\n" : scalar) }
            isAfterReturn = scalar == "\r"
        }
        if scalars.last == "\n" { scalars.removeLast() }
        source = scalars
    }

    static func tokens(of text: String) throws(TemplateError) -> [Token] {
        var lexer = Lexer(text)
        try lexer.run()
        return lexer.tokens
    }

    private mutating func run() throws(TemplateError) {
        while position < source.count {
            let start = position
            while position < source.count, !isTagStart { position += 1 }
            try addText(start..<position)
            guard position < source.count else { break }
            switch source[position + 1] {
            case "#": try skipComment()
            case "{": try lexTag(.expressionStart, .expressionEnd, closing: "}")
            default: try lexTag(.statementStart, .statementEnd, closing: "%")
            }
        }
        tokens.append(Token(kind: .end, line: line))
    }

    private var isTagStart: Bool {
        guard source[position] == "{", position + 1 < source.count else { return false }
        return ["{", "%", "#"].contains(source[position + 1])
    }

    private func fail(_ message: String) -> TemplateError {
        TemplateError(.syntax, message, line: line)
    }

    private func at(_ offset: Int) -> Unicode.Scalar? {
        position + offset < source.count ? source[position + offset] : nil
    }

    // MARK: Text between tags

    private mutating func addText(_ range: Range<Int>) throws(TemplateError) {
        var text = source[range]
        line += text.count { $0 == "\n" }
        if trimsAllSpace {
            text = text.drop(while: Strings.isSpace)
        } else if trimsNewline, text.first == "\n" {
            text = text.dropFirst()
        }
        (trimsAllSpace, trimsNewline) = (false, false)
        if position < source.count {
            let isStatement = source[position + 1] != "{"
            if at(2) == "-" {
                while let last = text.last, Strings.isSpace(last) { text.removeLast() }
            } else if isStatement, at(2) != "+" {
                stripLineStart(&text)
            }
        }
        guard !text.isEmpty else { return }
        tokens.append(Token(kind: .text(String(String.UnicodeScalarView(text))), line: line))
    }

    /// Drops blanks that stand alone before a statement on its line.
    private func stripLineStart(_ text: inout ArraySlice<Unicode.Scalar>) {
        var rest = text
        while let last = rest.last, last != "\n", Strings.isSpace(last) { rest.removeLast() }
        let startsLine =
            rest.isEmpty
            ? text.startIndex == 0 || source[text.startIndex - 1] == "\n" : rest.last == "\n"
        if startsLine { text = rest }
    }

    private mutating func skipComment() throws(TemplateError) {
        position += 2
        while let scalar = at(0), !(scalar == "#" && at(1) == "}") {
            if scalar == "\n" { line += 1 }
            position += 1
        }
        guard at(0) != nil else { throw fail("an open comment") }
        trimsAllSpace = source[position - 1] == "-"
        trimsNewline = source[position - 1] != "+"
        position += 2
    }

    // MARK: Tags

    private mutating func lexTag(
        _ start: Token.Kind, _ end: Token.Kind, closing: Unicode.Scalar
    ) throws(TemplateError) {
        tokens.append(Token(kind: start, line: line))
        position += 2
        if at(0) == "-" || at(0) == "+" { position += 1 }
        if end == .statementEnd, let body = try rawBody() {
            tokens.removeLast()
            tokens.append(Token(kind: .text(body), line: line))
            return
        }
        var depth = 0
        while let scalar = at(0) {
            if depth == 0 {
                let dash = scalar == "-" || scalar == "+" ? 1 : 0
                if at(dash) == closing, at(dash + 1) == "}" {
                    trimsAllSpace = scalar == "-"
                    trimsNewline = closing == "%" && scalar != "+"
                    position += dash + 2
                    tokens.append(Token(kind: end, line: line))
                    return
                }
            }
            if let kind = try lexPart() {
                if case .symbol(let symbol) = kind {
                    if ["(", "[", "{"].contains(symbol) { depth += 1 }
                    if [")", "]", "}"].contains(symbol) { depth = max(0, depth - 1) }
                }
                tokens.append(Token(kind: kind, line: line))
            }
        }
        throw fail("an open tag")
    }

    /// The text of `{% raw %}…{% endraw %}`, when this is one.
    private mutating func rawBody() throws(TemplateError) -> String? {
        guard let start = rawTag("raw", at: position) else { return nil }
        var end = start.end
        while end + 1 < source.count {
            let sign = end + 2 < source.count ? source[end + 2] : " "
            let isSigned = sign == "-" || sign == "+"
            if source[end] == "{", source[end + 1] == "%",
                let tag = rawTag("endraw", at: end + (isSigned ? 3 : 2))
            {
                var body = source[start.end..<end]
                if start.sign == "-" { body = body.drop(while: Strings.isSpace) }
                if sign == "-" {
                    while let last = body.last, Strings.isSpace(last) { body.removeLast() }
                } else if sign != "+" {
                    stripLineStart(&body)
                }
                line += source[position..<tag.end].count { $0 == "\n" }
                position = tag.end
                trimsAllSpace = tag.sign == "-"
                trimsNewline = tag.sign != "+"
                return String(String.UnicodeScalarView(body))
            }
            end += 1
        }
        throw fail("raw without endraw")
    }

    /// Where a tag of one word ends, and the sign before its end.
    private func rawTag(
        _ word: String, at start: Int
    ) -> (end: Int, sign: Unicode.Scalar?)? {
        var index = start
        func skipSpace() {
            while index < source.count, Strings.isSpace(source[index]) { index += 1 }
        }
        skipSpace()
        for scalar in word.unicodeScalars {
            guard index < source.count, source[index] == scalar else { return nil }
            index += 1
        }
        skipSpace()
        var sign: Unicode.Scalar?
        if index < source.count, source[index] == "-" || source[index] == "+" {
            sign = source[index]
            index += 1
        }
        guard index + 1 < source.count, source[index] == "%", source[index + 1] == "}" else {
            return nil
        }
        return (index + 2, sign)
    }

    private static let symbols = [
        "==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")",
        "[", "]", "{", "}", ",", ":", ".", "|",
    ]

    private mutating func lexPart() throws(TemplateError) -> Token.Kind? {
        guard let scalar = at(0) else { return nil }
        if Strings.isSpace(scalar) {
            if scalar == "\n" { line += 1 }
            position += 1
            return nil
        }
        if scalar == "'" || scalar == "\"" { return .string(try lexString(scalar)) }
        if ("0"..."9").contains(scalar) { return try lexNumber() }
        if isNamePart(scalar) {
            let start = position
            while let scalar = at(0), isNamePart(scalar) { position += 1 }
            return .name(String(String.UnicodeScalarView(source[start..<position])))
        }
        for symbol in Lexer.symbols where source[position...].starts(with: symbol.unicodeScalars) {
            position += symbol.unicodeScalars.count
            return .symbol(symbol)
        }
        throw fail("unexpected \(scalar)")
    }

    private func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
    }

    private mutating func lexNumber() throws(TemplateError) -> Token.Kind {
        if at(0) == "0", let letter = at(1), let radix = Lexer.radixes[letter] {
            position += 2
            guard
                let value = Int(digits { Character($0).hexDigitValue ?? 16 < radix }, radix: radix)
            else { throw fail("a bad number") }
            return .integer(value)
        }
        func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
        var text = digits(isDigit)
        var isInteger = true
        if at(0) == ".", let next = at(1), isDigit(next) {
            isInteger = false
            position += 1
            text += "." + digits(isDigit)
        }
        if at(0) == "e" || at(0) == "E" {
            let sign = at(1) == "+" || at(1) == "-" ? 1 : 0
            if let next = at(1 + sign), isDigit(next) {
                isInteger = false
                text += sign == 1 && at(1) == "-" ? "e-" : "e"
                position += 1 + sign
                text += digits(isDigit)
            }
        }
        if isInteger {
            guard text.first != "0" || text.allSatisfy({ $0 == "0" }), let value = Int(text) else {
                throw fail("a bad number, or one of more than 64 bits")
            }
            return .integer(value)
        }
        guard let value = Double(text) else { throw fail("a bad number") }
        return .number(value)
    }

    private static let radixes: [Unicode.Scalar: Int] = [
        "x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2,
    ]

    /// Digits, with single `_` between them.
    private mutating func digits(_ isDigit: (Unicode.Scalar) -> Bool) -> String {
        var text = String.UnicodeScalarView()
        while let scalar = at(0) {
            if isDigit(scalar) {
                text.append(scalar)
            } else {
                guard scalar == "_", let next = at(1), isDigit(next) else { break }
            }
            position += 1
        }
        return String(text)
    }

    private mutating func lexString(_ quote: Unicode.Scalar) throws(TemplateError) -> String {
        position += 1
        var text = String.UnicodeScalarView()
        while let scalar = at(0), scalar != quote {
            position += 1
            if scalar == "\n" { line += 1 }
            guard scalar == "\\" else {
                text.append(scalar)
                continue
            }
            guard let escaped = at(0) else { break }
            position += 1
            switch escaped {
            case "n": text.append("\n")
            case "t": text.append("\t")
            case "r": text.append("\r")
            case "\\", "'", "\"": text.append(escaped)
            case "a": text.append("\u{07}")
            case "b": text.append("\u{08}")
            case "f": text.append("\u{0C}")
            case "v": text.append("\u{0B}")
            case "\n": line += 1
            case "0"..."7":
                var value = escaped.value - 0x30
                for _ in 0..<2 {
                    guard let next = at(0), ("0"..."7").contains(next) else { break }
                    value = value * 8 + next.value - 0x30
                    position += 1
                }
                if let scalar = Unicode.Scalar(value) { text.append(scalar) }
            case "N": throw fail("characters by their names are not supported")
            case "u", "x", "U":
                let length = escaped == "u" ? 4 : escaped == "x" ? 2 : 8
                let digits = (0..<length).compactMap { at($0) }
                guard let value = UInt32(String(String.UnicodeScalarView(digits)), radix: 16),
                    let scalar = Unicode.Scalar(value), digits.count == length
                else { throw fail("a bad escape") }
                text.append(scalar)
                position += length
            default:
                text.append("\\")
                text.append(escaped)
            }
        }
        guard at(0) != nil else { throw fail("an open string") }
        position += 1
        let result = String(text)
        guard !result.hasTooManyMarks else { throw fail("a text with \(String.tooManyMarks)") }
        return result
    }
}
