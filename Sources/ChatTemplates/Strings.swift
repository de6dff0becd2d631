/// Python's string operations, over code points.
enum Strings {
    typealias Scalars = String.UnicodeScalarView

    static func find(_ part: String, in text: String, from start: Int = 0) -> Int? {
        let (text, part) = (Array(text.unicodeScalars), Array(part.unicodeScalars))
        guard part.count + start <= text.count else { return nil }
        return (start...text.count - part.count).first { text[$0...].starts(with: part) }
    }

    static func strip(_ text: String, _ characters: String?, left: Bool = true, right: Bool = true)
        -> String
    {
        let set = characters.map { Set($0.unicodeScalars) }
        func isDropped(_ scalar: Unicode.Scalar) -> Bool {
            set?.contains(scalar)
                ?? (scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value))
        }
        var scalars = text.unicodeScalars[...]
        if left { scalars = scalars.drop(while: isDropped) }
        if right { while let last = scalars.last, isDropped(last) { scalars.removeLast() } }
        return String(scalars)
    }

    /// `split(separator)`; without one, at runs of white space.
    static func split(_ text: String, _ separator: String?, limit: Int = -1) -> [String] {
        guard let separator, !separator.isEmpty else {
            var parts = text.unicodeScalars.split(
                maxSplits: limit < 0 ? .max : limit, omittingEmptySubsequences: true
            ) { $0.properties.isWhitespace }.map { String($0) }
            if limit >= 0, let last = parts.last {
                parts[parts.count - 1] = strip(last, nil, right: false)
            }
            return parts
        }
        let (scalars, mark) = (Array(text.unicodeScalars), Array(separator.unicodeScalars))
        var parts: [String] = []
        var (start, index) = (0, 0)
        while index + mark.count <= scalars.count, limit < 0 || parts.count < limit {
            if scalars[index...].starts(with: mark) {
                parts.append(String(Scalars(scalars[start..<index])))
                index += mark.count
                start = index
            } else {
                index += 1
            }
        }
        return parts + [String(Scalars(scalars[start...]))]
    }

    static func replace(_ text: String, _ part: String, with other: String, limit: Int = -1)
        -> String
    {
        guard !part.isEmpty else { return text }
        return split(text, part, limit: limit).joined(separator: other)
    }

    /// `str.title`: every run of letters begins with a capital.
    static func title(_ text: String) -> String {
        var result = ""
        var isInside = false
        for scalar in text.unicodeScalars {
            let isLetter = scalar.properties.isAlphabetic
            result +=
                isLetter
                ? isInside ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
                : String(scalar)
            isInside = isLetter
        }
        return result
    }

    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping
            + String(text.unicodeScalars.dropFirst()).lowercased()
    }
}
