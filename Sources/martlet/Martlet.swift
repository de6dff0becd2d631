import ArgumentParser
import Tensors

@main
struct Martlet: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Serves many LoRA adapters from one copy of a base model.",
        discussion: """
            Start a server with `martlet serve --model FOLDER --adapters FOLDER`, then name an \
            adapter as the model of an OpenAI-style request.
            """,
        version: version,
        subcommands: [Serve.self, Run.self, Inspect.self, AdaptersCommand.self, Bench.self])

    static func main() async {
        StandardDescriptors.secure()
        ProcessSignals.crashAtOnce()
        await main(nil)
    }
}
