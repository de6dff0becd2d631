package import JSONTree

/// Server-sent events from bytes as they come.
package struct EventReader {
    private var pending: [UInt8] = []
    /// Bytes of `pending` that are known to have no line's end.
    private var scannedCount = 0
    private let limit: Int
    /// Whether the end of an OpenAI stream was read.
    package private(set) var isDone = false

    /// - Parameter limit: bytes of one event.
    package init(limit: Int = 64 << 20) { self.limit = limit }

    /// - Returns: the events that the bytes complete.
    /// - Throws: `JSONError` when one of them is no JSON, `EventTooLong`.
    package mutating func add(_ bytes: [UInt8]) throws -> [JSON] {
        pending += bytes
        var events: [JSON] = []
        var start = 0
        while let end = pending[max(start, scannedCount)...].firstIndex(of: UInt8(ascii: "\n")) {
            if let event = try event(pending[start..<end]) { events.append(event) }
            start = end + 1
        }
        pending.removeFirst(start)
        scannedCount = pending.count
        guard pending.count <= limit else { throw EventTooLong(limit: limit) }
        return events
    }

    private mutating func event(_ line: ArraySlice<UInt8>) throws(JSONError) -> JSON? {
        guard line.starts(with: "data:".utf8) else { return nil }
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0D || byte == 0x09 }
        let data = line.dropFirst(5).drop(while: isSpace)
        let end = data.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? data.startIndex
        let text = data[..<end]
        guard !text.elementsEqual("[DONE]".utf8) else {
            isDone = true
            return nil
        }
        return try JSON(parsing: Array(text))
    }
}

package struct EventTooLong: Error, CustomStringConvertible {
    let limit: Int

    package var description: String { "an event is longer than \(limit) bytes" }
}
