/// Reads tokens into statements, by Jinja's grammar.
struct Parser {
    let tokens: [Token]
    var position = 0
    var depth = 0
    /// Loops around what is read.
    var loopCount = 0

    static let depthLimit = 200
    /// Links of one chain: operators, filters, attributes. Each makes the tree one level higher, and
    /// jinja2 refuses more than about as many.
    static let chainLimit = 200

    init(_ source: String) throws(TemplateError) { tokens = try Lexer.tokens(of: source) }

    static func parse(
        _ source: String
    ) throws(TemplateError) -> (statements: [Statement], words: Set<String>) {
        var parser = try Parser(source)
        let statements = try parser.statements(until: [])
        guard parser.token.kind == .end else {
            throw parser.fail("an end tag without its beginning")
        }
        let words = parser.tokens.compactMap { token -> String? in
            switch token.kind {
            case .name(let word), .string(let word): word
            default: nil
            }
        }
        return (statements, Set(words))
    }

    var token: Token { tokens[position] }

    func fail(_ message: String) -> TemplateError {
        TemplateError(.syntax, message, line: token.line)
    }

    mutating func skip(_ symbol: String) -> Bool {
        guard token.kind == .symbol(symbol) else { return false }
        position += 1
        return true
    }

    mutating func skip(word: String) -> Bool {
        guard token.kind == .name(word) else { return false }
        position += 1
        return true
    }

    mutating func expect(_ symbol: String) throws(TemplateError) {
        guard skip(symbol) else { throw fail("expected \(symbol)") }
    }

    mutating func expect(_ kind: Token.Kind, _ what: String) throws(TemplateError) {
        guard token.kind == kind else { throw fail("expected \(what)") }
        position += 1
    }

    mutating func name() throws(TemplateError) -> String {
        guard case .name(let name) = token.kind else { throw fail("expected a name") }
        position += 1
        return name
    }

    /// Counts a link of a chain.
    func link(_ count: inout Int) throws(TemplateError) {
        count += 1
        guard count <= Parser.chainLimit else { throw fail("a chain that is too long") }
    }

    // MARK: Statements

    /// Statements up to a tag that begins with one of the words, which is left to be read.
    mutating func statements(until ends: Set<String>) throws(TemplateError) -> [Statement] {
        depth += 1
        defer { depth -= 1 }
        guard depth < Parser.depthLimit else { throw fail("nested too deep") }
        var statements: [Statement] = []
        while true {
            let line = token.line
            switch token.kind {
            case .text(let text):
                position += 1
                statements.append(.text(text))
            case .expressionStart:
                position += 1
                let value = try tuple()
                try expect(.expressionEnd, "}}")
                statements.append(.located(line, .output(value)))
            case .statementStart:
                guard case .name(let word) = tokens[position + 1].kind else {
                    throw fail("expected a statement")
                }
                if ends.contains(word) { return statements }
                position += 2
                statements.append(.located(line, try statement(word)))
            default: return statements
            }
        }
    }

    mutating func closeTag() throws(TemplateError) { try expect(.statementEnd, "%}") }

    /// A body and the end tag with one of these words, which is read up to its arguments.
    mutating func body(until ends: Set<String>) throws(TemplateError) -> (
        [Statement], String
    ) {
        let statements = try statements(until: ends)
        guard token.kind == .statementStart, case .name(let word) = tokens[position + 1].kind,
            ends.contains(word)
        else { throw fail("expected \(ends.sorted().joined(separator: " or "))") }
        position += 2
        return (statements, word)
    }

    mutating func simpleBody(until end: String) throws(TemplateError) -> [Statement] {
        try closeTag()
        let (statements, _) = try body(until: [end])
        try closeTag()
        return statements
    }

    mutating func statement(_ word: String) throws(TemplateError) -> Statement {
        switch word {
        case "if": return try conditional()
        case "for": return try loop()
        case "set": return try set()
        case "macro": return try macro()
        case "call":
            let start = position
            let parameters = token.kind == .symbol("(") ? try parameters() : []
            let call = try expression()
            guard case .located(_, .call(let callee, let arguments)) = call else {
                throw fail("expected a call")
            }
            let body = try ofMacro { (parser) throws(TemplateError) in
                try parser.simpleBody(until: "endcall")
            }
            return .call(callee, arguments, caller: macro("caller", parameters, body, from: start))
        case "filter":
            var filter = Expression.name("")
            repeat { filter = try filterCall(on: filter) } while skip("|")
            return .filter(filter, body: try simpleBody(until: "endfilter"))
        case "with": return try with()
        case "generation": return .group(try simpleBody(until: "endgeneration"))
        case "break", "continue":
            guard loopCount > 0 else { throw fail("\(word) outside of a loop") }
            try closeTag()
            return word == "break" ? .breakLoop : .continueLoop
        default: throw fail("the statement \(word) is not supported")
        }
    }

    /// Values are computed where the statement stands; the names count in its body alone.
    mutating func with() throws(TemplateError) -> Statement {
        var bindings: [(name: String, value: Expression)] = []
        while token.kind != .statementEnd {
            let name = try name()
            try expect("=")
            bindings.append((name, try expression()))
            if !skip(",") { break }
        }
        return .with(bindings, body: try simpleBody(until: "endwith"))
    }

    mutating func conditional() throws(TemplateError) -> Statement {
        var branches: [(condition: Expression, body: [Statement])] = []
        var otherwise: [Statement] = []
        var condition = try tuple()
        while true {
            try closeTag()
            let (body, end) = try body(until: ["elif", "else", "endif"])
            branches.append((condition, body))
            if end == "elif" {
                condition = try tuple()
                continue
            }
            if end == "else" { otherwise = try simpleBody(until: "endif") } else { try closeTag() }
            return .conditional(branches, otherwise: otherwise)
        }
    }

    mutating func target() throws(TemplateError) -> Statement.Target {
        let isParenthesized = skip("(")
        func free(_ name: String) throws(TemplateError) -> String {
            guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
                throw fail("\(name) cannot be assigned to")
            }
            return name
        }
        let first = try free(try name())
        if skip(".") { return .attribute(first, try name()) }
        var names = [first]
        while skip(",") { names.append(try free(try name())) }
        if isParenthesized { try expect(")") }
        return names.count == 1 ? .name(first) : .names(names)
    }

    mutating func loop() throws(TemplateError) -> Statement {
        let target = try target()
        guard skip(word: "in") else { throw fail("expected in") }
        let iterable = try tuple(allowsConditional: false)
        let condition = skip(word: "if") ? try expression() : nil
        let isRecursive = skip(word: "recursive")
        try closeTag()
        loopCount += 1
        let (body, end) = try body(until: ["else", "endfor"])
        loopCount -= 1
        var otherwise: [Statement] = []
        if end == "else" { otherwise = try simpleBody(until: "endfor") } else { try closeTag() }
        return .loop(
            Statement.Loop(
                target: target, iterable: iterable, condition: condition, body: body,
                otherwise: otherwise, isRecursive: isRecursive))
    }

    mutating func set() throws(TemplateError) -> Statement {
        let target = try target()
        if skip("=") {
            let value = try tuple()
            try closeTag()
            return .set(target, value)
        }
        return .setBlock(target, try simpleBody(until: "endset"))
    }

    mutating func macro() throws(TemplateError) -> Statement {
        let start = position
        let name = try name()
        let parameters = try parameters()
        let body = try ofMacro { (parser) throws(TemplateError) in
            try parser.simpleBody(until: "endmacro")
        }
        return .macro(macro(name, parameters, body, from: start))
    }

    /// - Parameter start: of the tokens that are read for it.
    private func macro(
        _ name: String, _ parameters: [(name: String, fallback: Expression?)], _ body: [Statement],
        from start: Int
    ) -> Statement.Macro {
        var macro = Statement.Macro(name: name, parameters: parameters, body: body)
        let tokens = tokens[start..<position]
        macro.usesVarargs = tokens.contains { $0.kind == .name("varargs") }
        macro.usesKwargs = tokens.contains { $0.kind == .name("kwargs") }
        macro.usesCaller = tokens.contains { $0.kind == .name("caller") }
        return macro
    }

    /// Loops around a macro are not its own.
    private mutating func ofMacro<Result>(
        _ body: (inout Parser) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        let before = loopCount
        loopCount = 0
        defer { loopCount = before }
        return try body(&self)
    }

    private mutating func parameters() throws(TemplateError) -> [(
        name: String, fallback: Expression?
    )] {
        var parameters: [(name: String, fallback: Expression?)] = []
        try expect("(")
        while !skip(")") {
            let parameter = try self.name()
            let fallback = skip("=") ? try expression() : nil
            guard !parameters.contains(where: { $0.name == parameter }),
                fallback != nil || parameters.last?.fallback == nil
            else { throw fail("the parameter \(parameter) stands twice, or lacks a default") }
            parameters.append((parameter, fallback))
            if !skip(",") {
                try expect(")")
                break
            }
        }
        return parameters
    }
}
