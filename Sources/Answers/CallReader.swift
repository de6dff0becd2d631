internal import JSONTree

/// Reads calls that stand in front of a text, which may not be whole yet.
struct CallReader: Sendable {
    typealias Call = (name: String, arguments: String)

    enum Result {
        /// More text may make calls of it.
        case incomplete
        /// Calls, and how many bytes they take.
        case calls([Call], Int)
        /// It is something else.
        case none
    }

    private let format: CallFormat
    private let tools: Tools
    /// How far values are known, by where they begin.
    private var scanners: [Int: BracketScanner] = [:]
    /// How far a parameter's end was looked for, by where the parameter begins.
    private var searched: [Int: Int] = [:]

    init(_ format: CallFormat, _ tools: Tools) {
        self.format = format
        self.tools = tools
    }

    /// What reading comes to a stop by.
    private enum Stop: Error {
        case incomplete, none
    }

    /// - Parameter isEnd: whether nothing follows.
    mutating func read(_ bytes: [UInt8], isEnd: Bool) -> Result {
        var cursor = Cursor(bytes: bytes)
        do throws(Stop) {
            let calls =
                switch format {
                case .hermes, .qwenCoder: try tagged(&cursor, isEnd)
                case .llama, .generic: try llama(&cursor)
                case .pythonic: try pythonic(&cursor)
                case .mistral, .mistralNew: try mistral(&cursor)
                case .deepseek: try deepseek(&cursor, isEnd)
                }
            return .calls(calls, cursor.place)
        } catch {
            return error == .incomplete && !isEnd ? .incomplete : .none
        }
    }

    // MARK: Formats

    private mutating func tagged(_ cursor: inout Cursor, _ isEnd: Bool) throws(Stop) -> [Call] {
        let isTagged = try cursor.take("<tool_call>")
        cursor.skipSpace()
        let call: Call
        if try cursor.take("<function=") {
            call = try function(&cursor)
        } else {
            guard isTagged else { throw .none }
            call = try object(&cursor, ["arguments", "parameters"])
        }
        guard isTagged else { return [call] }
        cursor.skipSpace()
        // A model may leave out what its end says anyway.
        if isEnd, cursor.isAtEnd || "</tool_call>".utf8.starts(with: cursor.rest) {
            cursor.place = cursor.bytes.count
        } else {
            guard try cursor.take("</tool_call>") else { throw Stop.none }
        }
        return [call]
    }

    /// Behind `<function=`.
    private mutating func function(_ cursor: inout Cursor) throws(Stop) -> Call {
        let name = try cursor.text(until: ">")
        guard !name.isEmpty, !name.contains("<") else { throw .none }
        var arguments = JSON.Object()
        while true {
            cursor.skipSpace()
            if try cursor.take("</function>") { break }
            guard try cursor.take("<parameter=") else { throw .none }
            let key = try cursor.text(until: ">")
            arguments[key] = value(of: try parameter(&cursor), key, name)
        }
        return (name, JSON.object(arguments).text())
    }

    /// A parameter's text: up to an end behind which the next one begins, or the function ends.
    private mutating func parameter(_ cursor: inout Cursor) throws(Stop) -> String {
        let end = Array("</parameter>".utf8)
        let start = cursor.place
        var from = searched[start] ?? start
        while let place = cursor.find(end, from: from) {
            var behind = cursor
            behind.place = place + end.count
            behind.skipSpace()
            var isEnd = try behind.take("<parameter=")
            if !isEnd { isEnd = try behind.take("</function>") }
            guard isEnd else {
                from = place + 1
                continue
            }
            cursor.place = place + end.count
            var text = cursor.bytes[start..<place]
            if text.first == 0x0A { text = text.dropFirst() }
            if text.last == 0x0A { text = text.dropLast() }
            return String(decoding: text, as: UTF8.self)
        }
        searched[start] = max(from, cursor.bytes.count - end.count)
        throw .incomplete
    }

    /// A parameter's value by what its tool says it is.
    private func value(of text: String, _ key: String, _ tool: String) -> JSON {
        guard let types = tools.types(of: key, in: tool), !types.contains("string") else {
            return text == "null" && tools.types(of: key, in: tool)?.contains("null") == true
                ? .null : .string(text)
        }
        if let value = try? JSON(parsing: text, limits: JSON.Limits(depth: 64)) { return value }
        var python = PythonReader(Array(text.utf8))
        return python.whole() ?? .string(text)
    }

    private mutating func llama(_ cursor: inout Cursor) throws(Stop) -> [Call] {
        _ = try cursor.take("<|python_tag|>")
        cursor.skipSpace()
        let call = try object(&cursor, ["parameters", "arguments"])
        guard tools.has(call.name) else { throw .none }
        return [call]
    }

    private mutating func pythonic(_ cursor: inout Cursor) throws(Stop) -> [Call] {
        let isTagged = try cursor.take("<|python_start|>")
        cursor.skipSpace()
        let range = try bracketed(&cursor, UInt8(ascii: "["), quotes: [0x22, 0x27])
        var reader = PythonReader(Array(cursor.bytes[range]))
        guard let calls = reader.calls(), !calls.isEmpty,
            calls.allSatisfy({ tools.has($0.name) })
        else { throw .none }
        if isTagged {
            cursor.skipSpace()
            if try !cursor.take("<|python_end|>") { throw .none }
        }
        return calls.map { ($0.name, JSON.object($0.arguments).text()) }
    }

    private mutating func mistral(_ cursor: inout Cursor) throws(Stop) -> [Call] {
        guard try cursor.take("[TOOL_CALLS]") else { throw .none }
        cursor.skipSpace()
        guard let first = cursor.next else { throw .incomplete }
        if first == UInt8(ascii: "[") {
            let range = try bracketed(&cursor, first)
            guard let list = try? JSON(parsing: Array(cursor.bytes[range])).arrayValue,
                !list.isEmpty
            else { throw .none }
            var inner = Cursor(bytes: Array(cursor.bytes[range].dropFirst()))
            var calls: [Call] = []
            for _ in list {
                inner.skipSpace()
                _ = try inner.take(",")
                inner.skipSpace()
                calls.append(try object(&inner, ["arguments", "parameters"], keeps: false))
            }
            return calls
        }
        var name: [UInt8] = []
        while true {
            if try cursor.take("[ARGS]") { break }
            if try cursor.take("[CALL_ID]") {
                while let byte = cursor.next, byte != UInt8(ascii: "[") { cursor.place += 1 }
                guard try cursor.take("[ARGS]") else { throw .none }
                break
            }
            guard let byte = cursor.next else { throw .incomplete }
            if byte == UInt8(ascii: "{") { break }
            guard !byte.isSpace, byte != UInt8(ascii: "["), name.count < 256 else { throw .none }
            name.append(byte)
            cursor.place += 1
        }
        cursor.skipSpace()
        let range = try bracketed(&cursor, UInt8(ascii: "{"))
        let text = Array(cursor.bytes[range])
        guard !name.isEmpty, (try? JSON(parsing: text))?.objectValue != nil else { throw .none }
        return [(String(decoding: name, as: UTF8.self), String(decoding: text, as: UTF8.self))]
    }

    private mutating func deepseek(_ cursor: inout Cursor, _ isEnd: Bool) throws(Stop) -> [Call] {
        guard try cursor.take("<｜tool▁calls▁begin｜>") else { throw .none }
        var calls: [Call] = []
        while true {
            cursor.skipSpace()
            if isEnd, cursor.isAtEnd, !calls.isEmpty { break }
            if !calls.isEmpty, try cursor.take("<｜tool▁calls▁end｜>") { break }
            guard try cursor.take("<｜tool▁call▁begin｜>") else { throw .none }
            // "function" and a name, or a name alone (V3.1).
            var name = try cursor.text(until: "<｜tool▁sep｜>")
            if name == "function" {
                name = try cursor.text(until: "\n")
            }
            cursor.skipSpace()
            let isFenced = try cursor.take("```json")
            cursor.skipSpace()
            let range = try bracketed(&cursor, UInt8(ascii: "{"))
            let text = Array(cursor.bytes[range])
            guard (try? JSON(parsing: text))?.objectValue != nil, !name.isEmpty else { throw .none }
            cursor.skipSpace()
            if isFenced, try !cursor.take("```") { throw .none }
            cursor.skipSpace()
            guard try cursor.take("<｜tool▁call▁end｜>") else { throw .none }
            calls.append((name, String(decoding: text, as: UTF8.self)))
        }
        return calls
    }

    // MARK: Values

    /// An object with a name and arguments.
    ///
    /// - Parameter keeps: whether the same text is read again when there is more of it.
    private mutating func object(
        _ cursor: inout Cursor, _ keys: [String], keeps: Bool = true
    ) throws(Stop) -> Call {
        let range = try bracketed(&cursor, UInt8(ascii: "{"), keeps: keeps)
        let bytes = Array(cursor.bytes[range])
        guard let json = try? JSON(parsing: bytes), let name = json["name"]?.stringValue,
            !name.isEmpty
        else { throw .none }
        guard let key = keys.first(where: { json[$0] != nil }), let value = json[key],
            !value.isNull
        else { return (name, "{}") }
        if let text = value.stringValue {
            guard (try? JSON(parsing: text))?.objectValue != nil else { throw .none }
            return (name, text)
        }
        guard value.objectValue != nil, let slice = MemberScanner.value(of: key, in: bytes) else {
            throw .none
        }
        return (name, String(decoding: bytes[slice], as: UTF8.self))
    }

    /// A value between brackets, from the first to the one that closes it.
    private mutating func bracketed(
        _ cursor: inout Cursor, _ first: UInt8, quotes: [UInt8] = [0x22], keeps: Bool = true
    ) throws(Stop) -> Range<Int> {
        guard let next = cursor.next else { throw .incomplete }
        guard next == first else { throw .none }
        let start = cursor.place
        var scanner =
            (keeps ? scanners[start] : nil) ?? BracketScanner(place: start, quotes: quotes)
        let end = scanner.advance(cursor.bytes)
        if keeps { scanners[start] = scanner }
        guard let end else { throw .incomplete }
        cursor.place = end
        return start..<end
    }

    /// A place in a text.
    private struct Cursor {
        let bytes: [UInt8]
        var place = 0

        var isAtEnd: Bool { place == bytes.count }
        var rest: ArraySlice<UInt8> { bytes[place...] }
        var next: UInt8? { isAtEnd ? nil : bytes[place] }

        mutating func skipSpace() {
            while let byte = next, byte.isSpace { place += 1 }
        }

        /// Goes behind a text if it stands here.
        mutating func take(_ text: String) throws(Stop) -> Bool {
            let front = bytes[place...].prefix(text.utf8.count)
            if front.elementsEqual(text.utf8) {
                place += front.count
                return true
            }
            if text.utf8.starts(with: front) { throw .incomplete }
            return false
        }

        /// What stands before a marker, and goes behind it.
        mutating func text(until marker: String) throws(Stop) -> String {
            guard let found = find(Array(marker.utf8), from: place) else {
                guard bytes.count - place < 512 else { throw .none }
                throw .incomplete
            }
            defer { place = found + marker.utf8.count }
            return String(decoding: bytes[place..<found], as: UTF8.self)
        }

        func find(_ text: [UInt8], from start: Int) -> Int? {
            guard bytes.count - start >= text.count else { return nil }
            return (start...bytes.count - text.count).first {
                bytes[$0] == text[0] && bytes[$0...].starts(with: text)
            }
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
