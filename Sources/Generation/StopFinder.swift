/// Looks for stop strings in text that comes in pieces, and holds back what may be the start of one.
///
/// Each byte costs a few steps for each stop string, however much of them it nearly matches
/// (Knuth, Morris and Pratt's algorithm).
package struct StopFinder {
    private var stops: [Pattern]
    private let includesStop: Bool
    /// Text not yet let through: as much as the longest beginning of a stop string at its end.
    private var held: [UInt8] = []

    package init(_ stops: [String], includesStop: Bool) {
        self.stops = stops.filter { !$0.isEmpty }.map { Pattern(Array($0.utf8)) }
        self.includesStop = includesStop
    }

    /// Adds text; returns what is certain to be output, and the stop string if one is complete.
    /// Nothing may be added after that.
    package mutating func append(_ text: String) -> (text: String, stop: String?) {
        guard !stops.isEmpty else { return (text, nil) }
        for byte in text.utf8 {
            held.append(byte)
            // The one that is complete first; of those the longest, which starts first.
            var found: [UInt8] = []
            for index in stops.indices
            where stops[index].accept(byte) && stops[index].bytes.count > found.count {
                found = stops[index].bytes
            }
            guard found.isEmpty else {
                let end = includesStop ? held.count : held.count - found.count
                defer { held = [] }
                return (
                    String(decoding: held[..<end], as: UTF8.self),
                    String(decoding: found, as: UTF8.self)
                )
            }
        }
        let sure = held.count - (stops.map(\.matchedCount).max() ?? 0)
        defer { held.removeFirst(sure) }
        return (String(decoding: held[..<sure], as: UTF8.self), nil)
    }

    /// What was held back, when no more text comes.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }
}

/// A string that is looked for byte by byte.
private struct Pattern {
    let bytes: [UInt8]
    /// How much of the pattern the bytes so far end with.
    private(set) var matchedCount = 0
    /// For each beginning of the pattern, the longest shorter beginning that it ends with.
    private let fallbacks: [Int]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var fallbacks = [0]
        var length = 0
        for byte in bytes.dropFirst() {
            while length > 0, bytes[length] != byte { length = fallbacks[length - 1] }
            if bytes[length] == byte { length += 1 }
            fallbacks.append(length)
        }
        self.fallbacks = fallbacks
    }

    /// Takes the next byte; returns whether the pattern is complete.
    mutating func accept(_ byte: UInt8) -> Bool {
        while matchedCount > 0, matchedCount == bytes.count || bytes[matchedCount] != byte {
            matchedCount = fallbacks[matchedCount - 1]
        }
        if bytes[matchedCount] == byte { matchedCount += 1 }
        return matchedCount == bytes.count
    }
}
