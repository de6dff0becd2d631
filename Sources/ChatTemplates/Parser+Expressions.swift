/// Expressions.
extension Parser {
    /// An expression, or several with commas between, which make a tuple.
    mutating func tuple(allowsConditional: Bool = true) throws(TemplateError) -> Expression {
        let first = allowsConditional ? try expression() : try disjunction()
        guard token.kind == .symbol(",") else { return first }
        var elements = [first]
        while skip(",") {
            switch token.kind {
            case .statementEnd, .expressionEnd, .symbol(")"): return .tuple(elements)
            default: elements.append(try expression())
            }
        }
        return .tuple(elements)
    }

    mutating func expression() throws(TemplateError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < Parser.depthLimit else { throw fail("nested too deep") }
        let line = token.line
        var value = try disjunction()
        var count = 0
        while skip(word: "if") {
            try link(&count)
            let condition = try disjunction()
            let otherwise = skip(word: "else") ? try expression() : nil
            value = .conditional(value, condition: condition, otherwise: otherwise)
        }
        return .located(line, value)
    }

    /// Operands with operators of one precedence between them, from left to right.
    ///
    /// - Parameter operators: the symbols or words.
    mutating func chain(
        of operand: (inout Parser) throws(TemplateError) -> Expression, _ operators: Set<String>
    ) throws(TemplateError) -> Expression {
        var left = try operand(&self)
        var count = 0
        while true {
            switch token.kind {
            case .symbol(let name), .name(let name):
                guard operators.contains(name) else { return left }
                try link(&count)
                position += 1
                left = .binary(name, left, try operand(&self))
            default: return left
            }
        }
    }

    mutating func disjunction() throws(TemplateError) -> Expression {
        try chain(of: { (parser) throws(TemplateError) in try parser.conjunction() }, ["or"])
    }

    mutating func conjunction() throws(TemplateError) -> Expression {
        try chain(of: { (parser) throws(TemplateError) in try parser.negation() }, ["and"])
    }

    mutating func negation() throws(TemplateError) -> Expression {
        var count = 0
        while skip(word: "not") { try link(&count) }
        let value = try comparison()
        return (0..<count).reduce(value) { value, _ in .unary("not", value) }
    }

    mutating func comparison() throws(TemplateError) -> Expression {
        var left = try sum()
        var chain: Expression?
        var count = 0
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
            try link(&count)
            // a < b < c means a < b and b < c.
            let right = try sum()
            let one = Expression.binary(symbol, left, right)
            chain = chain.map { .binary("and", $0, one) } ?? one
            left = right
        }
    }

    mutating func sum() throws(TemplateError) -> Expression {
        try chain(of: { (parser) throws(TemplateError) in try parser.concatenation() }, ["+", "-"])
    }

    mutating func concatenation() throws(TemplateError) -> Expression {
        try chain(of: { (parser) throws(TemplateError) in try parser.product() }, ["~"])
    }

    mutating func product() throws(TemplateError) -> Expression {
        try chain(
            of: { (parser) throws(TemplateError) in try parser.power() }, ["*", "/", "//", "%"])
    }

    /// Unlike Python's, Jinja's powers go from left to right and bind less than a sign.
    mutating func power() throws(TemplateError) -> Expression {
        try chain(of: { (parser) throws(TemplateError) in try parser.unary() }, ["**"])
    }

    /// A sign binds more than filters and tests: `-1 | abs` is 1.
    mutating func unary(takesFilters: Bool = true) throws(TemplateError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < Parser.depthLimit else { throw fail("nested too deep") }
        var value: Expression
        if skip("-") {
            value = .unary("-", try unary(takesFilters: false))
        } else if skip("+") {
            value = .unary("+", try unary(takesFilters: false))
        } else {
            value = try primary()
        }
        value = try postfix(value)
        return takesFilters ? try filtersAndTests(value) : value
    }

    mutating func primary() throws(TemplateError) -> Expression {
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
            if skip(")") { return .tuple([]) }
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

    mutating func postfix(_ start: Expression) throws(TemplateError) -> Expression {
        var value = start
        var count = 0
        while true {
            try link(&count)
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

    mutating func subscripted(_ value: Expression) throws(TemplateError) -> Expression {
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

    mutating func arguments() throws(TemplateError) -> Expression.Arguments {
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

    mutating func filtersAndTests(_ start: Expression) throws(TemplateError) -> Expression {
        var value = start
        var count = 0
        while true {
            try link(&count)
            if skip("|") {
                value = try filterCall(on: value)
            } else if skip(word: "is") {
                value = try testCall(on: value)
            } else if count > 1, token.kind == .symbol("(") {
                value = .call(value, try arguments())
            } else {
                return value
            }
        }
    }

    mutating func filterCall(on value: Expression) throws(TemplateError) -> Expression {
        let line = token.line
        let name = try name()
        guard Filters.names.contains(name) else {
            throw fail("the filter \(name) is not supported")
        }
        let arguments = token.kind == .symbol("(") ? try arguments() : Expression.Arguments()
        return .located(line, .filter(value, name, arguments))
    }

    mutating func testCall(on value: Expression) throws(TemplateError) -> Expression {
        let isNegated = skip(word: "not")
        let name = try name()
        guard Tests.names.contains(name) else { throw fail("the test \(name) is not supported") }
        var arguments = Expression.Arguments()
        switch token.kind {
        case .symbol("("): arguments = try self.arguments()
        case .string, .integer, .number, .symbol("["), .symbol("{"):
            arguments.positional = [try postfix(try primary())]
        case .name(let word) where ["is", "if", "not", "in"].contains(word):
            throw fail("\(word) right behind a test")
        case .name(let word) where !["and", "or", "else", "recursive"].contains(word):
            arguments.positional = [try postfix(try primary())]
        default: break
        }
        return .test(value, name, arguments, isNegated: isNegated)
    }
}
