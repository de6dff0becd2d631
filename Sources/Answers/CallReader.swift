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
    /// Parameters that were read, and how far the end of the next one was looked for, by where they begin.
    private var parameters: [Int: Parameter] = [:]
    private var searched: [Int: Int] = [:]

    private struct Parameter {
        var key: String
        var value: JSON
        var end: Int
    }

    init(_ format: CallFormat, _ tools: Tools) {
        self.format = format
        self.tools = tools
    }

    /// What reading comes to a stop by.
    enum Stop: Error {
        case incomplete, none
    }

    /// - Parameter isEnd: whether nothing follows.
    mutating func read(_ bytes: [UInt8], isEnd: Bool) -> Result {
        var cursor = CallCursor(bytes: bytes)
        do throws(Stop) {
            let calls =
                switch format {
                case .hermes, .qwenCoder: try tagged(&cursor, isEnd)
                case .llama, .generic: try llama(&cursor)
                case .pythonic: try pythonic(&cursor, isEnd)
                case .mistral, .mistralNew: try mistral(&cursor)
                case .deepseek: try deepseek(&cursor, isEnd)
                }
            return .calls(calls, cursor.place)
        } catch {
            return error == .incomplete && !isEnd ? .incomplete : .none
        }
    }

    // MARK: Formats

    private mutating func tagged(_ cursor: inout CallCursor, _ isEnd: Bool) throws(Stop) -> [Call] {
        let isTagged = try cursor.take("<tool_call>")
        cursor.skipSpace()
        let call: Call
        if try cursor.take("<function=") {
            call = try function(&cursor, isEnd)
        } else {
            guard isTagged else { throw .none }
            call = try object(&cursor, ["arguments", "parameters"])
        }
        // A model may leave out what its end says anyway, or the beginning.
        let behind = cursor.place
        cursor.skipSpace()
        if try !cursor.takeEnd("</tool_call>", isEnd) {
            var next = cursor
            if isTagged, try !next.take("<tool_call>") { throw .none }
            cursor.place = behind
        }
        return [call]
    }

    /// Behind `<function=`.
    private mutating func function(
        _ cursor: inout CallCursor, _ isEnd: Bool
    ) throws(Stop) -> Call {
        let name = try cursor.text(until: ">").trimmed
        guard !name.isEmpty, !name.contains("<") else { throw .none }
        var arguments = JSON.Object()
        while true {
            cursor.skipSpace()
            if try cursor.take("</function>") { break }
            guard try cursor.take("<parameter=") else { throw .none }
            let start = cursor.place
            if parameters[start] == nil {
                let key = try cursor.text(until: ">")
                let text = try parameter(
                    &cursor, isEnd, isNew: { arguments[$0] == nil && $0 != key }, of: name)
                parameters[start] = Parameter(
                    key: key, value: value(of: text, key, name), end: cursor.place)
            }
            guard let known = parameters[start] else { break }
            arguments[known.key] = known.value
            cursor.place = known.end
        }
        return (name, JSON.object(arguments).text())
    }

    /// A parameter's text: up to an end behind which the next parameter begins or the function ends. Where a model has left
    /// the end out, the beginning of another parameter of the tool says the same, or the function's end before another call;
    /// the last function's end does when nothing else comes.
    private mutating func parameter(
        _ cursor: inout CallCursor, _ isEnd: Bool, isNew: (String) -> Bool, of tool: String
    ) throws(Stop) -> String {
        let start = cursor.place
        var from = searched[start] ?? start
        searched[start] = from
        while let place = cursor.find([UInt8(ascii: "<")], from: from) {
            var behind = cursor
            behind.place = place
            do throws(Stop) {
                if try behind.take("</parameter>") {
                    let next = behind.place
                    behind.skipSpace()
                    var isClosed = try behind.take("<parameter=")
                    if !isClosed { isClosed = try behind.take("</function>") }
                    if isClosed {
                        cursor.place = next
                        return Self.trimmed(cursor.bytes[start..<place])
                    }
                } else if place > start, cursor.bytes[place - 1] == 0x0A,
                    try behind.take("<parameter=")
                {
                    let key = try behind.text(until: ">")
                    if isNew(key), tools.has(key, of: tool) {
                        cursor.place = place
                        return Self.withoutEnd(cursor.bytes[start..<place])
                    }
                } else if try behind.takesEndOfFunction(), try behind.take("<tool_call>") {
                    cursor.place = place
                    return Self.withoutEnd(cursor.bytes[start..<place])
                }
            } catch {
                // Beyond what is there: it may be wanted again.
                if error == .incomplete { break }
            }
            from = place + 1
            searched[start] = from
        }
        guard isEnd else { throw .incomplete }
        from = start
        while let place = cursor.find([UInt8(ascii: "<")], from: from) {
            var behind = cursor
            behind.place = place
            if (try? behind.take("</function>")) == true {
                behind.skipSpace()
                if behind.isAtEnd || behind.isFront(of: "</tool_call>") {
                    cursor.place = place
                    return Self.withoutEnd(cursor.bytes[start..<place])
                }
            }
            from = place + 1
        }
        throw .none
    }

    /// Without the line ends that the format has around a value.
    private static func trimmed(_ text: ArraySlice<UInt8>) -> String {
        var text = text
        if text.first == 0x0A { text = text.dropFirst() }
        if text.last == 0x0A { text = text.dropLast() }
        return String(decoding: text, as: UTF8.self)
    }

    /// The same, and without something that was meant for an end.
    private static func withoutEnd(_ text: ArraySlice<UInt8>) -> String {
        var end = text
        while let last = end.last, last.isSpace { end = end.dropLast() }
        guard let open = end.lastIndex(of: UInt8(ascii: "<")),
            end[open...].starts(with: "</parameter".utf8),
            !end[open...].contains(where: { $0.isSpace })
        else { return trimmed(text) }
        return trimmed(text[..<open])
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

    private mutating func llama(_ cursor: inout CallCursor) throws(Stop) -> [Call] {
        _ = try cursor.take("<|python_tag|>")
        cursor.skipSpace()
        let call = try object(&cursor, ["parameters", "arguments"])
        guard tools.has(call.name) else { throw .none }
        return [call]
    }

    private mutating func pythonic(
        _ cursor: inout CallCursor, _ isEnd: Bool
    ) throws(Stop) -> [Call] {
        let isTagged = try cursor.take("<|python_start|>")
        cursor.skipSpace()
        let range = try bracketed(&cursor, UInt8(ascii: "["), quotes: [0x22, 0x27])
        var reader = PythonReader(Array(cursor.bytes[range]))
        guard let calls = reader.calls(), !calls.isEmpty,
            calls.allSatisfy({ tools.has($0.name) })
        else { throw .none }
        if isTagged {
            cursor.skipSpace()
            guard try cursor.takeEnd("<|python_end|>", isEnd) else { throw .none }
        }
        return calls.map { ($0.name, JSON.object($0.arguments).text()) }
    }

    private mutating func mistral(_ cursor: inout CallCursor) throws(Stop) -> [Call] {
        guard try cursor.take("[TOOL_CALLS]") else { throw .none }
        cursor.skipSpace()
        // Some write it twice.
        while try cursor.take("[TOOL_CALLS]") { cursor.skipSpace() }
        guard let first = cursor.next else { throw .incomplete }
        if first == UInt8(ascii: "[") {
            let range = try bracketed(&cursor, first)
            guard let list = try? JSON(parsing: Array(cursor.bytes[range])).arrayValue,
                !list.isEmpty
            else { throw .none }
            var inner = CallCursor(bytes: Array(cursor.bytes[range].dropFirst()))
            var calls: [Call] = []
            for _ in list {
                inner.skipSpace()
                _ = try inner.take(",")
                inner.skipSpace()
                calls.append(try object(&inner, ["arguments", "parameters"], keeps: false))
            }
            return calls
        }
        if first == UInt8(ascii: "{") {
            return [try object(&cursor, ["arguments", "parameters"])]
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

    private mutating func deepseek(_ cursor: inout CallCursor, _ isEnd: Bool) throws(Stop) -> [Call]
    {
        guard try cursor.take("<｜tool▁calls▁begin｜>") else { throw .none }
        var calls: [Call] = []
        while true {
            cursor.skipSpace()
            if isEnd, cursor.isAtEnd, !calls.isEmpty { break }
            if !calls.isEmpty, try cursor.take("<｜tool▁calls▁end｜>") { break }
            guard try cursor.take("<｜tool▁call▁begin｜>") else { throw .none }
            // "function" and a name, or a name alone (V3.1).
            var name = try cursor.text(until: "<｜tool▁sep｜>")
            if name == "function", cursor.next != UInt8(ascii: "{") {
                name = try cursor.text(until: "\n")
            }
            name = name.trimmed
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
        _ cursor: inout CallCursor, _ keys: [String], keeps: Bool = true
    ) throws(Stop) -> Call {
        let range = try bracketed(&cursor, UInt8(ascii: "{"), keeps: keeps)
        let bytes = Array(cursor.bytes[range])
        guard let json = try? JSON(parsing: bytes), let name = json["name"]?.stringValue,
            !name.isEmpty
        else { throw .none }
        guard let key = keys.first(where: { json[$0] != nil }), let value = json[key],
            !value.isNull
        else {
            // What else it has would be lost.
            let known = ["name", "type", "id"] + keys
            guard json.objectValue?.names.allSatisfy(known.contains) == true else { throw .none }
            return (name, "{}")
        }
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
        _ cursor: inout CallCursor, _ first: UInt8, quotes: [UInt8] = [0x22], keeps: Bool = true
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
}
