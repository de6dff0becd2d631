public import JSONTree

/// JSON's scalars, strings and listed values as languages.
extension RegularLanguages {
    private mutating func ascii(_ text: String) -> ID { literal(Array(text.utf8)) }

    /// Space between tokens: at most one line end and twenty blanks, so that no model writes space for ever.
    mutating func space() -> ID {
        var blanks = ByteSet(0x20...0x20)
        blanks.insert(0x09)
        let line = either([ascii("\n"), ascii("\r\n")])
        return sequence(optional(line), repeated(bytes(blanks), 0, 20))
    }

    /// Any JSON string's inside, in any spelling that is a text.
    private mutating func anyCharacter() -> ID {
        func set(_ ranges: [ClosedRange<UInt8>]) -> ByteSet {
            ranges.reduce(ByteSet()) { $0.union(ByteSet($1)) }
        }
        let digit = bytes(set([0x30...0x39, 0x41...0x46, 0x61...0x66]))
        let notD = bytes(set([0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66]))
        let d = bytes(set([0x44...0x44, 0x64...0x64]))
        let low = bytes(set([0x30...0x37]))
        let high = bytes(set([0x38...0x39, 0x41...0x42, 0x61...0x62]))
        let trailing = bytes(set([0x43...0x46, 0x63...0x66]))
        let u = ascii("\\u")
        let plain = sequence([
            u, either([sequence([notD, digit]), sequence([d, low])]), digit, digit,
        ])
        let pair = sequence([u, d, high, digit, digit, u, d, trailing, digit, digit])
        let all = either([character(.all, .jsonString), ascii("\\/"), plain, pair])
        characters.insert(all)
        return all
    }

    private mutating func quoted(_ content: ID) -> ID {
        let quote = ascii("\"")
        return sequence([quote, content, quote])
    }

    mutating func string(_ text: String) -> ID { quoted(self.text(text, .jsonString)) }

    /// Strings that a flat allows.
    mutating func string(_ flat: Flat) throws(GrammarError) -> ID { quoted(try content(flat)) }

    /// What stands between the quotes.
    mutating func content(_ flat: Flat) throws(GrammarError) -> ID {
        let isFree =
            flat.patterns.isEmpty && flat.formats.isEmpty && flat.leastLength == 0
            && flat.mostLength == nil && flat.excludedPatterns.isEmpty
            && !flat.excludedValues.contains { $0.stringValue != nil }
        guard !isFree else { return repeated(anyCharacter(), 0, nil) }
        let character = character(.all, .jsonString)
        var parts = [repeated(character, flat.leastLength, flat.mostLength)]
        if let most = flat.mostLength, most < flat.leastLength { return Self.never }
        for pattern in flat.patterns {
            parts.append(try matching(try PatternParser.parse(pattern), .jsonString))
        }
        for pattern in flat.excludedPatterns {
            parts.append(not(try matching(try PatternParser.parse(pattern), .jsonString)))
        }
        for format in flat.formats {
            guard let pattern = Formats.pattern(format) else { continue }
            parts.append(
                try matching(try PatternParser.parse(pattern), .jsonString, isWhole: true))
        }
        for value in flat.excludedValues {
            if let text = value.stringValue { parts.append(not(self.text(text, .jsonString))) }
        }
        return both(parts)
    }

    /// Numbers that a flat allows.
    mutating func number(_ flat: Flat) throws(GrammarError) -> ID {
        let isInteger = !flat.types.contains(.fraction)
        var parts = [number(flat.bounds, isInteger: isInteger)]
        if !isInteger, !flat.types.contains(.integer) {
            // A digit behind the point that is not 0.
            let digits = repeated(bytes(ByteSet(0x30...0x39)), 0, nil)
            let last = sequence([digits, bytes(ByteSet(0x31...0x39)), digits])
            parts.append(
                sequence([optional(ascii("-")), plainNumbers(true), ascii("."), last]))
        }
        func tableOf(_ text: String, _ languages: inout RegularLanguages) throws(GrammarError) -> ID
        {
            guard let divisor = NumberBounds.Decimal(text),
                let table = languages.multiples(of: divisor)
            else {
                throw GrammarError(
                    .unsupported, "multiples of \(text) cannot be enforced", pointer: "",
                    keyword: "multipleOf")
            }
            return table
        }
        for text in flat.multiples { parts.append(try tableOf(text, &self)) }
        let excluded = flat.excludedValues.filter { $0.doubleValue != nil }
        if !flat.excludedMultiples.isEmpty || !excluded.isEmpty {
            let minus = optional(ascii("-"))
            parts.append(sequence(minus, plainNumbers(isInteger)))
        }
        for text in flat.excludedMultiples { parts.append(not(try tableOf(text, &self))) }
        for value in excluded {
            guard let number = NumberBounds.Decimal(value.text()) else { continue }
            // Every spelling without an exponent.
            let whole = ascii(
                String(decoding: number.whole.isEmpty ? [0x30] : number.whole, as: UTF8.self))
            let zeros = repeated(ascii("0"), 0, nil)
            let behind = sequence([ascii("."), literal(number.fraction), zeros])
            let sign =
                number.isZero ? optional(ascii("-")) : number.isNegative ? ascii("-") : Self.empty
            parts.append(
                not(sequence([sign, whole, number.fraction.isEmpty ? optional(behind) : behind])))
        }
        return both(parts)
    }

    /// Everything of a flat that is neither a list nor an object.
    mutating func scalars(_ flat: Flat) throws(GrammarError) -> ID {
        if let values = flat.values { return listed(values) }
        var parts: [ID] = []
        func isExcluded(_ value: JSON) -> Bool {
            flat.excludedValues.contains { $0.isSameValue(as: value) }
        }
        if flat.types.contains(.null), !isExcluded(.null) { parts.append(ascii("null")) }
        if flat.types.contains(.boolean) {
            for value in [true, false] where !isExcluded(.bool(value)) {
                parts.append(ascii(value ? "true" : "false"))
            }
        }
        if !flat.types.isDisjoint(with: .number) { parts.append(try number(flat)) }
        if flat.types.contains(.string) { parts.append(try string(flat)) }
        return either(parts)
    }

    /// One of some values.
    mutating func listed(_ values: [JSON]) -> ID {
        let plain = values.filter(\.isScalar).map { CanonicalJSON.bytes(of: $0) }
        let others = values.filter { !$0.isScalar }.map { value($0) }
        return either([oneOf(plain)] + others)
    }

    /// A value with space where JSON may have it.
    private mutating func value(_ value: JSON) -> ID {
        let space = space()
        switch value {
        case .array(let items):
            var parts = [ascii("["), space]
            for (index, item) in items.enumerated() {
                if index > 0 { parts += [space, ascii(","), space] }
                parts.append(self.value(item))
            }
            return sequence(parts + [space, ascii("]")])
        case .object(let members):
            let texts = members.members.map { name, item in
                let text = self.value(item)
                return sequence([string(name), ascii(":"), space, text])
            }
            let comma = sequence([space, ascii(","), space])
            return sequence([ascii("{"), space, inAnyOrder(texts, comma), space, ascii("}")])
        default: return literal(CanonicalJSON.bytes(of: value))
        }
    }
}

extension RegularLanguages {
    /// Parts with something between them; in every order where they are few.
    private mutating func inAnyOrder(_ parts: [ID], _ between: ID) -> ID {
        guard parts.count > 1 else { return parts.first ?? Self.empty }
        guard parts.count <= 4 else {
            return sequence(Array(parts.flatMap { [between, $0] }.dropFirst()))
        }
        let orders = parts.indices.map { first in
            var rest = parts
            let part = rest.remove(at: first)
            return sequence([part, between, inAnyOrder(rest, between)])
        }
        return either(orders)
    }
}

/// JSON as grammars write it: no space, each character in one spelling, integers without a fraction.
public enum CanonicalJSON {
    /// - Parameter keepsPoints: 1.0 stays what it is.
    public static func bytes(of value: JSON, keepsPoints: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        write(value, &bytes, keepsPoints)
        return bytes
    }

    private static func write(_ value: JSON, _ bytes: inout [UInt8], _ keepsPoints: Bool) {
        switch value {
        case .string(let text): write(text, &bytes)
        case .number(let number):
            if !keepsPoints, number.rounded() == number, abs(number) < 9e18 {
                bytes += String(Int(number)).utf8
            } else {
                let text = value.text()
                bytes += text.utf8
                // Some write 1.0 as 1.
                if keepsPoints, number.rounded() == number, !text.contains("."), !text.contains("e")
                {
                    bytes += Array(".0".utf8)
                }
            }
        case .array(let items):
            bytes.append(0x5B)
            for (index, item) in items.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                write(item, &bytes, keepsPoints)
            }
            bytes.append(0x5D)
        case .object(let members):
            bytes.append(0x7B)
            for (index, (name, item)) in members.members.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                write(name, &bytes)
                bytes.append(0x3A)
                write(item, &bytes, keepsPoints)
            }
            bytes.append(0x7D)
        default: bytes += value.text().utf8
        }
    }

    private static func write(_ text: String, _ bytes: inout [UInt8]) {
        bytes.append(0x22)
        bytes += content(of: text)
        bytes.append(0x22)
    }

    /// What stands between the quotes of a string.
    static func content(of text: some StringProtocol) -> [UInt8] {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x22: bytes += Array("\\\"".utf8)
            case 0x5C: bytes += Array("\\\\".utf8)
            case 0x08: bytes += Array("\\b".utf8)
            case 0x09: bytes += Array("\\t".utf8)
            case 0x0A: bytes += Array("\\n".utf8)
            case 0x0C: bytes += Array("\\f".utf8)
            case 0x0D: bytes += Array("\\r".utf8)
            case 0x00..<0x20:
                let digits = String(byte, radix: 16)
                bytes += Array(
                    ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: bytes.append(byte)
            }
        }
        return bytes
    }
}
