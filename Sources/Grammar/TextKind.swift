/// Texts that are alike to most languages: where one byte of them may come, mostly all may.
enum TextKind: Int, CaseIterable {
    /// Lower-case letters of ASCII.
    case lowerCase
    /// Letters of ASCII.
    case letters
    /// The same after a blank.
    case word
    /// Characters beyond ASCII, but for ends of lines.
    case foreign
    /// All that `CharacterRanges.sliced` has.
    case plain

    /// Which bytes may come in a place of such a text, and the place behind them. The text begins in place 0.
    typealias Step = (bytes: ClosedRange<UInt8>, next: Int)

    var places: [[Step]] { Self.allPlaces[rawValue] }

    private static let allPlaces: [[[Step]]] = allCases.map { kind in
        let lower: Step = (UInt8(ascii: "a")...UInt8(ascii: "z"), 0)
        let upper: Step = (UInt8(ascii: "A")...UInt8(ascii: "Z"), 0)
        switch kind {
        case .lowerCase: return [[lower]]
        case .letters: return [[lower, upper]]
        case .word: return [[(0x20...0x20, 1)], [(lower.bytes, 1), (upper.bytes, 1)]]
        case .foreign: return foreign(beside: [])
        case .plain: return foreign(beside: [0x20...0x21, 0x23...0x5B, 0x5D...0x7F])
        }
    }

    /// UTF-8 (RFC 3629): one more byte, two more, three more, and those with bounds of their own. U+85, U+2028 and U+2029
    /// are ends of lines.
    private static func foreign(beside ascii: [ClosedRange<UInt8>]) -> [[Step]] {
        let more: ClosedRange<UInt8> = 0x80...0xBF
        return [
            ascii.map { ($0, 0) } + [
                (0xC2...0xC2, 8), (0xC3...0xDF, 1), (0xE0...0xE0, 4), (0xE1...0xE1, 2),
                (0xE2...0xE2, 9), (0xE3...0xEC, 2), (0xED...0xED, 5), (0xEE...0xEF, 2),
                (0xF0...0xF0, 6), (0xF1...0xF3, 3), (0xF4...0xF4, 7),
            ],
            [(more, 0)], [(more, 1)], [(more, 2)],
            [(0xA0...0xBF, 1)], [(0x80...0x9F, 1)], [(0x90...0xBF, 2)], [(0x80...0x8F, 2)],
            [(0x80...0x84, 0), (0x86...0xBF, 0)], [(0x80...0x80, 10), (0x81...0xBF, 1)],
            [(0x80...0xA7, 0), (0xAA...0xBF, 0)],
        ]
    }

    /// How many bytes of a text are whole characters of the kind, from the beginning.
    func prefix(_ text: [UInt8]) -> Int {
        var (place, length) = (0, 0)
        for (index, byte) in text.enumerated() {
            guard let step = places[place].first(where: { $0.bytes.contains(byte) }) else { break }
            place = step.next
            if place == 0 { length = index + 1 }
        }
        return length
    }

    /// The first kind that a text is of, as a whole.
    init?(_ text: [UInt8]) {
        guard let kind = Self.allCases.first(where: { $0.has(text) }) else { return nil }
        self = kind
    }

    private func has(_ text: [UInt8]) -> Bool {
        var place = 0
        for byte in text {
            guard let step = places[place].first(where: { $0.bytes.contains(byte) }) else {
                return false
            }
            place = step.next
        }
        return self == .word ? place == 1 && text.count > 1 : place == 0
    }
}
