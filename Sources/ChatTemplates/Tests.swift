/// Jinja's tests, what follows `is`.
enum Tests {
    static let names: Set<String> = [
        "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "even", "false", "float",
        "ge",
        "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt",
        "mapping",
        "ne", "none", "number", "odd", "sameas", "sequence", "string", "true", "undefined", "upper",
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
        if value.isContainer, !arguments.positional.isEmpty { try interpreter.weigh(value) }
        switch (name, value) {
        case ("defined", _): return !value.isUndefined
        case ("undefined", _): return value.isUndefined
        case ("none", .none), ("string", .string), ("mapping", .dictionary), ("boolean", .bool),
            ("integer", .integer), ("float", .number), ("callable", .function),
            ("number", .integer), ("number", .number), ("number", .bool), ("true", .bool(true)),
            ("false", .bool(false)):
            return true
        case ("iterable", _): return value.elements != nil
        case ("sequence", .string), ("sequence", .list), ("sequence", .dictionary): return true
        case ("eq", _), ("equalto", _), ("sameas", _): return value == (try argument())
        case ("ne", _): return value != (try argument())
        case ("lt", _), ("lessthan", _): return try ordered(value, try argument())
        case ("gt", _), ("greaterthan", _): return try ordered(try argument(), value)
        case ("le", _): return !(try ordered(try argument(), value))
        case ("ge", _): return !(try ordered(value, try argument()))
        case ("in", _): return try Operators.contains(try argument(), value, &interpreter)
        case ("odd", _): return (value.integer ?? 0) % 2 != 0
        case ("even", _): return (value.integer ?? 1) % 2 == 0
        case ("divisibleby", _):
            guard let divisor = try argument().integer, divisor != 0 else {
                throw fail("divisibleby needs an integer that is not zero")
            }
            return try Operators.floorDivision(value.integer ?? 1, divisor, interpreter).remainder
                == 0
        case ("lower", .string(let text)): return text == text.lowercased()
        case ("upper", .string(let text)): return text == text.uppercased()
        default: return false
        }
    }
}
