internal import JSONTree

/// A place in a text.
struct CallCursor {
    let bytes: [UInt8]
    var place = 0

    var isAtEnd: Bool { place == bytes.count }
    var rest: ArraySlice<UInt8> { bytes[place...] }
    var next: UInt8? { isAtEnd ? nil : bytes[place] }

    /// Whether what is left is the beginning of a text, or nothing.
    func isFront(of text: String) -> Bool { text.utf8.starts(with: rest) }

    mutating func skipSpace() {
        while let byte = next, byte.isSpace { place += 1 }
    }

    /// Goes behind a text if it stands here.
    mutating func take(_ text: String) throws(CallReader.Stop) -> Bool {
        let front = bytes[place...].prefix(text.utf8.count)
        if front.elementsEqual(text.utf8) {
            place += front.count
            return true
        }
        if text.utf8.starts(with: front) { throw .incomplete }
        return false
    }

    /// The same of an end that a model may leave out where its answer ends.
    mutating func takeEnd(_ text: String, _ isEnd: Bool) throws(CallReader.Stop) -> Bool {
        guard isEnd, isFront(of: text) else { return try take(text) }
        place = bytes.count
        return true
    }

    /// What stands before a marker, and goes behind it.
    mutating func text(until marker: String) throws(CallReader.Stop) -> String {
        let found = find(Array(marker.utf8), from: place)
        guard (found ?? bytes.count) - place < 512 else { throw .none }
        guard let found else { throw .incomplete }
        defer { place = found + marker.utf8.count }
        return String(decoding: bytes[place..<found], as: UTF8.self)
    }

    /// The ends of a function and of the call around it.
    mutating func takesEndOfFunction() throws(CallReader.Stop) -> Bool {
        guard try take("</function>") else { return false }
        skipSpace()
        guard try take("</tool_call>") else { return false }
        skipSpace()
        return true
    }

    func find(_ text: [UInt8], from start: Int) -> Int? {
        guard bytes.count - start >= text.count else { return nil }
        return (start...bytes.count - text.count).first {
            bytes[$0] == text[0] && bytes[$0...].starts(with: text)
        }
    }
}

/// Finds where a value between brackets ends; goes on where it stopped when there is more.
struct BracketScanner: Sendable {
    var place: Int
    let quotes: [UInt8]
    private var depth = 0
    private var quote: UInt8?
    private var isEscaped = false
    private var end: Int?

    init(place: Int, quotes: [UInt8]) {
        self.place = place
        self.quotes = quotes
    }

    /// - Returns: the place behind the last bracket; nil when it is not there yet.
    mutating func advance(_ bytes: [UInt8]) -> Int? {
        while end == nil, place < bytes.count {
            let byte = bytes[place]
            place += 1
            if isEscaped {
                isEscaped = false
            } else if let open = quote {
                if byte == UInt8(ascii: "\\") { isEscaped = true }
                if byte == open { quote = nil }
            } else if quotes.contains(byte) {
                quote = byte
            } else if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
                || byte == UInt8(ascii: "(")
            {
                depth += 1
            } else if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
                || byte == UInt8(ascii: ")")
            {
                depth -= 1
                if depth == 0 { end = place }
            }
        }
        return end
    }
}

/// Finds a member's text in an object that is known to be JSON.
enum MemberScanner {
    static func value(of name: String, in bytes: [UInt8]) -> Range<Int>? {
        var place = 1
        while place < bytes.count {
            guard let key = string(in: bytes, from: place) else { return nil }
            guard let colon = bytes[key.upperBound...].firstIndex(of: UInt8(ascii: ":")) else {
                return nil
            }
            let start = bytes[(colon + 1)...].firstIndex { !$0.isSpace } ?? bytes.count
            let end = endOfValue(bytes, start)
            let isIt = (try? JSON(parsing: Array(bytes[key]))) == .string(name)
            if isIt { return start..<end }
            place = end + 1
        }
        return nil
    }

    private static func string(in bytes: [UInt8], from start: Int) -> Range<Int>? {
        guard let first = bytes[start...].firstIndex(of: 0x22) else { return nil }
        var place = first + 1
        while place < bytes.count, bytes[place] != 0x22 {
            place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        return place < bytes.count ? first..<place + 1 : nil
    }

    private static func endOfValue(_ bytes: [UInt8], _ start: Int) -> Int {
        switch bytes[start] {
        case 0x22: return string(in: bytes, from: start)?.upperBound ?? bytes.count
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            var scanner = BracketScanner(place: start, quotes: [0x22])
            return scanner.advance(bytes) ?? bytes.count
        default:
            return bytes[start...].firstIndex {
                $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "}") || $0.isSpace
            } ?? bytes.count
        }
    }
}

extension String {
    /// Without white space around it.
    var trimmed: String {
        let bytes = Array(utf8)
        guard let first = bytes.firstIndex(where: { !$0.isSpace }),
            let last = bytes.lastIndex(where: { !$0.isSpace })
        else { return "" }
        return String(decoding: bytes[first...last], as: UTF8.self)
    }
}
