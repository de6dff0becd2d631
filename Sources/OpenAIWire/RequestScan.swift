/// Finds what routing needs in a request's body, without reading all of it as JSON: which model it
/// names, and how its text begins.
///
/// It looks at the members of the outermost object only, and takes nothing for granted: a body that is
/// no JSON, or that is cut off, gives what was found until then, and the replica refuses it.
package struct RequestScan: Sendable, Equatable {
    /// The value of `model`, or of a mix the name of its first adapter, if it is a string of at most 1,000 bytes.
    package private(set) var model: String?
    /// Where the value of `messages` or `prompt` is in the body.
    package private(set) var text: Range<Int>?

    package init(_ body: [UInt8]) {
        var scanner = Scanner(bytes: body)
        guard scanner.take(UInt8(ascii: "{")) else { return }
        var part: String?
        defer { model = part ?? model }
        while let name = scanner.string() {
            guard scanner.take(UInt8(ascii: ":")) else { return }
            scanner.skipSpace()
            let start = scanner.position
            if name == "model", scanner.peek == UInt8(ascii: "\"") {
                model = scanner.string()
            } else {
                if name == "adapters" || name == "lora" { part = scanner.firstPart() }
                scanner.skipValue()
            }
            if name == "messages" || name == "prompt", text == nil {
                text = start..<scanner.position
            }
            guard scanner.take(UInt8(ascii: ",")) else { return }
        }
    }
}

private struct Scanner {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private static let longestString = 1000

    var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || (0x09...0x0D).contains(byte) { position += 1 }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard peek == byte else { return false }
        position += 1
        return true
    }

    /// - Returns: the string that begins here; nil for a long one, for one that is not closed, and when
    ///   there is none.
    mutating func string() -> String? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        var content: [UInt8] = []
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(validating: content, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let character = escape() else { return nil }
                content += Array(String(character).utf8)
            default: content.append(byte)
            }
            guard content.count <= Scanner.longestString else { return nil }
        }
        return nil
    }

    /// The name of the first adapter in the list that begins here; the scanner stays where it is.
    func firstPart() -> String? {
        var inner = self
        guard inner.take(UInt8(ascii: "[")), inner.take(UInt8(ascii: "{")) else { return nil }
        while let name = inner.string(), inner.take(UInt8(ascii: ":")) {
            inner.skipSpace()
            if name == "name" || name == "id", inner.peek == UInt8(ascii: "\"") {
                return inner.string()
            }
            inner.skipValue()
            guard inner.take(UInt8(ascii: ",")) else { return nil }
        }
        return nil
    }

    private mutating func escape() -> Character? {
        guard let byte = peek else { return nil }
        position += 1
        switch byte {
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "u"):
            guard bytes.count - position >= 4,
                let text = String(validating: bytes[position..<position + 4], as: UTF8.self),
                let code = UInt32(text, radix: 16), let scalar = Unicode.Scalar(code)
            else { return nil }
            position += 4
            return Character(scalar)
        default: return Character(Unicode.Scalar(byte))
        }
    }

    /// Passes over a value of any kind, nested as deep as it likes: only strings have to be understood.
    mutating func skipValue() {
        var depth = 0
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""): skipString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { return }
                depth -= 1
                position += 1
            case UInt8(ascii: ","):
                guard depth > 0 else { return }
                position += 1
            default: position += 1
            }
            if depth == 0, byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") { return }
        }
    }

    private mutating func skipString() {
        position += 1
        while let byte = peek {
            position += byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { break }
        }
        position = min(position, bytes.count)
    }
}
