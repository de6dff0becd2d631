internal import Foundation

/// Arithmetic and comparison, as Python does them.
enum Operators {
    static func negated(_ value: Value, _ symbol: String, _ interpreter: Interpreter)
        throws(TemplateError) -> Value
    {
        let sign = symbol == "-" ? -1 : 1
        if let integer = value.integer {
            return .integer(
                try checked(integer.multipliedReportingOverflow(by: sign), interpreter))
        }
        if let number = value.numeric { return .number(Double(sign) * number) }
        throw interpreter.fail("cannot negate \(value.kind)")
    }

    static func apply(
        _ symbol: String, _ a: Value, _ b: Value, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        if a.isContainer || b.isContainer {
            try interpreter.weigh(a)
            try interpreter.weigh(b)
        }
        switch symbol {
        case "==": return .bool(a == b)
        case "!=": return .bool(a != b)
        case "<", "<=", ">", ">=": return .bool(try compare(symbol, a, b, interpreter))
        case "in": return .bool(try contains(b, a, &interpreter))
        case "not in": return .bool(!(try contains(b, a, &interpreter)))
        case "~":
            let (left, right) = (try interpreter.text(of: a), try interpreter.text(of: b))
            try interpreter.spend(bytes: left.utf8.count + right.utf8.count)
            return .string(left + right)
        case "+":
            switch (a, b) {
            case (.string(let a), .string(let b)):
                try interpreter.spend(bytes: a.utf8.count + b.utf8.count)
                return .string(a + b)
            case (.list(let a), .list(let b)):
                try interpreter.spend(a.count + b.count)
                return .list(a + b)
            case (.sequence(let a), .sequence(let b)) where a.kind == .tuple && b.kind == .tuple:
                try interpreter.spend(a.waiting.count + b.waiting.count)
                return .tuple(a.waiting + b.waiting)
            case (.markup, _), (_, .markup):
                guard let left = a.string, let right = b.string else { break }
                try interpreter.spend(bytes: 6 * (left.utf8.count + right.utf8.count))
                func safe(_ value: Value, _ text: String) -> String {
                    if case .markup = value { text } else { Strings.escaped(text) }
                }
                return .markup(safe(a, left) + safe(b, right))
            default: break
            }
        case "*":
            if let result = try repeated(a, b, &interpreter) { return result }
            if let result = try repeated(b, a, &interpreter) { return result }
        case "%":
            if a.string != nil { throw interpreter.fail("formatting with % is not supported") }
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
            switch symbol {
            case "+": return .integer(try checked(i.addingReportingOverflow(j), interpreter))
            case "-": return .integer(try checked(i.subtractingReportingOverflow(j), interpreter))
            case "*":
                return .integer(try checked(i.multipliedReportingOverflow(by: j), interpreter))
            case "//", "%":
                let (quotient, remainder) = try floorDivision(i, j, interpreter)
                return .integer(symbol == "%" ? remainder : quotient)
            default:
                guard j >= 0 else {
                    guard i != 0 else { throw interpreter.fail("division by zero") }
                    return .number(pow(x, y))
                }
                return .integer(try power(i, j, interpreter))
            }
        }
        switch symbol {
        case "+": return .number(x + y)
        case "-": return .number(x - y)
        case "*": return .number(x * y)
        case "/": return .number(x / y)
        case "//": return .number(floorQuotient(x, y))
        case "%": return .number(remainder(x, y))
        default:
            // Python raises where a finite power has no finite result, or no real one.
            let power = pow(x, y)
            guard power.isFinite || !x.isFinite || !y.isFinite else {
                throw interpreter.fail("a number out of range")
            }
            return .number(power)
        }
    }

    /// Python's remainder of floats, which has the divisor's sign.
    private static func remainder(_ x: Double, _ y: Double) -> Double {
        let rest = fmod(x, y)
        guard rest != 0 else { return Double(signOf: y, magnitudeOf: 0) }
        return (rest < 0) == (y < 0) ? rest : rest + y
    }

    /// Python's division of floats that rounds down: from what is left without the remainder.
    private static func floorQuotient(_ x: Double, _ y: Double) -> Double {
        let quotient = (x - remainder(x, y)) / y
        guard quotient != 0 else { return Double(signOf: x / y, magnitudeOf: 0) }
        let floor = quotient.rounded(.down)
        return quotient - floor > 0.5 ? floor + 1 : floor
    }

    private static func checked(
        _ result: (partialValue: Int, overflow: Bool), _ interpreter: Interpreter
    ) throws(TemplateError) -> Int {
        guard !result.overflow else { throw interpreter.fail("a number out of range") }
        return result.partialValue
    }

    /// Python's division of integers, which rounds down.
    ///
    /// - Precondition: `divisor` is not zero.
    static func floorDivision(
        _ number: Int, _ divisor: Int, _ interpreter: Interpreter
    ) throws(TemplateError) -> (quotient: Int, remainder: Int) {
        let quotient = try checked(number.dividedReportingOverflow(by: divisor), interpreter)
        let remainder = number - quotient * divisor
        let isBelow = remainder != 0 && (remainder < 0) != (divisor < 0)
        return isBelow ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    private static func power(
        _ base: Int, _ exponent: Int, _ interpreter: Interpreter
    ) throws(TemplateError) -> Int {
        var (result, square, rest) = (1, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 {
                result = try checked(result.multipliedReportingOverflow(by: square), interpreter)
            }
            rest >>= 1
            guard rest > 0 else { break }
            square = try checked(square.multipliedReportingOverflow(by: square), interpreter)
        }
        return result
    }

    /// A string or a list some times over; nil for other values.
    private static func repeated(
        _ value: Value, _ count: Value, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value? {
        guard let wanted = count.integer else { return nil }
        let count = max(0, wanted)
        switch value {
        case .string(let text), .markup(let text):
            let size = text.utf8.count.multipliedReportingOverflow(by: count)
            try interpreter.spend(bytes: try checked(size, interpreter))
            let result = String(repeating: text, count: text.isEmpty ? 0 : count)
            if case .markup = value { return .markup(result) }
            return .string(result)
        case .list(let elements): return .list(try repeated(elements, count, &interpreter))
        case .sequence(let tuple) where tuple.kind == .tuple:
            return .tuple(try repeated(tuple.waiting, count, &interpreter))
        default: return nil
        }
    }

    private static func repeated(
        _ elements: [Value], _ count: Int, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> [Value] {
        let size = elements.count.multipliedReportingOverflow(by: count)
        try interpreter.spend(try checked(size, interpreter))
        return (0..<(elements.isEmpty ? 0 : count)).flatMap { _ in elements }
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

    static func contains(_ whole: Value, _ part: Value, _ interpreter: inout Interpreter)
        throws(TemplateError) -> Bool
    {
        try interpreter.weigh(part)
        switch whole {
        case .string(let text), .markup(let text):
            guard let part = part.string else {
                throw interpreter.fail("cannot look for \(part.kind) in a string")
            }
            try interpreter.spend(bytes: text.utf8.count)
            return Strings.find(part, in: text) != nil
        case .list, .sequence:
            let elements = whole.elements ?? []
            if part.isContainer {
                try interpreter.weigh(.list(elements))
            } else {
                try interpreter.spend(elements.count)
            }
            return elements.contains(part)
        case .dictionary(let dictionary):
            guard part.isHashable else { throw interpreter.fail("\(part.kind) is no key") }
            try interpreter.spend(dictionary.scanCount(for: part))
            return dictionary[part] != nil
        case .undefined: return false
        default: throw interpreter.fail("cannot look inside \(whole.kind)")
        }
    }
}
