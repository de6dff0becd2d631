internal import Foundation

/// What is done to text between added tokens before it is split into words.
enum Normalizer: Sendable, Equatable {
    case canonicalComposition
    case prepend(String)
    case replace(String, with: String)

    /// Whether it makes few bytes of each: one character of another, or one before a text.
    var isSmall: Bool {
        switch self {
        case .canonicalComposition: true
        case .prepend(let text): text.unicodeScalars.count <= 1
        case .replace(let pattern, let content):
            pattern.unicodeScalars.count == 1 && content.unicodeScalars.count <= 1
        }
    }

    func apply(to text: String) -> String {
        guard !text.isEmpty else { return text }
        switch self {
        case .canonicalComposition:
            return Normalizer.withMarksInOrder(text).precomposedStringWithCanonicalMapping
        case .prepend(let prefix): return prefix + text
        case .replace(let pattern, let content):
            // By scalars: Swift's own search would not find a space before a combining mark.
            return Normalizer.replace(pattern, with: content, in: text)
        }
    }

    /// Three vowel signs that are no marks themselves and stand for two of them.
    private static let signsOfTwoMarks: [UInt32: [(order: UInt8, scalar: Unicode.Scalar)]] = [
        0xF73: [(129, "\u{F71}"), (130, "\u{F72}")],
        0xF75: [(129, "\u{F71}"), (132, "\u{F74}")],
        0xF81: [(129, "\u{F71}"), (130, "\u{F80}")],
    ]

    /// Text with each run of combining marks in the order that normalization gives them, which
    /// Foundation's own sorting takes quadratic time for.
    private static func withMarksInOrder(_ text: String) -> String {
        guard !text.utf8.allSatisfy({ $0 < 0x80 }) else { return text }
        var result = String.UnicodeScalarView()
        var marks: [(order: UInt8, scalar: Unicode.Scalar)] = []
        func flush() {
            if marks.count > 1 { marks.sort { $0.order < $1.order } }
            for mark in marks { result.append(mark.scalar) }
            marks.removeAll(keepingCapacity: true)
        }
        for scalar in text.unicodeScalars {
            let order =
                scalar.value < 0x300 ? 0 : scalar.properties.canonicalCombiningClass.rawValue
            if let pair = signsOfTwoMarks[scalar.value] {
                marks += pair
            } else if order == 0 {
                flush()
                result.append(scalar)
            } else {
                marks.append((order, scalar))
            }
        }
        flush()
        return String(result)
    }

    private static func replace(_ pattern: String, with content: String, in text: String) -> String
    {
        let (text, pattern, content) = (Array(text.utf8), Array(pattern.utf8), Array(content.utf8))
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            if text[index...].starts(with: pattern) {
                result += content
                index += pattern.count
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
