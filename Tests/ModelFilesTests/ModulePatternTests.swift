import ModelFiles
import Testing

/// Patterns that once ended the process.
struct ModulePatternTests {
    @Test(arguments: ["(?P<x", "(?P<", "(", "[", "a{2,1}", "\\"])
    func brokenPatternsAreRefused(_ pattern: String) {
        #expect(throws: (any Error).self) { _ = try ModulePattern(pattern) }
    }

    @Test func bracesAroundNoNumbersAreText() throws {
        _ = try ModulePattern("q{-5}")
        _ = try ModulePattern("x{-1,}")
    }

    /// The step budget ends what would take minutes; nothing matches then.
    @Test func costlyPatternsEnd() throws {
        let pattern = try ModulePattern(String(repeating: "(.*)*", count: 800) + "!")
        let name = String(repeating: "model.layers.0.self_attn.q_proj", count: 8)
        for _ in 0..<400 { #expect(!pattern.matchesWhole(name)) }
    }
}
