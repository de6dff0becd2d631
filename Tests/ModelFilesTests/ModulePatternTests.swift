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
}
