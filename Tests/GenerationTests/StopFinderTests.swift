import TestSupport
import Testing

import Generation

/// Stop strings found in text that arrives in pieces.
struct StopFinderTests {
    /// What comes out, whole and piece by piece, and the stop string.
    private func run(_ pieces: [String], _ stops: [String], includes: Bool = false)
        -> (text: String, stop: String?)
    {
        var finder = StopFinder(stops, includesStop: includes)
        var text = ""
        for piece in pieces {
            let found = finder.append(piece)
            text += found.text
            if let stop = found.stop { return (text, stop) }
        }
        return (text + finder.finish(), nil)
    }

    @Test func stopsAcrossPieces() {
        #expect(run(["one, t", "wo, th", "ree"], ["two"]) == ("one, ", "two"))
        #expect(run(["one, t", "wo"], ["two"], includes: true) == ("one, two", "two"))
        #expect(run(["a", "a", "b"], ["aab"]) == ("", "aab"))
        #expect(run(["x", "\n", "\n"], ["\n\n"]) == ("x", "\n\n"))
        #expect(run(["never"], ["nevermore"]) == ("never", nil))
        #expect(run(["é", "è"], ["è"]) == ("é", "è"))
    }

    @Test func theStopThatIsCompleteFirstWins() {
        #expect(run(["abcd"], ["bcd", "c"]) == ("ab", "c"))
        #expect(run(["abc"], ["c", "bc"]) == ("a", "bc"))
    }

    /// However the text is cut, the result is that of the whole text.
    @Test func cutsDoNotMatter() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<500 {
            let text = String((0..<20).map { _ in "ab-é".randomElement(using: &generator) ?? "a" })
            let stops = (0..<2).map { _ in
                String(
                    (0..<Int.random(in: 1...4, using: &generator)).map { _ in
                        "ab-é".randomElement(using: &generator) ?? "a"
                    })
            }
            let pieces = text.split(
                maxSplits: .max, omittingEmptySubsequences: false, whereSeparator: { $0 == "-" }
            ).flatMap { [String($0), "-"] }.dropLast()
            let whole = run(Array(text).map(String.init), stops)
            #expect(run(Array(pieces), stops) == whole)
            // And by plain search: nothing before the end of the first stop to be complete.
            let ends = stops.compactMap { stop in text.firstRange(of: stop)?.upperBound }
            #expect((whole.stop == nil) == ends.isEmpty)
            if let end = ends.min() {
                #expect(run([text], stops, includes: true).text == String(text[..<end]))
            }
        }
    }

    @Test func overlapsAreFoundAsTheyComplete() {
        #expect(run(["aabaab", "aac"], ["aabaac"]) == ("aab", "aabaac"))
        #expect(run(["xabc"], ["bc", "abc"]) == ("x", "abc"))
        #expect(run(["ab", "ab", "c"], ["abd", "bc"]) == ("aba", "bc"))
    }
}
