import ArgumentParser
import Devices
import Foundation
import Telemetry
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
        subcommands: [
            Serve.self, Route.self, Run.self, Inspect.self, AdaptersCommand.self, CacheCommand.self,
            KeysCommand.self, UsageCommand.self, DevicesCommand.self, GrammarCommand.self,
            Bench.self,
            Simulate.self,
        ])

    static func main() async {
        SystemLibraries.avoidIfStatic()
        StandardDescriptors.secure()
        ProcessSignals.crashAtOnce()
        let arguments = Array(CommandLine.arguments.dropFirst())
        if let hint = CommandHints.unknownCommand(arguments) { fail(hint) }
        var command: any ParsableCommand
        do {
            command = try parseAsRoot(arguments)
        } catch {
            let hints = CommandHints.forOptions(in: arguments, message: message(for: error))
            if !hints.isEmpty { fail(message(for: error) + "\n" + hints) }
            exit(withError: error)
        }
        do {
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as ValidationError {
            // What was wrong shows only now; how the command is written is not.
            fail(error.message)
        } catch {
            exit(withError: error)
        }
    }

    /// Ends the process as for arguments that cannot be used.
    private static func fail(_ message: String) -> Never {
        StandardStream.error.write("Error: \(message)\n")
        Foundation.exit(ExitCode.validationFailure.rawValue)
    }
}
