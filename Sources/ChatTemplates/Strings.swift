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

    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
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
            set?.contains(scalar) ?? isSpace(scalar)
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
                maxSplits: limit < 0 ? .max : limit, omittingEmptySubsequences: true,
                whereSeparator: isSpace
            ).map { String($0) }
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

    /// `rsplit`: the same from the right.
    static func splitFromRight(_ text: String, _ separator: String?, limit: Int) -> [String] {
        func mirrored(_ text: String) -> String { String(Scalars(text.unicodeScalars.reversed())) }
        return split(mirrored(text), separator.map(mirrored), limit: limit).reversed().map(mirrored)
    }

    /// `splitlines`.
    static func lines(_ text: String, keepsEnds: Bool = false) -> [String] {
        var lines: [String] = []
        var line = Scalars()
        var scalars = text.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            switch scalar.value {
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                var end = [scalar]
                if scalar == "\r", scalars.first == "\n" { end.append(scalars.removeFirst()) }
                if keepsEnds { line.append(contentsOf: end) }
                lines.append(String(line))
                line = Scalars()
            default: line.append(scalar)
            }
        }
        return line.isEmpty ? lines : lines + [String(line)]
    }

    // MARK: Letters

    static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            true
        default: false
        }
    }

    private static func isCased(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isCased }

    /// `str.islower`.
    static func isLower(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        return scalars.contains { $0.properties.isLowercase }
            && !scalars.contains {
                $0.properties.isUppercase || $0.properties.generalCategory == .titlecaseLetter
            }
    }

    /// `str.isupper`.
    static func isUpper(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        return scalars.contains { $0.properties.isUppercase }
            && !scalars.contains {
                $0.properties.isLowercase || $0.properties.generalCategory == .titlecaseLetter
            }
    }

    /// Matches of `\\w+`.
    static func wordCount(_ text: String) -> Int {
        var count = 0
        var isInside = false
        for scalar in text.unicodeScalars {
            let isWord =
                scalar == "_" || isLetter(scalar) || scalar.properties.numericType != nil
            if isWord, !isInside { count += 1 }
            isInside = isWord
        }
        return count
    }

    /// `str.lower`: a sigma at the end of a word is another letter than elsewhere.
    static func lower(_ text: String) -> String {
        guard text.unicodeScalars.contains("\u{3A3}") else { return text.lowercased() }
        let scalars = Array(text.unicodeScalars)
        var result = ""
        for (index, scalar) in scalars.enumerated() {
            result +=
                scalar == "\u{3A3}"
                ? isFinalSigma(scalars, index) ? "\u{3C2}" : "\u{3C3}"
                : scalar.properties.lowercaseMapping
        }
        return result
    }

    /// Unicode's Final_Sigma: behind a cased letter, and before none, apart from what has no case.
    private static func isFinalSigma(_ scalars: [Unicode.Scalar], _ index: Int) -> Bool {
        func next(_ places: some Sequence<Int>) -> Unicode.Scalar? {
            for place in places where !scalars[place].properties.isCaseIgnorable {
                return scalars[place]
            }
            return nil
        }
        let before = next(stride(from: index - 1, through: 0, by: -1))
        let after = next(index + 1..<scalars.count)
        return before.map(isCased) ?? false && !(after.map(isCased) ?? false)
    }

    /// `str.title`: every run of letters begins with a capital.
    static func title(_ text: String) -> String {
        let scalars = Array(text.unicodeScalars)
        var result = ""
        var isInside = false
        for (index, scalar) in scalars.enumerated() {
            if !isInside {
                result += scalar.properties.titlecaseMapping
            } else if scalar == "\u{3A3}" {
                result += isFinalSigma(scalars, index) ? "\u{3C2}" : "\u{3C3}"
            } else {
                result += scalar.properties.lowercaseMapping
            }
            isInside = isCased(scalar)
        }
        return result
    }

    /// The filter `title`, which unlike the method leaves what follows an apostrophe small.
    static func titleByWords(_ text: String) -> String {
        var result = ""
        var word = Scalars()
        func flush() {
            guard let first = word.first else { return }
            result += first.properties.uppercaseMapping + lower(String(Scalars(word.dropFirst())))
            word = Scalars()
        }
        for scalar in text.unicodeScalars {
            if isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar) {
                flush()
                result.unicodeScalars.append(scalar)
            } else {
                word.append(scalar)
            }
        }
        flush()
        return result
    }

    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        let whole = lower(text).unicodeScalars
        let dropped = first.properties.lowercaseMapping.unicodeScalars.count
        return first.properties.titlecaseMapping + String(Scalars(whole.dropFirst(dropped)))
    }

    /// As Markup has it.
    static func escaped(_ text: String) -> String {
        [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&#34;"), ("'", "&#39;")]
            .reduce(text) { replace($0, $1.0, with: $1.1) }
    }
}
