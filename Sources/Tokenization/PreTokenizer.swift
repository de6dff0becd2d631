/// Splits text into words, which byte pair encoding never merges across.
///
/// The splitting patterns of the supported families are written as scanners: one pass, no
/// backtracking, the same result as the regular expressions they stand for.
enum PreTokenizer: Sendable, Equatable {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    case gpt2
    /// GPT-2's after each digit has been set apart.
    case smolLM
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    /// with this many digits at most; Qwen2's has one.
    case llama3(digits: Int)
    /// GPT-4o's: words end where a small letter is followed by a capital one.
    case o200k
    /// The whole text is one word, as SentencePiece has it.
    case whole

    static let gpt2Pattern =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    static let llama3Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    static let qwen2Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    static let o200kPattern =
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// Calls `word` with the bytes of each word in order.
    func split(_ text: String, _ word: ([UInt8]) -> Void) {
        if self == .whole {
            if !text.isEmpty { word(Array(text.utf8)) }
            return
        }
        var scanner = Scanner(text)
        while scanner.position < scanner.count {
            let start = scanner.position
            switch self {
            case .gpt2: scanner.skipGPT2(until: scanner.count)
            case .smolLM: scanner.skipSmolLM()
            case .llama3(let digits): scanner.skipLlama3(digits: digits)
            case .o200k: scanner.skipO200k()
            case .whole: break
            }
            word(scanner.bytes(from: start))
        }
    }
}

/// Characters by what the patterns ask of them.
private enum Class: UInt8 {
    case letter, number, newline, space, other

    init(_ scalar: Unicode.Scalar) {
        switch scalar.value {
        case 0x61...0x7A, 0x41...0x5A: self = .letter
        case 0x30...0x39: self = .number
        case 0x0A, 0x0D: self = .newline
        case 0x09, 0x0B, 0x0C, 0x20: self = .space
        case 0..<0x80: self = .other
        default:
            if scalar.properties.isWhitespace {
                self = .space
                return
            }
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter,
                .otherLetter:
                self = .letter
            case .decimalNumber, .letterNumber, .otherNumber: self = .number
            default: self = .other
            }
        }
    }
}

private struct Scanner {
    private let scalars: [Unicode.Scalar]
    private let classes: [Class]
    private let utf8: [UInt8]
    private var byteOffsets: [Int]
    private(set) var position = 0
    /// Where the stretch without numbers that `skipSmolLM` is in ends.
    private var stretchEnd = 0

    var count: Int { scalars.count }

    init(_ text: String) {
        scalars = Array(text.unicodeScalars)
        classes = scalars.map { Class($0) }
        utf8 = Array(text.utf8)
        byteOffsets = []
        byteOffsets.reserveCapacity(scalars.count + 1)
        var offset = 0
        for scalar in scalars {
            byteOffsets.append(offset)
            offset += UTF8.width(scalar)
        }
        byteOffsets.append(offset)
    }

    func bytes(from start: Int) -> [UInt8] {
        Array(utf8[byteOffsets[start]..<byteOffsets[position]])
    }

    private func isSpace(_ index: Int) -> Bool {
        classes[index] == .space || classes[index] == .newline
    }

    private mutating func skip(_ kind: Class, from start: Int, until end: Int) -> Bool {
        var index = start
        while index < end, classes[index] == kind { index += 1 }
        guard index > start else { return false }
        position = index
        return true
    }

    // MARK: GPT-2

    mutating func skipGPT2(until end: Int) {
        if let length = contraction(ignoringCase: false, until: end) {
            position += length
            return
        }
        let start = position
        let afterSpace = scalars[start] == " " ? start + 1 : start
        for kind in [Class.letter, .number, .other] where skip(kind, from: afterSpace, until: end) {
            return
        }
        skipSpaces(until: end)
    }

    /// Each number stands alone; what is between numbers is split as GPT-2 does, on its own.
    mutating func skipSmolLM() {
        if classes[position] == .number {
            position += 1
            return
        }
        if stretchEnd <= position {
            stretchEnd = position
            while stretchEnd < count, classes[stretchEnd] != .number { stretchEnd += 1 }
        }
        skipGPT2(until: stretchEnd)
    }

    /// `\s+(?!\S)|\s+`: a run of spaces but for its last one, when something follows it.
    private mutating func skipSpaces(until end: Int) {
        let start = position
        var stop = start
        while stop < end, isSpace(stop) { stop += 1 }
        position = stop < end && stop - start > 1 ? stop - 1 : max(stop, start + 1)
    }

    // MARK: Llama 3

    mutating func skipLlama3(digits: Int) {
        if let length = contraction(ignoringCase: true, until: count) {
            position += length
            return
        }
        let start = position
        let kind = classes[start]
        let takesOne = kind == .space || kind == .other
        if skip(.letter, from: takesOne ? start + 1 : start, until: count) { return }
        if kind == .number {
            _ = skip(.number, from: start, until: min(count, start + digits))
            return
        }
        if skip(.other, from: scalars[start] == " " ? start + 1 : start, until: count) {
            _ = skip(.newline, from: position, until: count)
            return
        }
        skipLines()
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`
    private mutating func skipLines() {
        let start = position
        var stop = start
        var afterNewline: Int?
        while stop < count, isSpace(stop) {
            if classes[stop] == .newline { afterNewline = stop + 1 }
            stop += 1
        }
        if let afterNewline {
            position = afterNewline
        } else {
            skipSpaces(until: count)
        }
    }

    // MARK: GPT-4o

    mutating func skipO200k() {
        let start = position
        let kind = classes[start]
        let takesOne = (kind == .space || kind == .other) && start + 1 < count
        // With the character before the letters, if there is one, or else without.
        var end = takesOne ? smallEnd(from: start + 1) : nil
        if end == nil { end = smallEnd(from: start) }
        if end == nil, takesOne { end = capitalEnd(from: start + 1) }
        if end == nil { end = capitalEnd(from: start) }
        if let end {
            position = end
            if end < count, let length = contraction(ignoringCase: true, until: count) {
                position += length
            }
            return
        }
        if kind == .number {
            _ = skip(.number, from: start, until: min(count, start + 3))
            return
        }
        if skip(.other, from: scalars[start] == " " ? start + 1 : start, until: count) {
            while position < count, classes[position] == .newline || scalars[position] == "/" {
                position += 1
            }
            return
        }
        skipLines()
    }

    /// Letters that have no case, and marks, are both.
    private func letterCase(_ index: Int) -> (capital: Bool, small: Bool) {
        switch scalars[index].properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter: (true, false)
        case .lowercaseLetter: (false, true)
        case .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark, .enclosingMark:
            (true, true)
        default: (false, false)
        }
    }

    /// The end of capitals without end, then a small letter or more: the last capital is given back where it may be one.
    private func smallEnd(from start: Int) -> Int? {
        var end = start
        var lastOfBoth: Int?
        while end < count, letterCase(end).capital {
            if letterCase(end).small { lastOfBoth = end }
            end += 1
        }
        guard end < count, letterCase(end).small else { return lastOfBoth.map { $0 + 1 } }
        while end < count, letterCase(end).small { end += 1 }
        return end
    }

    /// The end of a capital or more, where no small letter follows.
    private func capitalEnd(from start: Int) -> Int? {
        var end = start
        while end < count, letterCase(end).capital { end += 1 }
        return end > start ? end : nil
    }

    /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at the position.
    private func contraction(ignoringCase: Bool, until end: Int) -> Int? {
        guard scalars[position] == "'", position + 1 < end else { return nil }
        func letter(_ index: Int) -> Unicode.Scalar? {
            guard index < end else { return nil }
            let scalar = scalars[index]
            guard ignoringCase else { return scalar }
            if scalar == "\u{17F}" { return "s" }  // the long s folds to s
            return 0x41...0x5A ~= scalar.value ? Unicode.Scalar(scalar.value | 0x20) : scalar
        }
        switch (letter(position + 1), letter(position + 2)) {
        case ("s", _), ("t", _), ("m", _), ("d", _): return 2
        case ("r", "e"), ("v", "e"), ("l", "l"): return 3
        default: return nil
        }
    }
}
