/// Drafts what a completion goes on with, for one step to compute and verify at once (speculative decoding): a draft that
/// comes true saves steps, and one that does not changes nothing, since every token is still chosen from its own logits.
///
/// The longest end of the text that occurs before is looked up, and what followed it there is the draft: answers quote
/// their prompts (https://github.com/apoorvumang/prompt-lookup-decoding). How many tokens are drafted goes by how many
/// came true before.
struct Drafts {
    /// Tokens of a draft at most, now.
    private var limit = 4
    /// Drafts in a row of which nothing came true.
    private var missCount = 0
    /// Steps to go without one.
    private var pause = 0

    static let most = 15
    private static let longestPause = 32
    /// Ends of fewer tokens say too little.
    private static let shortestEnd = 2
    private static let longestEnd = 16

    /// What may come after some tokens; often nothing.
    ///
    /// - Parameters:
    ///   - prediction: what the request says that its completion will be like.
    ///   - forced: what a constraint leaves no choice about.
    mutating func next(
        after tokens: [Int32], completionCount: Int, prediction: [Int32], forced: [Int32],
        most: Int
    ) -> ArraySlice<Int32> {
        guard most > 0 else { return [] }
        if !forced.isEmpty { return forced.prefix(most) }
        if Drafts.follows(tokens, completionCount, prediction) {
            return prediction[completionCount...].prefix(most)
        }
        guard pause == 0 else {
            pause -= 1
            return []
        }
        let found =
            Drafts.lookUp(tokens, in: prediction) ?? Drafts.lookUp(tokens, in: tokens) ?? []
        return found.prefix(min(most, limit))
    }

    /// Whether the completion is where the prediction is.
    private static func follows(
        _ tokens: [Int32], _ completionCount: Int, _ prediction: [Int32]
    ) -> Bool {
        guard completionCount < prediction.count else { return false }
        let count = min(completionCount, longestEnd)
        return tokens.suffix(count)
            .elementsEqual(prediction[(completionCount - count)..<completionCount])
    }

    /// What follows the longest end of the tokens that a corpus has, where it has it last.
    private static func lookUp(_ tokens: [Int32], in corpus: [Int32]) -> ArraySlice<Int32>? {
        guard let last = tokens.last else { return nil }
        var best = (place: 0, length: shortestEnd - 1)
        // The end of a corpus is followed by nothing.
        var place = corpus.count - 1
        while place >= shortestEnd, best.length < longestEnd {
            if corpus[place - 1] == last {
                var length = 1
                while length < longestEnd, length < place, length < tokens.count,
                    corpus[place - 1 - length] == tokens[tokens.count - 1 - length]
                { length += 1 }
                if length > best.length { best = (place, length) }
            }
            place -= 1
        }
        return best.length >= shortestEnd ? corpus[best.place...] : nil
    }

    /// Notes how many tokens of a draft came true.
    mutating func note(drafted: Int, accepted: Int) {
        limit = accepted == drafted ? min(Drafts.most, 2 * limit) : max(1, min(limit, accepted + 1))
        missCount = accepted == 0 ? missCount + 1 : 0
        pause = missCount > 1 ? min(Drafts.longestPause, 1 << min(missCount - 1, 5)) : 0
    }
}
