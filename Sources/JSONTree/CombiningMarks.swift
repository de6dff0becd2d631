extension String {
    /// Combining marks in a row, beyond which a text from outside is refused. Writing has a few of them, and Unicode's
    /// stream-safe form 30 at most (UAX #15).
    private static let markLimit = 512
    public static let tooManyMarks = "more than \(markLimit) combining marks in a row"

    /// Whether more marks follow each other than `markLimit`. Swift puts them in order to compare or hash a text, in quadratic time.
    public var hasTooManyMarks: Bool {
        // None takes fewer than two bytes, and their first one is not lower.
        guard utf8.count > 2 * String.markLimit, utf8.contains(where: { $0 >= 0xCC }) else {
            return false
        }
        var count = 0
        for scalar in unicodeScalars {
            guard scalar.isMark else {
                count = 0
                continue
            }
            count += 1
            if count > String.markLimit { return true }
        }
        return false
    }
}

extension Unicode.Scalar {
    /// Whether it moves past others as they are put in order: also three vowel signs that stand for two marks each.
    fileprivate var isMark: Bool {
        value >= 0x300
            && (properties.canonicalCombiningClass != .notReordered
                || [0xF73, 0xF75, 0xF81].contains(value))
    }
}
