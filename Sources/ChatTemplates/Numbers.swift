/// Python's `int` and `float`, as the filters use them.
enum Numbers {
    /// - Parameter name: `int` or `float`.
    static func convert(
        _ name: String, _ value: Value, _ arguments: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> Value {
        if name == "float" {
            return (value.numeric ?? value.string.flatMap { double($0) }).map { .number($0) }
                ?? arguments.value(0, "default") ?? .number(0)
        }
        let fallback = arguments.value(0, "default") ?? .integer(0)
        if let integer = value.integer { return .integer(integer) }
        if case .largeInteger = value { return value }
        if let number = value.numeric {
            if number.isNaN { return fallback }
            return try integer(number, interpreter)
        }
        guard let text = value.string else { return fallback }
        let base = arguments.value(1, "base") ?? .integer(10)
        guard let radix = base.integer else { throw interpreter.fail("a base is an integer") }
        switch integer(text, radix) {
        case .integer(let value): return .integer(value)
        case .tooLarge: throw interpreter.fail("a number out of range")
        case .none: break
        }
        guard let number = double(text), number.isFinite else { return fallback }
        return try integer(number, interpreter)
    }

    private static func integer(
        _ number: Double, _ interpreter: Interpreter
    ) throws(TemplateError) -> Value {
        guard let integer = Int(exactly: number.rounded(.towardZero)) else {
            throw interpreter.fail("a number out of range")
        }
        return .integer(integer)
    }

    private enum Reading {
        case none, tooLarge
        case integer(Int)
    }

    private static func integer(_ text: String, _ radix: Int) -> Reading {
        guard radix == 0 || (2...36).contains(radix) else { return .none }
        var digits = plain(text)[...]
        var isNegative = false
        if let sign = digits.first, sign == "+" || sign == "-" {
            isNegative = sign == "-"
            digits.removeFirst()
        }
        var radix = radix
        let prefixes: [(String, Int)] = [("0x", 16), ("0o", 8), ("0b", 2)]
        if let (_, base) = prefixes.first(where: { digits.lowercased().hasPrefix($0.0) }),
            radix == base || radix == 0
        {
            radix = base
            digits = digits.dropFirst(2)
            if digits.first == "_" { digits.removeFirst() }
        } else if radix == 0 {
            radix = 10
            guard digits.first != "0" || digits.allSatisfy({ $0 == "0" || $0 == "_" }) else {
                return .none
            }
        }
        guard let bare = withoutUnderscores(digits), !bare.isEmpty,
            bare.allSatisfy({ $0.hexDigitOrLetter.map { $0 < radix } ?? false })
        else { return .none }
        return Int((isNegative ? "-" : "") + bare, radix: radix).map { .integer($0) } ?? .tooLarge
    }

    private static func double(_ text: String) -> Double? {
        let text = plain(text)[...]
        let unsigned = text.drop { $0 == "+" || $0 == "-" }
        guard text.count - unsigned.count <= 1, let plain = withoutUnderscores(unsigned) else {
            return nil
        }
        let sign = text.first == "-" ? -1.0 : 1.0
        switch plain.lowercased() {
        case "inf", "infinity": return sign * .infinity
        case "nan": return .nan
        default: break
        }
        guard plain.utf8.allSatisfy({ "0123456789.eE+-".utf8.contains($0) }) else { return nil }
        let complete = plain.hasPrefix(".") ? "0" + plain : plain
        return Double(
            complete.replacing(".e", with: ".0e").replacing(".E", with: ".0E")
                + (complete.hasSuffix(".") ? "0" : "")
        ).map { sign * $0 }
    }

    /// Without space around it, and with the digits of every script as ASCII's.
    private static func plain(_ text: String) -> String {
        var result = ""
        for scalar in Strings.strip(text, nil).unicodeScalars {
            let properties = scalar.properties
            if !scalar.isASCII, properties.numericType == .decimal,
                let value = properties.numericValue
            {
                result += String(Int(value))
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Nil where one is not between digits.
    private static func withoutUnderscores(_ text: Substring) -> String? {
        guard text.contains("_") else { return String(text) }
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        let isFine = zip(parts, parts.dropFirst()).allSatisfy { before, after in
            before.last?.hexDigitOrLetter != nil && after.first?.hexDigitOrLetter != nil
        }
        return isFine ? parts.joined() : nil
    }
}

extension Character {
    /// The value of a digit of any base up to 36.
    fileprivate var hexDigitOrLetter: Int? {
        guard let byte = asciiValue else { return nil }
        switch byte {
        case 0x30...0x39: return Int(byte) - 0x30
        case 0x41...0x5A: return Int(byte) - 0x41 + 10
        case 0x61...0x7A: return Int(byte) - 0x61 + 10
        default: return nil
        }
    }
}
