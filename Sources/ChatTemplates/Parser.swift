/// Reads tokens into statements, by Jinja's grammar.
struct Parser {
    private let tokens: [Token]
    private var position = 0
    private var depth = 0

    private static let depthLimit = 200

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

    private var token: Token { tokens[position] }

    private func fail(_ message: String) -> TemplateError {
        TemplateError(.syntax, message, line: token.line)
    }

    private mutating func skip(_ symbol: String) -> Bool {
        guard token.kind == .symbol(symbol) else { return false }
        position += 1
        return true
    }

    private mutating func skip(word: String) -> Bool {
        guard token.kind == .name(word) else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ symbol: String) throws(TemplateError) {
        guard skip(symbol) else { throw fail("expected \(symbol)") }
    }

    private mutating func expect(_ kind: Token.Kind, _ what: String) throws(TemplateError) {
        guard token.kind == kind else { throw fail("expected \(what)") }
        position += 1
    }

    private mutating func name() throws(TemplateError) -> String {
        guard case .name(let name) = token.kind else { throw fail("expected a name") }
        position += 1
        return name
    }

    // MARK: Statements

    /// Statements up to a tag that begins with one of the words, which is left to be read.
    private mutating func statements(until ends: Set<String>) throws(TemplateError) -> [Statement] {
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

    private mutating func closeTag() throws(TemplateError) { try expect(.statementEnd, "%}") }

    /// A body and the end tag with one of these words, which is read up to its arguments.
    private mutating func body(until ends: Set<String>) throws(TemplateError) -> (
        [Statement], String
    ) {
        let statements = try statements(until: ends)
        guard token.kind == .statementStart, case .name(let word) = tokens[position + 1].kind,
            ends.contains(word)
        else { throw fail("expected \(ends.sorted().joined(separator: " or "))") }
        position += 2
        return (statements, word)
    }

    private mutating func simpleBody(until end: String) throws(TemplateError) -> [Statement] {
        try closeTag()
        let (statements, _) = try body(until: [end])
        if case .name = token.kind { position += 1 }  // endmacro may repeat the name
        try closeTag()
        return statements
    }

    private mutating func statement(_ word: String) throws(TemplateError) -> Statement {
        switch word {
        case "if": return try conditional()
        case "for": return try loop()
        case "set": return try set()
        case "macro": return try macro()
        case "call":
            let call = try expression()
            return .call(call, body: try simpleBody(until: "endcall"))
        case "filter":
            var filter = Expression.name("")
            repeat { filter = try filterCall(on: filter) } while skip("|")
            return .filter(filter, body: try simpleBody(until: "endfilter"))
        case "generation": return .group(try simpleBody(until: "endgeneration"))
        case "break", "continue":
            try closeTag()
            return word == "break" ? .breakLoop : .continueLoop
        default: throw fail("the statement \(word) is not supported")
        }
    }

    private mutating func conditional() throws(TemplateError) -> Statement {
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

    private mutating func target() throws(TemplateError) -> Statement.Target {
        let isParenthesized = skip("(")
        let first = try name()
        if skip(".") { return .attribute(first, try name()) }
        var names = [first]
        while skip(",") { names.append(try name()) }
        if isParenthesized { try expect(")") }
        return names.count == 1 ? .name(first) : .names(names)
    }

    private mutating func loop() throws(TemplateError) -> Statement {
        let target = try target()
        guard skip(word: "in") else { throw fail("expected in") }
        let iterable = try tuple(allowsConditional: false)
        let condition = skip(word: "if") ? try expression() : nil
        let isRecursive = skip(word: "recursive")
        try closeTag()
        let (body, end) = try body(until: ["else", "endfor"])
        var otherwise: [Statement] = []
        if end == "else" { otherwise = try simpleBody(until: "endfor") } else { try closeTag() }
        return .loop(
            Statement.Loop(
                target: target, iterable: iterable, condition: condition, body: body,
                otherwise: otherwise, isRecursive: isRecursive))
    }

    private mutating func set() throws(TemplateError) -> Statement {
        let target = try target()
        if skip("=") {
            let value = try tuple()
            try closeTag()
            return .set(target, value)
        }
        return .setBlock(target, try simpleBody(until: "endset"))
    }

    private mutating func macro() throws(TemplateError) -> Statement {
        let name = try name()
        var parameters: [(name: String, fallback: Expression?)] = []
        try expect("(")
        while !skip(")") {
            let parameter = try self.name()
            parameters.append((parameter, skip("=") ? try expression() : nil))
            if !skip(",") {
                try expect(")")
                break
            }
        }
        let body = try simpleBody(until: "endmacro")
        return .macro(Statement.Macro(name: name, parameters: parameters, body: body))
    }

    // MARK: Expressions

    /// An expression, or several with commas between, which make a list.
    private mutating func tuple(allowsConditional: Bool = true) throws(TemplateError) -> Expression
    {
        let first = allowsConditional ? try expression() : try disjunction()
        guard token.kind == .symbol(",") else { return first }
        var elements = [first]
        while skip(",") {
            switch token.kind {
            case .statementEnd, .expressionEnd, .symbol(")"): return .list(elements)
            default: elements.append(try expression())
            }
        }
        return .list(elements)
    }

    private mutating func expression() throws(TemplateError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < Parser.depthLimit else { throw fail("nested too deep") }
        let line = token.line
        var value = try disjunction()
        while skip(word: "if") {
            let condition = try disjunction()
            let otherwise = skip(word: "else") ? try expression() : nil
            value = .conditional(value, condition: condition, otherwise: otherwise)
        }
        return .located(line, value)
    }

    private mutating func disjunction() throws(TemplateError) -> Expression {
        var left = try conjunction()
        while skip(word: "or") { left = .binary("or", left, try conjunction()) }
        return left
    }

    private mutating func conjunction() throws(TemplateError) -> Expression {
        var left = try negation()
        while skip(word: "and") { left = .binary("and", left, try negation()) }
        return left
    }

    private mutating func negation() throws(TemplateError) -> Expression {
        var count = 0
        while skip(word: "not") { count += 1 }
        let value = try comparison()
        return (0..<count).reduce(value) { value, _ in .unary("not", value) }
    }

    private mutating func comparison() throws(TemplateError) -> Expression {
        var left = try sum()
        var chain: Expression?
        while true {
            var symbol: String?
            if case .symbol(let candidate) = token.kind,
                ["==", "!=", "<", "<=", ">", ">="].contains(candidate)
            {
                position += 1
                symbol = candidate
            } else if skip(word: "in") {
                symbol = "in"
            } else if token.kind == .name("not"), tokens[position + 1].kind == .name("in") {
                position += 2
                symbol = "not in"
            }
            guard let symbol else { return chain ?? left }
            // a < b < c means a < b and b < c.
            let right = try sum()
            let one = Expression.binary(symbol, left, right)
            chain = chain.map { .binary("and", $0, one) } ?? one
            left = right
        }
    }

    private mutating func sum() throws(TemplateError) -> Expression {
        var left = try concatenation()
        while case .symbol(let symbol) = token.kind, symbol == "+" || symbol == "-" {
            position += 1
            left = .binary(symbol, left, try concatenation())
        }
        return left
    }

    private mutating func concatenation() throws(TemplateError) -> Expression {
        var left = try product()
        while skip("~") { left = .binary("~", left, try product()) }
        return left
    }

    private mutating func product() throws(TemplateError) -> Expression {
        var left = try unary()
        while case .symbol(let symbol) = token.kind, ["*", "/", "//", "%"].contains(symbol) {
            position += 1
            left = .binary(symbol, left, try unary())
        }
        return left
    }

    private mutating func unary() throws(TemplateError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < Parser.depthLimit else { throw fail("nested too deep") }
        if skip("-") { return .unary("-", try unary()) }
        if skip("+") { return .unary("+", try unary()) }
        var value = try postfix(try primary())
        if skip("**") { value = .binary("**", value, try unary()) }
        return try filtersAndTests(value)
    }

    private mutating func primary() throws(TemplateError) -> Expression {
        let kind = token.kind
        position += 1
        switch kind {
        case .name("true"), .name("True"): return .literal(.bool(true))
        case .name("false"), .name("False"): return .literal(.bool(false))
        case .name("none"), .name("None"): return .literal(.none)
        case .name(let name): return .name(name)
        case .integer(let value): return .literal(.integer(value))
        case .number(let value): return .literal(.number(value))
        case .string(var text):
            while case .string(let more) = token.kind {  // adjacent strings are one
                text += more
                position += 1
            }
            return .literal(.string(text))
        case .symbol("("):
            if skip(")") { return .list([]) }
            let value = try tuple()
            try expect(")")
            return value
        case .symbol("["):
            var elements: [Expression] = []
            while !skip("]") {
                elements.append(try expression())
                if !skip(",") {
                    try expect("]")
                    break
                }
            }
            return .list(elements)
        case .symbol("{"):
            var members: [(Expression, Expression)] = []
            while !skip("}") {
                let key = try expression()
                try expect(":")
                members.append((key, try expression()))
                if !skip(",") {
                    try expect("}")
                    break
                }
            }
            return .dictionary(members)
        default:
            position -= 1
            throw fail("expected an expression")
        }
    }

    private mutating func postfix(_ start: Expression) throws(TemplateError) -> Expression {
        var value = start
        while true {
            if skip(".") {
                if case .integer(let index) = token.kind {
                    position += 1
                    value = .item(value, .literal(.integer(index)))
                } else {
                    value = .attribute(value, try name())
                }
            } else if skip("[") {
                value = try subscripted(value)
            } else if token.kind == .symbol("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    private mutating func subscripted(_ value: Expression) throws(TemplateError) -> Expression {
        var parts: [Expression?] = [nil]
        while !skip("]") {
            if skip(":") {
                parts.append(nil)
            } else {
                parts[parts.count - 1] = try expression()
            }
            guard parts.count <= 3 else { throw fail("a slice has three parts at most") }
        }
        if parts.count == 1 {
            guard let index = parts[0] else { throw fail("an empty subscript") }
            return .item(value, index)
        }
        return .slice(value, parts[0], parts[1], parts.count > 2 ? parts[2] : nil)
    }

    private mutating func arguments() throws(TemplateError) -> Expression.Arguments {
        var arguments = Expression.Arguments()
        try expect("(")
        while !skip(")") {
            if case .name(let name) = token.kind, tokens[position + 1].kind == .symbol("=") {
                position += 2
                arguments.named.append((name, try expression()))
            } else {
                arguments.positional.append(try expression())
            }
            if !skip(",") {
                try expect(")")
                break
            }
        }
        return arguments
    }

    private mutating func filtersAndTests(_ start: Expression) throws(TemplateError) -> Expression {
        var value = start
        while true {
            if skip("|") {
                value = try filterCall(on: value)
            } else if skip(word: "is") {
                value = try testCall(on: value)
            } else {
                return value
            }
        }
    }

    private mutating func filterCall(on value: Expression) throws(TemplateError) -> Expression {
        let line = token.line
        let name = try name()
        guard Filters.names.contains(name) else {
            throw fail("the filter \(name) is not supported")
        }
        let arguments = token.kind == .symbol("(") ? try arguments() : Expression.Arguments()
        return try postfix(.located(line, .filter(value, name, arguments)))
    }

    private mutating func testCall(on value: Expression) throws(TemplateError) -> Expression {
        let isNegated = skip(word: "not")
        let name = try name()
        guard Tests.names.contains(name) else { throw fail("the test \(name) is not supported") }
        var arguments = Expression.Arguments()
        switch token.kind {
        case .symbol("("): arguments = try self.arguments()
        case .string, .integer, .number, .symbol("["), .symbol("{"):
            arguments.positional = [try postfix(try primary())]
        case .name(let word)
        where !["and", "or", "not", "else", "if", "is", "in", "recursive"].contains(word):
            arguments.positional = [try postfix(try primary())]
        default: break
        }
        return .test(value, name, arguments, isNegated: isNegated)
    }
}
