import AdapterSources
import ArgumentParser
import Engine
import Foundation
import Generation
import JSONTree
import Server
import Telemetry
import Tokenization

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answers one prompt on the terminal.",
        discussion: """
            Examples:
              martlet run --model SmolLM2-135M-Instruct "What is rain?"
              martlet run --model SmolLM2-135M-Instruct \\
                --adapter pirate=Examples/adapters/pirate "What is rain?"
              git log -1 | martlet run --model SmolLM2-135M-Instruct \\
                --system "Say it in one line." -
            """)

    @OptionGroup var model: ModelOptions

    @Argument(help: "What to say to the model; - reads it from standard input.")
    var prompt: String

    @Option(help: "Tokens to generate at most.")
    var maxTokens = 256

    @Option(help: "0 takes the most likely token each time. (default: the model's own)")
    var temperature: Double?

    @Option(help: "Take only the likeliest tokens that together have this probability.")
    var topP: Double?

    @Option(help: "What the model is told before the prompt.")
    var system: String?

    @Flag(help: "Continue the prompt as plain text instead of answering it as a chat.")
    var raw = false

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("--max-tokens must be above 0.") }
        if let temperature, !(0...2).contains(temperature) {
            throw ValidationError("--temperature must be between 0 and 2.")
        }
        if let topP, !(topP > 0 && topP <= 1) {
            throw ValidationError("--top-p must be above 0 and at most 1.")
        }
        guard system == nil || !raw else {
            throw ValidationError("--system is for chats; with --raw, put it into the prompt.")
        }
    }

    func run() async throws {
        let prompt = prompt == "-" ? try Run.input() : prompt
        let file = try Settings(file: model.config)
        var settings = try ModelSettings(model, file)
        var policy = SourcePolicy()
        policy.hub = try HubAccess(ProcessInfo.processInfo.environment)
        try await settings.fetchModel(policy, Progress())
        guard settings.adapters.count <= 1 else {
            throw ValidationError("run uses one adapter at most; give one --adapter name=source.")
        }
        let assembly = try await Assembly(settings, progress: Progress())
        let (generator, engine) = (assembly.generator, assembly.engine)
        let served =
            try await assembly.registry.model(
                settings.adapters.first?.name ?? assembly.registry.baseNames[0]
            ).text
        let tokens =
            raw
            ? try generator.text(of: served).tokenizer.encode(prompt)
            : try generator.tokens(
                of: Conversation(
                    messages: (system.map { [["role": "system", "content": .string($0)]] }
                        ?? []) + [["role": "user", "content": .string(prompt)]]), for: served
            ).tokens
        var options = CompletionOptions()
        options.maximumTokens = min(maxTokens, generator.contextLength - tokens.count)
        options.temperature = temperature
        options.topP = topP
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

    /// Standard input, without the newline at its end.
    private static func input() throws -> String {
        guard
            let text = String(data: FileHandle.standardInput.readDataToEndOfFile(), encoding: .utf8)
        else { throw ValidationError("Standard input is not UTF-8 text.") }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }
}
