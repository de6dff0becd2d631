extension JSON {
    /// Bounds on a document, checked while it is read.
    public struct Limits: Sendable {
        public var byteCount: Int
        public var depth: Int
        /// Of a member's name.
        public var nameByteCount: Int
        /// Values of all kinds. Each takes memory, however short its text.
        public var valueCount: Int

        public init(
            byteCount: Int = 512 << 20, depth: Int = 128, nameByteCount: Int = 512 << 20,
            valueCount: Int = .max
        ) {
            self.byteCount = byteCount
            self.depth = depth
            self.nameByteCount = nameByteCount
            self.valueCount = valueCount
        }
    }

    /// Reads one document by RFC 8259: UTF-8, no comments, no trailing commas, no duplicate names,
    /// nothing after it but white space.
    ///
    /// - Throws: `JSONError` with the byte offset of what is wrong.
    public init(parsing bytes: [UInt8], limits: Limits = Limits()) throws(JSONError) {
        guard bytes.count <= limits.byteCount else {
            throw JSONError("longer than \(limits.byteCount) bytes", at: limits.byteCount)
        }
        var parser = Parser(bytes: bytes, limits: limits)
        self = try parser.document()
    }

    public init(parsing text: String, limits: Limits = Limits()) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), limits: limits)
    }
}

/// Text that is not JSON.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    public let reason: String
    public let offset: Int

    init(_ reason: String, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    public var description: String { "not valid JSON at byte \(offset): \(reason)" }
}

private struct Parser {
    let bytes: [UInt8]
    let limits: JSON.Limits
    var position = 0
    var depth = 0
    var valueCount = 0

    init(bytes: [UInt8], limits: JSON.Limits) {
        self.bytes = bytes
        self.limits = limits
    }

    mutating func document() throws(JSONError) -> JSON {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        let value = try value()
        skipSpace()
        guard position == bytes.count else { throw failure("unexpected text after the value") }
        return value
    }

    private func failure(_ reason: String) -> JSONError {
        position < bytes.count
            ? JSONError(reason, at: position) : JSONError("the text ends early", at: bytes.count)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSON {
        skipSpace()
        valueCount += 1
        guard valueCount <= limits.valueCount else {
            throw failure("more than \(limits.valueCount) values")
        }
        switch next {
        case UInt8(ascii: "{"):
            return try nested { (parser) throws(JSONError) in try parser.object() }
        case UInt8(ascii: "["):
            return try nested { (parser) throws(JSONError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): return try number()
        default: throw failure("expected a value")
        }
    }

    private mutating func nested(
        _ read: (inout Parser) throws(JSONError) -> JSON
    ) throws(JSONError) -> JSON {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else {
            throw failure("nested deeper than \(limits.depth) levels")
        }
        position += 1
        return try read(&self)
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let expected = Array(text.description.utf8)
        guard bytes[position...].starts(with: expected) else { throw failure("expected \(text)") }
        position += expected.count
        return value
    }

    private mutating func array() throws(JSONError) -> JSON {
        var elements: [JSON] = []
        skipSpace()
        if skip(UInt8(ascii: "]")) { return .array([]) }
        while true {
            elements.append(try value())
            skipSpace()
            if skip(UInt8(ascii: "]")) { return .array(elements) }
            guard skip(UInt8(ascii: ",")) else { throw failure("expected , or ]") }
        }
    }

    private mutating func object() throws(JSONError) -> JSON {
        var object = JSON.Object()
        skipSpace()
        if skip(UInt8(ascii: "}")) { return .object(object) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw failure("expected a member's name") }
            let nameOffset = position
            let name = try string()
            guard name.utf8.count <= limits.nameByteCount else {
                throw JSONError(
                    "a name of more than \(limits.nameByteCount) bytes", at: nameOffset)
            }
            guard object[name] == nil else {
                throw JSONError("the name \"\(name)\" stands twice", at: nameOffset)
            }
            skipSpace()
            guard skip(UInt8(ascii: ":")) else { throw failure("expected :") }
            object[name] = try value()
            skipSpace()
            if skip(UInt8(ascii: "}")) { return .object(object) }
            guard skip(UInt8(ascii: ",")) else { throw failure("expected , or }") }
        }
    }

    // MARK: Numbers

    private mutating func number() throws(JSONError) -> JSON {
        let start = position
        var isInteger = true
        _ = skip(UInt8(ascii: "-"))
        guard let first = next, isDigit(first) else { throw failure("expected a digit") }
        skipDigits()
        if first == UInt8(ascii: "0"), position - start > (bytes[start] == first ? 1 : 2) {
            throw JSONError("a number starts with 0", at: start)
        }
        if skip(UInt8(ascii: ".")) {
            isInteger = false
            guard let byte = next, isDigit(byte) else { throw failure("expected a digit") }
            skipDigits()
        }
        if let byte = next, byte | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if !skip(UInt8(ascii: "+")) { _ = skip(UInt8(ascii: "-")) }
            guard let byte = next, isDigit(byte) else { throw failure("expected a digit") }
            skipDigits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw JSONError("a number out of range", at: start)
        }
        return isInteger ? .largeInteger(text) : .number(value)
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    private mutating func skipDigits() {
        while let byte = next, isDigit(byte) { position += 1 }
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        // What came before the last escape; appended to in place, so that escapes cost what they are long.
        var text: [UInt8] = []
        var runStart = position
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                let run = bytes[runStart..<position]
                position += 1
                if text.isEmpty { return try decode(run, at: start) }
                text += run
                return try decode(text[...], at: start)
            case UInt8(ascii: "\\"):
                text += bytes[runStart..<position]
                position += 1
                try escape(into: &text)
                runStart = position
            case 0..<0x20:
                throw failure("a control character in a string")
            default:
                position += 1
            }
        }
        throw failure("an open string")
    }

    private func decode(_ utf8: ArraySlice<UInt8>, at offset: Int) throws(JSONError) -> String {
        guard let text = String(validating: utf8, as: UTF8.self) else {
            throw JSONError("a string is not UTF-8", at: offset)
        }
        guard !text.hasTooManyMarks else {
            throw JSONError("a string has \(String.tooManyMarks)", at: offset)
        }
        return text
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw failure("an open string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(Character(try unicode())).utf8)
        default:
            position -= 1
            throw failure("an unknown escape")
        }
    }

    /// `\uXXXX`, or two of them for a character outside the basic plane. Half a pair stands for no
    /// character and is refused.
    private mutating func unicode() throws(JSONError) -> Unicode.Scalar {
        let high = try fourDigits()
        if let scalar = Unicode.Scalar(high) { return scalar }
        guard high < 0xDC00, skip(UInt8(ascii: "\\")), skip(UInt8(ascii: "u")) else {
            throw failure("half a surrogate pair")
        }
        let low = try fourDigits()
        guard (0xDC00..<0xE000).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        else { throw failure("half a surrogate pair") }
        return scalar
    }

    private mutating func fourDigits() throws(JSONError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw failure("an open string") }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}
