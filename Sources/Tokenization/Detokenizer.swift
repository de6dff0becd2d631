/// Text from tokens as they come, never half a character.
///
/// What it returns, put together, is the text of all tokens.
public struct Detokenizer: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    private let shown: Set<Int>
    /// Bytes that may yet become a character.
    private var pending: [UInt8] = []
    /// Whether `pending` came from byte-fallback tokens, whose bytes stand alone when they fail.
    private var pendingIsFallback = false

    /// - Parameter shown: special tokens that are text all the same.
    public init(
        _ tokenizer: Tokenizer, skipsSpecialTokens: Bool = true, showing shown: Set<Int> = []
    ) {
        self.shown = shown
        self.tokenizer = tokenizer
        self.skipsSpecialTokens = skipsSpecialTokens
    }

    /// Adds a token; returns the characters that are certain now.
    public mutating func append(_ id: Int) -> String {
        guard id >= 0, id < tokenizer.tokenCount else { return "" }
        if skipsSpecialTokens, tokenizer.isSpecial(id), !shown.contains(id) { return "" }
        let isFallback = tokenizer.isFallbackByte(id)
        var text = ""
        if isFallback != pendingIsFallback { text = finish() }
        pendingIsFallback = isFallback
        pending += tokenizer.bytes(of: id)
        let complete = pending.count - Detokenizer.openByteCount(pending)
        guard complete > 0 else { return text }
        text += decoded(pending[..<complete])
        pending.removeFirst(complete)
        return text
    }

    /// The rest, when no token follows: a character that was never completed becomes U+FFFD.
    public mutating func finish() -> String {
        defer { pending = [] }
        return pending.isEmpty ? "" : decoded(pending[...])
    }

    /// Invalid bytes of fallback tokens are replaced one by one, others by maximal subparts.
    private func decoded(_ bytes: ArraySlice<UInt8>) -> String {
        if pendingIsFallback, String(validating: bytes, as: UTF8.self) == nil {
            return String(repeating: "\u{FFFD}", count: bytes.count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Bytes at the end that begin a character and do not end it.
    static func openByteCount(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let tail = Array(bytes[(bytes.count - length)...])
            let lead = tail[0]
            if lead & 0xC0 == 0x80 { continue }
            let expected = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1
            guard lead <= 0xF4, length < expected, isOpen(tail) else { return 0 }
            return length
        }
        return 0
    }

    /// Whether some character begins with these bytes: the second byte of four leads is restricted.
    private static func isOpen(_ tail: [UInt8]) -> Bool {
        guard tail.count > 1 else { return true }
        return switch tail[0] {
        case 0xE0: tail[1] >= 0xA0
        case 0xED: tail[1] < 0xA0
        case 0xF0: tail[1] >= 0x90
        case 0xF4: tail[1] < 0x90
        default: true
        }
    }
}
