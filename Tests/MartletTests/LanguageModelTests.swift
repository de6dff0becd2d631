import Martlet
import TestSupport
import Testing

/// The library as a stranger uses it: nothing but its public face.
struct LanguageModelTests {
    private static func model() async throws -> (LanguageModel, TinyFolder) {
        let folder = try TinyFolder()
        var configuration = LanguageModel.Configuration(weights: .f32)
        configuration.threads = 1
        configuration.maximumSequences = 8
        configuration.cacheByteCount = 4 << 20
        return (try await LanguageModel(path: folder.path, configuration: configuration), folder)
    }

    private static let greedy = GenerationOptions.greedy(maximumTokens: 8)

    @Test func adaptersAnswerTogetherAsTheyDoAlone() async throws {
        let (model, folder) = try await Self.model()
        defer { _ = folder }
        let plain = try await model.adapter(at: Repository.conformance("llama/plain"))
        let dora = try await model.adapter(at: Repository.conformance("llama/dora"), name: "d")
        #expect(plain.name == "plain" && dora.name == "d" && plain.digest != dora.digest)
        #expect(plain.rank > 0 && plain.byteCount > 0)
        var alone: [String] = []
        for adapter in [nil, plain, dora] {
            alone.append(
                try await model.answer("ab", adapter: adapter, options: Self.greedy).text)
        }
        #expect(Set(alone).count > 1)
        let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for (index, adapter) in [nil, plain, dora].enumerated() {
                group.addTask {
                    (
                        index,
                        try await model.answer("ab", adapter: adapter, options: Self.greedy).text
                    )
                }
            }
            return try await group.reduce(into: ["", "", ""]) { $0[$1.0] = $1.1 }
        }
        #expect(together == alone)
        #expect(model.metrics.finishedCount == 6 && model.metrics.runningCount == 0)
    }

    @Test func streamsAreTheAnswerInPieces() async throws {
        let (model, folder) = try await Self.model()
        defer { _ = folder }
        let conversation = [Message.system("a"), .user("b"), .assistant("c"), .user("d")]
        let answer = try await model.answer(conversation, options: Self.greedy)
        #expect(answer.promptTokenCount == "sa.ub.ac.ud.a".count)
        #expect(answer.completionTokenCount <= 8 && !answer.text.isEmpty)
        var (text, count) = ("", 0)
        for try await piece in model.stream(conversation, options: Self.greedy) {
            text += piece.text
            count += piece.tokens.count
        }
        #expect(text == answer.text && count == answer.completionTokenCount)
        let again = try await model.answer(conversation, options: Self.greedy)
        #expect(again.text == answer.text)
        #expect(try await model.complete("ab", options: Self.greedy).promptTokenCount == 2)
        #expect(model.tokens(of: "abc").count == 3)
    }

    /// A stream that nobody reads is nothing; one that is left ends, and one whose reader is cancelled says so.
    @Test func streamsEndWithWhoeverReads() async throws {
        let (model, folder) = try await Self.model()
        defer { _ = folder }
        var options = GenerationOptions.greedy()
        options.stopStrings = ["none"]
        let unread = model.stream("ab", options: options)
        let left = model.stream("ab", options: options)
        for try await _ in left { break }
        _ = try await model.answer("b", options: Self.greedy)
        while model.metrics.runningCount > 0 { try await Task.sleep(for: .milliseconds(1)) }
        _ = (unread, left)
        let reading = Task {
            for try await _ in model.stream("ab", options: options) {}
        }
        reading.cancel()
        await #expect(throws: CancellationError.self) { try await reading.value }
    }

    @Test func answersHaveTheFormThatIsAskedFor() async throws {
        let (model, folder) = try await Self.model()
        defer { _ = folder }
        let forms: [(AnswerForm, [String])] = [
            (.choice(["yes", "no"]), ["yes", "no"]), (.pattern("[0-2]x"), ["0x", "1x", "2x"]),
            (.grammar(#"root ::= "up" | "down""#), ["up", "down"]),
        ]
        for (form, texts) in forms {
            let answer = try await model.answer(
                "ab", options: .greedy(maximumTokens: 20, form: form))
            #expect(texts.contains(answer.text) && answer.finish == .end, "\(form)")
        }
        for form in [
            AnswerForm.jsonSchema("{"), .jsonSchema(#"{"$ref":"x:y"}"#), .pattern("(?=a)b("),
        ] {
            await #expect(throws: MartletError.self) {
                _ = try await model.answer("ab", options: .greedy(form: form))
            }
        }
    }

    @Test func whatCannotBeIsRefusedByCode() async throws {
        let (model, folder) = try await Self.model()
        defer { _ = folder }
        func code(_ work: () async throws -> Void) async -> String? {
            do {
                try await work()
                return nil
            } catch { return (error as? MartletError)?.code }
        }
        #expect(await code { _ = try await LanguageModel(path: "/none") } != nil)
        #expect(await code { _ = try await model.adapter(at: "/none") } == "missing_file")
        let refused = Repository.conformance("llama/refused-pickle")
        #expect(await code { _ = try await model.adapter(at: refused) } != nil)
        let long = String(repeating: "a", count: 10_000)
        #expect(await code { _ = try await model.answer(long) } == "context_length_exceeded")
        var options = GenerationOptions()
        options.temperature = 3
        #expect(await code { _ = try await model.answer("a", options: options) } == "invalid_value")
        for change: (inout LanguageModel.Configuration) -> Void in [
            { $0.threads = 0 }, { $0.cacheByteCount = -1 }, { $0.contextLength = 1 },
            { $0.maximumSequences = 0 }, { $0.maximumStepTokens = .max },
        ] {
            var configuration = LanguageModel.Configuration()
            change(&configuration)
            let path = folder.path
            let found = await code { [configuration] in
                _ = try await LanguageModel(path: path, configuration: configuration)
            }
            #expect(found == "invalid_value")
        }
        var small = LanguageModel.Configuration()
        small.cacheByteCount = 10
        let path = folder.path
        let found = await code { [small] in
            _ = try await LanguageModel(path: path, configuration: small)
        }
        #expect(found == "cache_too_small")
    }

    /// Nothing holds a model but those who have it, so its engine ends with them.
    @Test func aModelThatNobodyHasIsGone() async throws {
        final class Box {
            weak var model: LanguageModel?
        }
        let box = Box()
        func use() async throws {
            let (model, folder) = try await Self.model()
            defer { _ = folder }
            box.model = model
            _ = try await model.answer("ab", options: Self.greedy)
        }
        try await use()
        #expect(box.model == nil)
    }
}
