internal import Foundation

/// Arithmetic and comparison, as Python does them.
enum Operators {
    static func negated(_ value: Value, _ symbol: String, _ interpreter: Interpreter)
        throws(TemplateError) -> Value
    {
        let sign = symbol == "-" ? -1 : 1
        if let integer = value.integer { return .integer(sign * integer) }
        if let number = value.numeric { return .number(Double(sign) * number) }
        throw interpreter.fail("cannot negate \(value.kind)")
    }

    static func apply(
        _ symbol: String, _ a: Value, _ b: Value, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        switch symbol {
        case "==": return .bool(a == b)
        case "!=": return .bool(a != b)
        case "<", "<=", ">", ">=": return .bool(try compare(symbol, a, b, interpreter))
        case "in": return .bool(try contains(b, a, interpreter))
        case "not in": return .bool(!(try contains(b, a, interpreter)))
        case "~":
            try interpreter.spend((a.text.utf8.count + b.text.utf8.count) / 64)
            return .string(a.text + b.text)
        case "+":
            switch (a, b) {
            case (.string(let a), .string(let b)):
                try interpreter.spend((a.utf8.count + b.utf8.count) / 64)
                return .string(a + b)
            case (.list(let a), .list(let b)):
                try interpreter.spend(a.count + b.count)
                return .list(a + b)
            default: break
            }
        case "*":
            if case .string(let text) = a, let count = b.integer {
                try interpreter.spend(max(0, count) &* max(1, text.utf8.count / 16))
                guard count <= 1 << 20 else {
                    throw interpreter.fail("a string repeated too often", .limit)
                }
                return .string(String(repeating: text, count: max(0, count)))
            }
        case "%":
            if case .string = a { throw interpreter.fail("formatting with % is not supported") }
        default: break
        }
        return try arithmetic(symbol, a, b, interpreter)
    }

    private static func arithmetic(
        _ symbol: String, _ a: Value, _ b: Value, _ interpreter: Interpreter
    ) throws(TemplateError) -> Value {
        guard let x = a.numeric, let y = b.numeric else {
            throw interpreter.fail("cannot compute \(a.kind) \(symbol) \(b.kind)")
        }
        if ["/", "//", "%"].contains(symbol), y == 0 { throw interpreter.fail("division by zero") }
        if symbol != "/", let i = a.integer, let j = b.integer {
            let result: (Int, Bool)
            switch symbol {
            case "+": result = i.addingReportingOverflow(j)
            case "-": result = i.subtractingReportingOverflow(j)
            case "*": result = i.multipliedReportingOverflow(by: j)
            case "//": result = (Int((x / y).rounded(.down)), false)
            case "%":
                let remainder = i % j
                result = (
                    remainder != 0 && (remainder < 0) != (j < 0) ? remainder + j : remainder, false
                )
            default:
                let power = pow(x, y)
                guard let value = Int(exactly: power) else { return .number(power) }
                return .integer(value)
            }
            guard !result.1 else { throw interpreter.fail("a number out of range") }
            return .integer(result.0)
        }
        switch symbol {
        case "+": return .number(x + y)
        case "-": return .number(x - y)
        case "*": return .number(x * y)
        case "/": return .number(x / y)
        case "//": return .number((x / y).rounded(.down))
        case "%": return .number(x - y * (x / y).rounded(.down))
        default: return .number(pow(x, y))
        }
    }

    private static func compare(
        _ symbol: String, _ a: Value, _ b: Value, _ interpreter: Interpreter
    ) throws(TemplateError) -> Bool {
        guard let less = Value.isLess(a, b), let greater = Value.isLess(b, a) else {
            throw interpreter.fail("cannot compare \(a.kind) with \(b.kind)")
        }
        switch symbol {
        case "<": return less
        case ">": return greater
        case "<=": return less || a == b
        default: return greater || a == b
        }
    }

    static func contains(_ whole: Value, _ part: Value, _ interpreter: Interpreter)
        throws(TemplateError) -> Bool
    {
        switch whole {
        case .string(let text):
            guard case .string(let part) = part else {
                throw interpreter.fail("cannot look for \(part.kind) in a string")
            }
            return Strings.find(part, in: text) != nil
        case .list(let elements): return elements.contains(part)
        case .dictionary(let dictionary): return dictionary[part] != nil
        case .undefined: return false
        default: throw interpreter.fail("cannot look inside \(whole.kind)")
        }
    }
}
