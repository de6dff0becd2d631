/// A set of tokens.
struct TokenMask {
    /// A bit for each token.
    private(set) var words: [UInt64]

    init(tokenCount: Int) { words = [UInt64](repeating: 0, count: (tokenCount + 63) / 64) }

    @inline(__always)
    mutating func insert(_ token: Int) { words[token / 64] |= 1 << UInt64(token % 64) }

    mutating func insert(_ tokens: ArraySlice<Int32>) {
        for token in tokens { insert(Int(token)) }
    }

    mutating func remove(_ tokens: ArraySlice<Int32>) {
        for token in tokens { words[Int(token) / 64] &= ~(1 << UInt64(token % 64)) }
    }

    /// Adds what another has of some tokens.
    mutating func formUnion(_ other: TokenMask, within tokens: TokenMask) {
        for index in words.indices { words[index] |= other.words[index] & tokens.words[index] }
    }

    mutating func formUnion(_ other: TokenMask) {
        for index in words.indices { words[index] |= other.words[index] }
    }
}
