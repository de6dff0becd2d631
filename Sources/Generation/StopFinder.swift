/// Looks for stop strings in text that comes in pieces, and holds back what may be the start of one.
package struct StopFinder {
    private let stops: [[UInt8]]
    private let includesStop: Bool
    /// Text not yet let through.
    private var held: [UInt8] = []

    package init(_ stops: [String], includesStop: Bool) {
        self.stops = stops.map { Array($0.utf8) }
        self.includesStop = includesStop
    }

    /// Adds text; returns what is certain to be output, and the stop string if one is complete.
    /// Nothing may be added after that.
    package mutating func append(_ text: String) -> (text: String, stop: String?) {
        guard !stops.isEmpty else { return (text, nil) }
        held += Array(text.utf8)
        var first: (start: Int, stop: [UInt8])?
        for stop in stops {
            guard let start = firstIndex(of: stop) else { continue }
            // The one that is complete first; of those the one that starts first.
            if let found = first,
                (found.start + found.stop.count, found.start) <= (start + stop.count, start)
            {
                continue
            }
            first = (start, stop)
        }
        if let first {
            let end = includesStop ? first.start + first.stop.count : first.start
            defer { held = [] }
            return (
                String(decoding: held[..<end], as: UTF8.self),
                String(decoding: first.stop, as: UTF8.self)
            )
        }
        let kept = stops.map { overlap(with: $0) }.max() ?? 0
        let sure = held.count - kept
        defer { held.removeFirst(sure) }
        return (String(decoding: held[..<sure], as: UTF8.self), nil)
    }

    /// What was held back, when no more text comes.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    private func firstIndex(of stop: [UInt8]) -> Int? {
        guard held.count >= stop.count else { return nil }
        return (0...held.count - stop.count).first { held[$0...].starts(with: stop) }
    }

    /// Length of the longest end of the text that begins a stop string.
    private func overlap(with stop: [UInt8]) -> Int {
        var length = min(stop.count - 1, held.count)
        while length > 0, !held[(held.count - length)...].elementsEqual(stop[..<length]) {
            length -= 1
        }
        return length
    }
}
