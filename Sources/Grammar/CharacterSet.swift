/// A set of code points as ranges, sorted and apart.
struct CharacterRanges: Hashable, Sendable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let last: UInt32 = 0x10FFFF
    /// Every character that text can have: no surrogates.
    static let all = CharacterRanges([0...0xD7FF, 0xE000...last])

    init(_ ranges: [ClosedRange<UInt32>]) {
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let end = self.ranges.last?.upperBound, range.lowerBound <= end &+ 1 {
                let first = self.ranges.removeLast().lowerBound
                self.ranges.append(first...max(end, range.upperBound))
            } else {
                self.ranges.append(range)
            }
        }
    }

    init(_ scalars: String) { self.init(scalars.unicodeScalars.map { $0.value...$0.value }) }

    func union(_ other: CharacterRanges) -> CharacterRanges {
        CharacterRanges(ranges + other.ranges)
    }

    var inverted: CharacterRanges {
        var result: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= CharacterRanges.last { result.append(next...CharacterRanges.last) }
        return CharacterRanges(result).intersection(.all)
    }

    func intersection(_ other: CharacterRanges) -> CharacterRanges {
        var result: [ClosedRange<UInt32>] = []
        for range in ranges {
            for their in other.ranges where range.overlaps(their) {
                result.append(range.clamped(to: their))
            }
        }
        return CharacterRanges(result)
    }

    // MARK: Classes of regular expressions, as ECMAScript has them

    static let digits = CharacterRanges([0x30...0x39])
    static let word = CharacterRanges([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    static let space = CharacterRanges([
        0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
        0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
    ])
    static let lineEnds = CharacterRanges([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029])

    /// A general category by its short or long name: L, Lu, Letter; nil for what is none.
    static func category(_ name: String) -> CharacterRanges? {
        let long = [
            "Letter": "L", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Mark": "M",
            "Number": "N", "Decimal_Number": "Nd", "Punctuation": "P", "Symbol": "S",
            "Separator": "Z", "Other": "C",
        ]
        let short = long[name] ?? name
        guard short.utf8.count == 1 || short.utf8.count == 2 else { return nil }
        var found: [ClosedRange<UInt32>] = []
        for range in CharacterRanges.all.ranges {
            for value in range {
                guard let scalar = Unicode.Scalar(value),
                    abbreviation(scalar.properties.generalCategory).hasPrefix(short)
                else { continue }
                if let end = found.last?.upperBound, end + 1 == value {
                    found[found.count - 1] = found[found.count - 1].lowerBound...value
                } else {
                    found.append(value...value)
                }
            }
        }
        return found.isEmpty ? nil : CharacterRanges(found)
    }

    private static func abbreviation(_ category: Unicode.GeneralCategory) -> String {
        switch category {
        case .uppercaseLetter: "Lu"
        case .lowercaseLetter: "Ll"
        case .titlecaseLetter: "Lt"
        case .modifierLetter: "Lm"
        case .otherLetter: "Lo"
        case .nonspacingMark: "Mn"
        case .spacingMark: "Mc"
        case .enclosingMark: "Me"
        case .decimalNumber: "Nd"
        case .letterNumber: "Nl"
        case .otherNumber: "No"
        case .connectorPunctuation: "Pc"
        case .dashPunctuation: "Pd"
        case .openPunctuation: "Ps"
        case .closePunctuation: "Pe"
        case .initialPunctuation: "Pi"
        case .finalPunctuation: "Pf"
        case .otherPunctuation: "Po"
        case .mathSymbol: "Sm"
        case .currencySymbol: "Sc"
        case .modifierSymbol: "Sk"
        case .otherSymbol: "So"
        case .spaceSeparator: "Zs"
        case .lineSeparator: "Zl"
        case .paragraphSeparator: "Zp"
        case .control: "Cc"
        case .format: "Cf"
        case .surrogate: "Cs"
        case .privateUse: "Co"
        case .unassigned: "Cn"
        @unknown default: "Cn"
        }
    }
}

/// What a set of characters is known by.
struct CharacterKey: Hashable {
    var set: CharacterRanges
    var encoding: Encoding
}

/// How characters are written as bytes.
enum Encoding: Hashable, Sendable {
    /// UTF-8.
    case text
    /// Inside a JSON string, each in one way: as itself where it may be, else by its short escape or as \u00xx.
    case jsonString
}

extension RegularLanguages {
    /// One character of a set.
    mutating func character(_ set: CharacterRanges, _ encoding: Encoding) -> ID {
        let key = CharacterKey(set: set, encoding: encoding)
        if let known = characterLanguages[key] { return known }
        let result = newCharacter(set, encoding)
        characterLanguages[key] = result
        return result
    }

    private mutating func newCharacter(_ set: CharacterRanges, _ encoding: Encoding) -> ID {
        guard encoding == .jsonString else { return utf8(set.intersection(.all)) }
        var parts: [ID] = []
        let plain = CharacterRanges([0x20...0x21, 0x23...0x5B, 0x5D...CharacterRanges.last])
        parts.append(utf8(set.intersection(.all).intersection(plain)))
        for range in set.ranges {
            for value in range.clamped(to: 0...0x1F) where range.overlaps(0...0x1F) {
                parts.append(escaped(UInt8(value)))
            }
        }
        if set.has(0x22) { parts.append(literal(Array(#"\""#.utf8))) }
        if set.has(0x5C) { parts.append(literal(Array(#"\\"#.utf8))) }
        let result = either(parts)
        if CharacterRanges.sliced.ranges.allSatisfy({ set.covers($0) }) {
            characters.insert(result)
        }
        return result
    }

    private mutating func escaped(_ control: UInt8) -> ID {
        let short: [UInt8: String] = [
            0x08: #"\b"#, 0x09: #"\t"#, 0x0A: #"\n"#, 0x0C: #"\f"#, 0x0D: #"\r"#,
        ]
        if let text = short[control] { return literal(Array(text.utf8)) }
        let digits = String(control, radix: 16)
        let padded = #"\u"# + String(repeating: "0", count: 4 - digits.count) + digits
        return literal(Array(padded.utf8))
    }

    /// A text character by character.
    mutating func text(_ text: some StringProtocol, _ encoding: Encoding) -> ID {
        switch encoding {
        case .text: literal(Array(text.utf8))
        case .jsonString: literal(CanonicalJSON.content(of: text))
        }
    }

    private mutating func utf8(_ set: CharacterRanges) -> ID {
        var parts: [ID] = []
        for range in set.ranges {
            for limit: ClosedRange<UInt32> in [
                0...0x7F, 0x80...0x7FF, 0x800...0xFFFF, 0x10000...0x10FFFF,
            ]
            where range.overlaps(limit) {
                let clamped = range.clamped(to: limit)
                parts.append(
                    between(
                        utf8Bytes(clamped.lowerBound), utf8Bytes(clamped.upperBound)))
            }
        }
        return either(parts)
    }

    private func utf8Bytes(_ value: UInt32) -> ArraySlice<UInt8> {
        guard let scalar = Unicode.Scalar(value) else { preconditionFailure("Not a character.") }
        return Array(String(Character(scalar)).utf8)[...]
    }

    /// All strings of so many bytes from one to another, in UTF-8.
    private mutating func between(_ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>) -> ID {
        guard let first = low.first, let last = high.first else { return Self.empty }
        let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
        if first == last {
            return sequence(bytes(ByteSet(first...last)), between(lowRest, highRest))
        }
        var parts: [ID] = []
        var (middleFirst, middleLast) = (first, last)
        let least = ArraySlice(repeating: 0x80 as UInt8, count: lowRest.count)
        let most = ArraySlice(repeating: 0xBF as UInt8, count: lowRest.count)
        if !lowRest.elementsEqual(least) {
            parts.append(sequence(bytes(ByteSet(first...first)), between(lowRest, most)))
            middleFirst += 1
        }
        if !highRest.elementsEqual(most) {
            parts.append(sequence(bytes(ByteSet(last...last)), between(least, highRest)))
            middleLast -= 1
        }
        if middleFirst <= middleLast {
            parts.append(
                sequence(bytes(ByteSet(middleFirst...middleLast)), between(least, most)))
        }
        return either(parts)
    }
}

extension CharacterRanges {
    /// What tokens have that are allowed together: all that stands for itself in a JSON string but for line ends of text,
    /// which a pattern's point does not match.
    static let sliced = CharacterRanges([
        0x20...0x21, 0x23...0x5B, 0x5D...0x84, 0x86...0x2027, 0x202A...0xD7FF, 0xE000...last,
    ])

    func covers(_ range: ClosedRange<UInt32>) -> Bool {
        ranges.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    func has(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }
}
