import ArgumentParser
import Foundation
import JSONTree
import ModelFiles
import Telemetry

/// Who is there, and in which state: on a server, or in files on this machine.
extension AdaptersCommand {
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists adapters: who is where, how big, how hot.",
            discussion: """
                Asks the running server. With a folder and --model it lists the adapters in the folder \
                instead, and whether that base can serve each.

                Examples:
                  martlet adapters list
                  martlet adapters list --sort size
                  martlet adapters list --json | jq '.adapters[].name'
                  martlet adapters list Examples/adapters --model SmolLM2-135M-Instruct
                """)

        @Argument(help: "With --model: a folder of adapter folders.") var folder: String?
        @Option(
            help: ArgumentHelp(
                "The base model that the folder's adapters are for.", valueName: "path"))
        var model: String?
        @Option(
            help:
                "What comes first: the most hits, the first name, the largest size, the nearest tier."
        )
        var sort = AdapterTable.Order.hits
        @Flag(help: "Print what the server says as JSON.") var json = false
        @Flag(help: "Print the table again every two seconds, until you stop it.") var watch = false
        @OptionGroup var server: ServerOptions

        func validate() throws {
            guard !(json || watch) || folder == nil, !(json && watch) else {
                throw ValidationError("--json and --watch are for a server, and not together.")
            }
            guard (folder == nil) == (model == nil) else {
                throw ValidationError(
                    "Give a folder and --model to look at files, or neither to ask the server.")
            }
        }

        func run() async throws {
            if let folder, let model {
                print(try AdapterReport.list(folder, for: try Checkpoint.open(path: model)))
                return
            }
            if json {
                print(try await server.withClient { try await $0.listing() }.text())
                return
            }
            try await server.withClient { client in
                repeat {
                    let text = try await table(client)
                    // Clears the terminal.
                    let start = watch ? "\u{1B}[2J\u{1B}[H" : ""
                    guard StandardStream.output.write("\(start)\(text)\n") else { return }
                    if watch { try await Task.sleep(for: .seconds(2)) }
                } while watch
            }
        }

        private func table(_ client: AdminClient) async throws -> String {
            let (adapters, tiers) = try await client.adapters()
            let now = Int(Date().timeIntervalSince1970)
            let names =
                adapters.isEmpty
                ? "No adapters: `martlet adapters add NAME SOURCE` adds one."
                : AdapterTable.text(adapters, by: sort, now: now)
            return names + "\n\n" + AdapterTable.text(tiers)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says all that the server knows of one adapter.",
            discussion: """
                Example:
                  martlet adapters show pirate
                """)

        @Argument(help: "The adapter's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws {
            print(try await server.withClient { try await $0.adapter(name) }.text)
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Checks every byte of adapters; fails if one is damaged or refused.",
            discussion: """
                Asks the running server to read its packs of these names; a damaged one is made again from \
                its source. With --model it checks files instead, as the server would, tensor by tensor.

                Examples:
                  martlet adapters verify pirate
                  martlet adapters verify Examples/adapters --model SmolLM2-135M-Instruct
                """)

        @Argument(
            help:
                "Names; with --model adapter folders, GGUF LoRA files, or folders of adapter folders."
        )
        var adapters: [String]
        @Option(help: ArgumentHelp("The base model that files are for.", valueName: "path"))
        var model: String?
        @OptionGroup var server: ServerOptions

        func run() async throws {
            let areWhole =
                if let model {
                    try AdapterReport.verify(adapters, for: try Checkpoint.open(path: model))
                } else {
                    try await server.withClient { try await verify($0) }
                }
            guard areWhole else { throw ExitCode(1) }
        }

        private func verify(_ client: AdminClient) async throws -> Bool {
            var areWhole = true
            for name in adapters {
                do {
                    let isWhole = try await client.verify(name)
                    areWhole = areWhole && isWhole
                    print(
                        name.padded(to: 24)
                            + (isWhole ? "ok" : "was damaged; made again from its source"))
                } catch let error as AdminError where error.code != nil {
                    areWhole = false
                    let hint =
                        FileManager.default.fileExists(atPath: name)
                        ? "; to check the files there, give --model their base" : ""
                    print("\(name.padded(to: 24))refused: \(error)\(hint)")
                }
            }
            return areWhole
        }
    }

    struct InspectFile: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect", abstract: "Says what an adapter's files change in a base.",
            discussion: """
                Example:
                  martlet adapters inspect Examples/adapters/pirate --model SmolLM2-135M-Instruct
                """)

        @Argument(help: "An adapter folder or a GGUF LoRA file.") var path: String
        @Option(help: ArgumentHelp("The base model it is for.", valueName: "path"))
        var model: String

        func run() throws {
            print(try AdapterReport(path: path, base: try Checkpoint.open(path: model)).text)
        }
    }
}

extension AdapterTable.Order: ExpressibleByArgument {}

extension AdapterStatus {
    fileprivate var text: String {
        func date(_ seconds: Int) -> String {
            seconds == 0
                ? "never" : Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
        }
        let lines: [(String, String)] = [
            ("name", name), ("source", source), ("revision", revision.isEmpty ? "-" : revision),
            ("digest", digest ?? "-"), ("tier", tier), ("pinned", isPinned ? "yes" : "no"),
            ("rank", rank.map { "\($0)" } ?? "-"),
            ("modules", moduleCount.map { "\($0)" } ?? "-"), ("size", size),
            ("leases", "\(leaseCount)"), ("hits", "\(hitCount)"), ("loads", "\(loadCount)"),
            ("last use", date(lastUse)), ("created", date(created)), ("updated", date(updated)),
            ("fault", fault ?? "-"),
        ]
        return lines.map { $0.padded(to: 12) + $1 }.joined(separator: "\n")
    }
}
