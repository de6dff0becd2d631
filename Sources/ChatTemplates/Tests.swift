/// Jinja's tests, what follows `is`.
enum Tests {
    static let names: Set<String> = [
        "!=", "<", "<=", "==", ">", ">=", "boolean", "callable", "defined", "divisibleby", "eq",
        "equalto", "escaped", "even", "false", "float", "ge", "greaterthan", "gt", "in", "integer",
        "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none", "number", "odd",
        "sameas", "sequence", "string", "true", "undefined", "upper",
    ]

    static func holds(
        _ name: String, _ value: Value, _ arguments: CallArguments, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Bool {
        let fail = { [interpreter] (message: String) in interpreter.fail(message) }
        func argument() throws(TemplateError) -> Value {
            guard let argument = arguments.positional.first else {
                throw fail("the test \(name) needs an argument")
            }
            return argument
        }
        func ordered(_ a: Value, _ b: Value) throws(TemplateError) -> Bool {
            guard let less = Value.isLess(a, b) else {
                throw fail("cannot compare \(a.kind) with \(b.kind)")
            }
            return less
        }
        func remainder(by divisor: Value) throws(TemplateError) -> Value {
            guard value.numeric != nil else {
                throw fail("the test \(name) needs a number, not \(value.kind)")
            }
            return try Operators.apply("%", value, divisor, &interpreter)
        }
        if value.isContainer, !arguments.positional.isEmpty { try interpreter.weigh(value) }
        switch (name, value) {
        case ("defined", _): return !value.isUndefined
        case ("undefined", _): return value.isUndefined
        case ("none", .none), ("mapping", .dictionary), ("boolean", .bool),
            ("integer", .integer), ("integer", .largeInteger), ("float", .number),
            ("callable", .function), ("callable", .undefined), ("number", .integer),
            ("number", .largeInteger), ("number", .number), ("number", .bool),
            ("true", .bool(true)), ("false", .bool(false)), ("escaped", .markup):
            return true
        case ("callable", .namespace(let namespace)): return namespace.call != nil
        case ("string", _): return value.string != nil
        case ("iterable", .sequence): return true
        case ("iterable", _): return value.elements != nil
        case ("sequence", .string), ("sequence", .markup), ("sequence", .list),
            ("sequence", .dictionary), ("sequence", .undefined):
            return true
        case ("sequence", .sequence(let sequence)): return sequence.isIndexed
        case ("eq", _), ("equalto", _), ("==", _): return value == (try argument())
        case ("sameas", _): return try isSame(value, try argument(), interpreter)
        case ("ne", _), ("!=", _): return value != (try argument())
        case ("lt", _), ("lessthan", _), ("<", _): return try ordered(value, try argument())
        case ("gt", _), ("greaterthan", _), (">", _): return try ordered(try argument(), value)
        case ("le", _), ("<=", _): return !(try ordered(try argument(), value))
        case ("ge", _), (">=", _): return !(try ordered(value, try argument()))
        case ("in", _): return try Operators.contains(try argument(), value, &interpreter)
        case ("odd", _): return try remainder(by: .integer(2)) == .integer(1)
        case ("even", _): return try remainder(by: .integer(2)) == .integer(0)
        case ("divisibleby", _):
            guard let divisor = arguments.value(0, "num") else {
                throw fail("divisibleby needs a number")
            }
            return try remainder(by: divisor) == .integer(0)
        case ("lower", _): return Strings.isLower(try interpreter.text(of: value))
        case ("upper", _): return Strings.isUpper(try interpreter.text(of: value))
        default: return false
        }
    }

    /// Whether two values are one object in Python, as far as that can be told from here.
    private static func isSame(
        _ a: Value, _ b: Value, _ interpreter: Interpreter
    ) throws(TemplateError) -> Bool {
        switch (a, b) {
        case (.undefined, .undefined): return false
        case (.bool, .bool), (.none, .none), (.integer, .integer), (.string, .string): return a == b
        case (.namespace(let a), .namespace(let b)): return a === b
        case (.list, .list), (.dictionary, .dictionary), (.number, .number), (.sequence, .sequence),
            (.markup, .markup), (.function, .function), (.largeInteger, .largeInteger):
            throw interpreter.fail("sameas is not supported for \(a.kind)")
        default: return false
        }
    }
}
