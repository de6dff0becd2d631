import Foundation
import Martlet

/// Asks a base and adapters the same, all in one batch: ask MODEL PROMPT ADAPTER…
@main
struct Ask {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count >= 2 else {
            print(
                "ask MODEL PROMPT ADAPTER…: a model's folder or GGUF file, a prompt, adapters' folders."
            )
            exit(64)
        }
        let (path, prompt) = (arguments[1], arguments[2])
        let model = try await LanguageModel(path: path, configuration: .init(weights: .q8))
        var adapters: [Adapter?] = [nil]
        for path in arguments.dropFirst(2) { adapters.append(try await model.adapter(at: path)) }

        // Under way at the same time, so each step computes a token of all of them.
        let options = GenerationOptions.greedy(maximumTokens: 40)
        let answers = try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
            for (index, adapter) in adapters.enumerated() {
                group.addTask {
                    (index, try await model.answer(prompt, adapter: adapter, options: options))
                }
            }
            var answers: [Int: Answer] = [:]
            for try await (index, answer) in group { answers[index] = answer }
            return answers
        }
        for (index, adapter) in adapters.enumerated() {
            print("\(adapter?.name ?? "base"): \(answers[index]?.text ?? "")")
        }

        print("as it comes: ", terminator: "")
        for try await piece in model.stream(prompt, adapter: adapters.last ?? nil, options: options)
        {
            print(piece.text, terminator: "")
        }
        let form = AnswerForm.choice(["sunny", "wet"])
        let choice = try await model.answer(
            "Is rain sunny or wet?", options: .greedy(maximumTokens: 8, form: form))
        print("\none of two: \(choice.text)")
    }
}
