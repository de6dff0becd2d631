internal import Foundation

/// What is done to text between added tokens before it is split into words.
enum Normalizer: Sendable, Equatable {
    case canonicalComposition
    case prepend(String)
    case replace(String, with: String)

    func apply(to text: String) -> String {
        guard !text.isEmpty else { return text }
        switch self {
        case .canonicalComposition: return text.precomposedStringWithCanonicalMapping
        case .prepend(let prefix): return prefix + text
        case .replace(let pattern, let content):
            // By scalars: Swift's own search would not find a space before a combining mark.
            return Normalizer.replace(pattern, with: content, in: text)
        }
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
