/// A set of bytes.
struct ByteSet: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    init(_ range: ClosedRange<UInt8>) { for byte in range { insert(byte) } }

    static let all = ByteSet(0...255)

    var isEmpty: Bool { words.0 | words.1 | words.2 | words.3 == 0 }

    func contains(_ byte: UInt8) -> Bool {
        let word: UInt64 =
            switch byte >> 6 {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            default: words.3
            }
        return word >> (byte & 63) & 1 != 0
    }

    mutating func insert(_ byte: UInt8) {
        let bit = UInt64(1) << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: words.0 |= bit
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        default: words.3 |= bit
        }
    }

    private func combined(_ other: ByteSet, _ combine: (UInt64, UInt64) -> UInt64) -> ByteSet {
        var result = ByteSet()
        result.words = (
            combine(words.0, other.words.0), combine(words.1, other.words.1),
            combine(words.2, other.words.2), combine(words.3, other.words.3)
        )
        return result
    }

    func union(_ other: ByteSet) -> ByteSet { combined(other) { $0 | $1 } }
    func intersection(_ other: ByteSet) -> ByteSet { combined(other) { $0 & $1 } }

    /// Bytes that are in the set when the one before is not, and the other way round.
    var boundaries: ByteSet {
        var result = ByteSet()
        // Each bit against the one before it.
        result.words = (
            words.0 ^ words.0 << 1, words.1 ^ (words.1 << 1 | words.0 >> 63),
            words.2 ^ (words.2 << 1 | words.1 >> 63), words.3 ^ (words.3 << 1 | words.2 >> 63)
        )
        return result
    }

    var bytes: [UInt8] { (0...255 as ClosedRange<UInt8>).filter(contains) }

    static func == (a: ByteSet, b: ByteSet) -> Bool { a.words == b.words }

    func mix(into mixer: inout Mixer) {
        mixer.mix(words.0)
        mixer.mix(words.1)
        mixer.mix(words.2)
        mixer.mix(words.3)
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
    }
}

/// Bytes in classes that are alike to all languages, by where a set of them begins or ends.
struct ByteClasses {
    private(set) var boundaries = ByteSet()
    /// By byte.
    private(set) var numbers = [UInt8](repeating: 0, count: 256)
    private(set) var count = 1
    /// The first byte of each.
    private(set) var first: [UInt8] = [0]

    /// - Returns: for each class the one before that it is a part of; nil when nothing has changed.
    mutating func split(at more: ByteSet) -> [Int]? {
        let all = boundaries.union(more)
        guard all != boundaries else { return nil }
        let before = numbers
        boundaries = all
        first = [0]
        for byte in 0...255 as ClosedRange<UInt8> {
            if byte > 0, all.contains(byte) { first.append(byte) }
            numbers[Int(byte)] = UInt8(first.count - 1)
        }
        count = first.count
        return first.map { Int(before[Int($0)]) }
    }
}
