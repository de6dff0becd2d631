import ArgumentParser
import Engine
import Generation
import JSONTree
import Telemetry
import Tokenization

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answers one prompt on the terminal.",
        discussion: """
            Example:
              martlet run --model SmolLM2-135M-Instruct --adapter pirate=Examples/adapters/pirate "What is rain?"
            """)

    @OptionGroup var model: ModelOptions

    @Argument(help: "What to say to the model.")
    var prompt: String

    @Option(help: "Tokens to generate at most.")
    var maxTokens = 256

    @Option(help: "0 takes the most likely token each time. (default: the model's own)")
    var temperature: Double?

    @Flag(help: "Continue the prompt as plain text instead of answering it as a chat.")
    var raw = false

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("--max-tokens must be above 0.") }
        if let temperature, !(0...2).contains(temperature) {
            throw ValidationError("--temperature must be between 0 and 2.")
        }
    }

    func run() async throws {
        let settings = try ModelSettings(model, try Settings(file: model.config))
        guard settings.adapters.count <= 1 else {
            throw ValidationError("run uses one adapter at most; give one --adapter name=source.")
        }
        let assembly = try await Assembly(settings, progress: Progress())
        let (generator, engine) = (assembly.generator, assembly.engine)
        let served =
            try await generator.registry.model(
                settings.adapters.first?.name ?? generator.registry.baseNames[0])
        let tokens =
            raw
            ? generator.tokenizer.encode(prompt)
            : try generator.prompt(
                messages: [["role": "user", "content": .string(prompt)]], tools: nil,
                addsGenerationPrompt: true, variables: JSON.Object())
        var options = CompletionOptions()
        options.maximumTokens = min(maxTokens, generator.contextLength - tokens.count)
        options.temperature = temperature
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await engine.run() }
            let completion = try generator.complete(tokens, with: served, options: options)
            try await completion.forEachPiece { piece in
                // Nobody reads on: `run … | head`.
                guard StandardStream.output.write(piece.text) else { throw ExitCode.failure }
            }
            StandardStream.output.write("\n")
            group.cancelAll()
        }
    }
}
