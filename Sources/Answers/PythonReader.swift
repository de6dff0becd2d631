internal import JSONTree

/// Reads calls as Python writes them, with values that JSON has too.
struct PythonReader {
    private let bytes: [UInt8]
    private var place = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// A list of calls with keyword arguments; nil when it is something else.
    mutating func calls() -> [(name: String, arguments: JSON.Object)]? {
        guard take("[") else { return nil }
        var calls: [(String, JSON.Object)] = []
        while !take("]") {
            if !calls.isEmpty {
                guard take(",") else { return nil }
                if take("]") { break }
            }
            guard let name = name(hasDots: true), take("(") else { return nil }
            var arguments = JSON.Object()
            while !take(")") {
                if !arguments.isEmpty {
                    guard take(",") else { return nil }
                    if take(")") { break }
                }
                guard let key = self.name(hasDots: false), arguments[key] == nil, take("="),
                    let value = value()
                else { return nil }
                arguments[key] = value
            }
            calls.append((name, arguments))
        }
        skipSpace()
        return place == bytes.count ? calls : nil
    }

    /// One value and nothing else.
    mutating func whole() -> JSON? {
        guard let value = value() else { return nil }
        skipSpace()
        // Not `? value : nil`: that nil would be JSON's null.
        guard place == bytes.count else { return nil }
        return value
    }

    private mutating func skipSpace() {
        while place < bytes.count, bytes[place].isSpace { place += 1 }
    }

    private mutating func take(_ text: String) -> Bool {
        skipSpace()
        guard bytes[place...].starts(with: text.utf8) else { return false }
        place += text.utf8.count
        return true
    }

    private mutating func name(hasDots: Bool) -> String? {
        skipSpace()
        let start = place
        while place < bytes.count {
            let byte = bytes[place]
            let isLetter =
                byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
                || byte == UInt8(ascii: "_") || byte >= 0x80
            let isOther = hasDots && (byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-"))
            guard isLetter || place > start && (byte.isDigit || isOther) else { break }
            place += 1
        }
        return place > start ? String(decoding: bytes[start..<place], as: UTF8.self) : nil
    }

    private mutating func value() -> JSON? {
        depth += 1
        defer { depth -= 1 }
        skipSpace()
        guard depth <= 64, place < bytes.count else { return nil }
        switch bytes[place] {
        case 0x22, 0x27: return strings().map { .string($0) }
        case UInt8(ascii: "["), UInt8(ascii: "("): return list()
        case UInt8(ascii: "{"): return dictionary()
        default: break
        }
        for (word, value) in [
            ("True", true), ("False", false), ("None", .null), ("true", true), ("false", false),
            ("null", .null),
        ] as [(String, JSON)] where bytes[place...].starts(with: word.utf8) {
            place += word.utf8.count
            return value
        }
        return number()
    }

    /// As JSON has it, but for digits in groups (1_000) and fractions of nothing (.5).
    private mutating func number() -> JSON? {
        let text = bytes[place...].prefix {
            $0.isDigit || "+-.eE_".utf8.contains($0)
        }
        var plain: [UInt8] = []
        for index in text.indices {
            let previous = index > text.startIndex ? text[index - 1] : 0
            if text[index] == UInt8(ascii: "_") {
                guard previous.isDigit, index + 1 < text.endIndex, text[index + 1].isDigit else {
                    return nil
                }
                continue
            }
            if text[index] == UInt8(ascii: "."), !previous.isDigit { plain.append(0x30) }
            plain.append(text[index])
        }
        guard !plain.isEmpty, let value = try? JSON(parsing: plain) else { return nil }
        place += text.count
        return value
    }

    /// Strings that stand side by side are one.
    private mutating func strings() -> String? {
        guard var text = string() else { return nil }
        while true {
            let behind = place
            skipSpace()
            guard place < bytes.count, bytes[place] == 0x22 || bytes[place] == 0x27 else {
                place = behind
                return text
            }
            guard let next = string() else { return nil }
            text += next
        }
    }

    /// A list, a tuple, or a value in parentheses.
    private mutating func list() -> JSON? {
        let isTuple = bytes[place] == UInt8(ascii: "(")
        let end = isTuple ? ")" : "]"
        place += 1
        var items: [JSON] = []
        var hasComma = false
        while !take(end) {
            if !items.isEmpty {
                guard take(",") else { return nil }
                hasComma = true
                if take(end) { break }
            }
            guard let item = value() else { return nil }
            items.append(item)
        }
        return isTuple && items.count == 1 && !hasComma ? items[0] : .array(items)
    }

    private mutating func dictionary() -> JSON? {
        place += 1
        var members = JSON.Object()
        while !take("}") {
            if !members.isEmpty {
                guard take(",") else { return nil }
                if take("}") { break }
            }
            guard let key = key(), take(":"), let value = value() else { return nil }
            members[key] = value
        }
        return .object(members)
    }

    /// A string, or a whole number as a string.
    private mutating func key() -> String? {
        skipSpace()
        guard place < bytes.count else { return nil }
        if bytes[place] == 0x22 || bytes[place] == 0x27 { return strings() }
        let digits = bytes[place...].prefix { $0.isDigit }
        place += digits.count
        return digits.isEmpty ? nil : String(decoding: digits, as: UTF8.self)
    }

    private mutating func string() -> String? {
        let quote = bytes[place]
        let end = bytes[place...].starts(with: [quote, quote, quote]) ? 3 : 1
        place += end
        var text: [UInt8] = []
        while place < bytes.count {
            let byte = bytes[place]
            place += 1
            if byte == quote, end == 1 || bytes[place...].starts(with: [quote, quote]) {
                place += end - 1
                return String(validating: text, as: UTF8.self)
            }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            guard place < bytes.count else { return nil }
            let escape = bytes[place]
            place += 1
            switch escape {
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "\\"), UInt8(ascii: "/"), 0x22, 0x27: text.append(escape)
            case UInt8(ascii: "\n"): break
            case UInt8(ascii: "x"), UInt8(ascii: "u"), UInt8(ascii: "U"):
                let count = escape == UInt8(ascii: "x") ? 2 : escape == UInt8(ascii: "u") ? 4 : 8
                guard var scalar = hexadecimal(count) else { return nil }
                // Two halves of one, as JSON writes them.
                if (0xD800..<0xDC00).contains(scalar), bytes[place...].starts(with: "\\u".utf8),
                    let low = hexadecimal(4, from: place + 2),
                    (0xDC00..<0xE000).contains(low)
                {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                }
                guard let scalar = Unicode.Scalar(scalar) else { return nil }
                text += String(scalar).utf8
            case UInt8(ascii: "0")...UInt8(ascii: "7"):
                let digits = bytes[(place - 1)...].prefix(3).prefix { (0x30...0x37).contains($0) }
                place += digits.count - 1
                let value = digits.reduce(UInt32(0)) { $0 * 8 + UInt32($1 - 0x30) }
                guard let scalar = Unicode.Scalar(value) else { return nil }
                text += String(scalar).utf8
            // Python keeps what is no escape.
            default: text += [UInt8(ascii: "\\"), escape]
            }
        }
        return nil
    }

    private mutating func hexadecimal(_ count: Int, from start: Int? = nil) -> UInt32? {
        let place = start ?? self.place
        guard place + count <= bytes.count else { return nil }
        let digits = String(decoding: bytes[place..<place + count], as: UTF8.self)
        guard digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else {
            return nil
        }
        self.place = place + count
        return UInt32(digits, radix: 16)
    }
}

extension UInt8 {
    var isDigit: Bool { (0x30...0x39).contains(self) }
}
