/// Tokens that are found in the text before anything else: chat markers and their like.
struct AddedTokens: Sendable {
    struct Token: Sendable, Equatable {
        var id: Int32
        var content: [UInt8]
        /// Not shown when special tokens are skipped.
        var isSpecial = true
        /// Matches only where no word character adjoins.
        var singleWord = false
        /// Takes the white space before it, or after it.
        var stripsLeft = false
        var stripsRight = false
    }

    /// A stretch of text: an added token, or what lies between two.
    enum Piece {
        case token(Int32)
        case text(Range<Int>)
    }

    /// In the order of their bytes.
    private var tokens: [Token] = []
    /// Those with a first byte are from its place up to the next one's.
    private var places = Array(repeating: 0, count: 257)

    var isEmpty: Bool { tokens.isEmpty }

    /// Of several tokens with one text the lowest id counts.
    init(_ tokens: [Token]) {
        let sorted = tokens.filter { !$0.content.isEmpty }.sorted {
            $0.content == $1.content
                ? $0.id < $1.id : $0.content.lexicographicallyPrecedes($1.content)
        }
        for token in sorted where token.content != self.tokens.last?.content {
            self.tokens.append(token)
            places[Int(token.content[0]) + 1] += 1
        }
        for byte in 0..<256 { places[byte + 1] += places[byte] }
    }

    /// The longest token that begins at a place.
    private func token(in text: [UInt8], at start: Int) -> Token? {
        // Those that begin as the text does; of them all but the first are longer than what was compared.
        var (low, high) = (places[Int(text[start])], places[Int(text[start]) + 1])
        var position = start + 1
        var longest: Token?
        while low < high {
            if tokens[low].content.count == position - start {
                longest = tokens[low]
                low += 1
            }
            guard position < text.count else { break }
            guard low < high else { break }
            let (byte, depth) = (text[position], position - start)
            if tokens[low].content[depth] != byte || tokens[high - 1].content[depth] != byte {
                low = partition(low..<high) { $0.content[depth] >= byte }
                high = partition(low..<high) { $0.content[depth] > byte }
            }
            position += 1
        }
        return longest
    }

    /// The first place of a range from which on something is so.
    private func partition(_ range: Range<Int>, _ isBehind: (Token) -> Bool) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = (low + high) / 2
            if isBehind(tokens[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Splits text at the tokens, leftmost first, longest first.
    func split(_ text: [UInt8]) -> [Piece] {
        guard !isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
        var pieces: [Piece] = []
        var textStart = 0
        var position = 0
        while position < text.count {
            guard let token = token(in: text, at: position) else {
                position += 1
                continue
            }
            var (start, end) = (position, position + token.content.count)
            position = end
            if token.singleWord, AddedTokens.adjoinsWord(text, start, end) { continue }
            if token.stripsLeft {
                start = AddedTokens.spaceStart(text, before: start, downTo: textStart)
            }
            if token.stripsRight { end = AddedTokens.spaceEnd(text, from: end) }
            if textStart < start { pieces.append(.text(textStart..<start)) }
            pieces.append(.token(token.id))
            textStart = end
            position = end
        }
        if textStart < text.count { pieces.append(.text(textStart..<text.count)) }
        return pieces
    }

    // MARK: Surroundings

    private static func adjoinsWord(_ text: [UInt8], _ start: Int, _ end: Int) -> Bool {
        let before = scalar(in: text, before: start)
        let after =
            end < text.count
            ? String(decoding: text[end..<min(end + 4, text.count)], as: UTF8.self).unicodeScalars
                .first : nil
        return [before, after].contains { $0.map(isWord) ?? false }
    }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic
            || scalar.properties.generalCategory == .decimalNumber
            || [.nonspacingMark, .spacingMark, .enclosingMark, .connectorPunctuation].contains(
                scalar.properties.generalCategory)
    }

    private static func scalar(in text: [UInt8], before end: Int) -> Unicode.Scalar? {
        guard end > 0 else { return nil }
        var start = end - 1
        while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
        return String(decoding: text[start..<end], as: UTF8.self).unicodeScalars.first
    }

    private static func spaceStart(_ text: [UInt8], before end: Int, downTo limit: Int) -> Int {
        var start = end
        while start > limit, let scalar = scalar(in: text, before: start),
            scalar.properties.isWhitespace
        {
            start -= UTF8.width(scalar)
        }
        return start
    }

    private static func spaceEnd(_ text: [UInt8], from start: Int) -> Int {
        var end = start
        while end < text.count,
            let scalar = String(decoding: text[end..<min(end + 4, text.count)], as: UTF8.self)
                .unicodeScalars.first, scalar.properties.isWhitespace
        {
            end += UTF8.width(scalar)
        }
        return end
    }
}
