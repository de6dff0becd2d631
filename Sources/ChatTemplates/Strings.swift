/// Python's string operations, over code points.
enum Strings {
    typealias Scalars = String.UnicodeScalarView

    /// Where a text begins in another, from left to right and not overlapping, in time linear in both
    /// (Knuth, Morris and Pratt).
    static func occurrences(
        of part: [Unicode.Scalar], in text: [Unicode.Scalar], limit: Int = .max
    ) -> [Int] {
        guard !part.isEmpty, part.count <= text.count, limit > 0 else { return [] }
        var fallbacks = [0]
        var length = 0
        for scalar in part.dropFirst() {
            while length > 0, part[length] != scalar { length = fallbacks[length - 1] }
            if part[length] == scalar { length += 1 }
            fallbacks.append(length)
        }
        var found: [Int] = []
        var matched = 0
        for (index, scalar) in text.enumerated() {
            while matched > 0, part[matched] != scalar { matched = fallbacks[matched - 1] }
            if part[matched] == scalar { matched += 1 }
            guard matched == part.count else { continue }
            found.append(index + 1 - part.count)
            matched = 0
            if found.count == limit { break }
        }
        return found
    }

    static func find(_ part: String, in text: String) -> Int? {
        if part.isEmpty { return 0 }
        return occurrences(
            of: Array(part.unicodeScalars), in: Array(text.unicodeScalars), limit: 1
        ).first
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
        var start = 0
        for index in occurrences(of: mark, in: scalars, limit: limit < 0 ? .max : limit) {
            parts.append(String(Scalars(scalars[start..<index])))
            start = index + mark.count
        }
        return parts + [String(Scalars(scalars[start...]))]
    }

    static func replace(_ text: String, _ part: String, with other: String) -> String {
        guard !part.isEmpty else { return text }
        return split(text, part).joined(separator: other)
    }

    /// The same for texts from templates, whose result is weighed before it is made.
    static func replace(
        _ text: String, _ part: String, with other: String, limit: Int,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> String {
        try interpreter.spend(bytes: text.utf8.count)
        // As Python has it, nothing is before, between and after all characters.
        let parts =
            part.isEmpty
            ? [""] + text.unicodeScalars.map { String($0) } + [""]
            : split(text, part, limit: limit)
        let joints = part.isEmpty && limit >= 0 ? min(limit, parts.count - 1) : parts.count - 1
        let (added, overflows) = other.utf8.count.multipliedReportingOverflow(by: joints)
        try interpreter.spend(
            bytes: overflows ? .max : min(added, .max - text.utf8.count) + text.utf8.count)
        guard joints < parts.count - 1 else { return parts.joined(separator: other) }
        return parts[...joints].joined(separator: other) + parts[(joints + 1)...].joined()
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

    /// The filter `title`, which unlike the method leaves what follows an apostrophe small.
    static func titleByWords(_ text: String) -> String {
        var result = ""
        var word = ""
        for scalar in text.unicodeScalars {
            if scalar.properties.isWhitespace || "-({[<".unicodeScalars.contains(scalar) {
                result += capitalize(word)
                result.unicodeScalars.append(scalar)
                word = ""
            } else {
                word.unicodeScalars.append(scalar)
            }
        }
        return result + capitalize(word)
    }

    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping
            + String(text.unicodeScalars.dropFirst()).lowercased()
    }
}
