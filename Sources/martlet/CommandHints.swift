import ArgumentParser
import Generation

/// What somebody means who knows another server, or who mistypes.
enum CommandHints {
    /// Options of vLLM and llama.cpp, and what they are called here.
    private static let options: [String: String] = [
        "--lora-modules": "--adapter NAME=PATH, once for each, or --adapters FOLDER",
        "--lora": "--adapter NAME=PATH", "--lora-scaled": "--adapter NAME=PATH",
        "--enable-lora": "nothing: adapters are always on",
        "--max-loras": "nothing: any number of adapters runs in a batch",
        "--max-cpu-loras": "--host-memory SIZE", "--max-lora-rank": "nothing: ranks up to 512 fit",
        "-m": "--model", "--max-model-len": "--context-length", "-c": "--context-length",
        "--ctx-size": "--context-length", "--max-num-seqs": "--max-sequences",
        "-np": "--max-sequences", "--parallel": "--max-sequences",
        "--max-num-batched-tokens": "--max-step-tokens", "-b": "--max-step-tokens",
        "--batch-size": "--max-step-tokens", "-t": "--threads", "--dtype": "--weights",
        "--quantization": "--weights q8 or q4", "--api-key": "--api-key-file FILE",
        "--gpu-memory-utilization": "--kv-memory SIZE",
        "--kv-cache-memory-bytes": "--kv-memory SIZE",
        "--alias": "--served-model-name NAME", "-a": "--served-model-name NAME",
        "--enable-prefix-caching": "nothing: it is always on, see --prefix-memory",
        "--speculative-config": "nothing: answers that quote are drafted, see --draft-rows",
        "--draft-max": "--draft-rows", "--draft": "--draft-rows",
        "--chat-template": "nothing: the model's own is used",
        "--tensor-parallel-size": "nothing: one process serves one machine",
    ]

    /// - Parameter message: of the parser, which names what it does not know.
    static func forOptions(in arguments: [String], message: String) -> String {
        let unknown = arguments.map { String($0.prefix { $0 != "=" }) }
            .filter { message.contains("'\($0)'") }
        var lines = unknown.compactMap { name in
            options[name].map { "\(name) of other servers is \($0) here." }
        }
        if arguments.first == "serve", let model = arguments.dropFirst().first,
            !model.hasPrefix("-"), message.contains("'\(model)'")
        {
            lines.append("Give the model with --model \(model).")
        }
        return lines.joined(separator: "\n")
    }

    /// What to say of a command that there is none of; nil when there is.
    static func unknownCommand(_ arguments: [String]) -> String? {
        var words = arguments[...]
        if words.first == "help" { words.removeFirst() }
        var path = "martlet"
        var commands = Martlet.configuration.subcommands
        while !commands.isEmpty, let word = words.popFirst(), !word.hasPrefix("-"), word != "help" {
            let known = commands.map { $0._commandName }
            guard let place = known.firstIndex(of: word) else {
                let near = EditDistance.nearest(to: word, among: known)
                let hint =
                    near.first.map { "Did you mean `\(path) \($0)`?" }
                    ?? "There are \(known.joined(separator: ", "))."
                return "\(path) has no command \"\(word)\". \(hint)"
            }
            path += " \(word)"
            commands = commands[place].configuration.allSubcommands
        }
        return nil
    }
}

extension CommandConfiguration {
    fileprivate var allSubcommands: [any ParsableCommand.Type] {
        subcommands + groupedSubcommands.flatMap(\.subcommands)
    }
}
