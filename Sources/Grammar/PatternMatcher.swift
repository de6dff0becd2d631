/// Whether texts match patterns, each of which is read once.
final class PatternMatcher {
    private var languages = RegularLanguages()
    private var known: [Key: RegularLanguages.ID] = [:]

    private struct Key: Hashable {
        var pattern: String
        var isWhole: Bool
    }

    func matches(
        _ text: String, _ pattern: String, isWhole: Bool = false
    ) throws(GrammarError) -> Bool {
        let key = Key(pattern: pattern, isWhole: isWhole)
        let language: RegularLanguages.ID
        if let found = known[key] {
            language = found
        } else {
            language = try languages.matching(
                try PatternParser.parse(pattern), .text, isWhole: isWhole)
            known[key] = language
        }
        let isMatch = languages.contains(text.utf8, language)
        guard !languages.isTooLarge else {
            throw GrammarError(.tooComplex, "the pattern takes too much work")
        }
        return isMatch
    }
}
