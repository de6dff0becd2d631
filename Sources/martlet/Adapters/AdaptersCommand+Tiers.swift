import JSONTree
import ArgumentParser
import Foundation
import Telemetry

/// Where adapters are kept.
extension AdaptersCommand {
    struct Pin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keeps an adapter on the disk, and in RAM once it is there.",
            discussion: """
                Its first request still has to bring it: `warm` does that now.

                Example:
                  martlet adapters pin pirate && martlet adapters warm pirate
                """)

        @Argument(help: "The adapter's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws { try await server.tell(name, to: "pin") }
    }

    struct Unpin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lets a pinned adapter give way to others again.")

        @Argument(help: "The adapter's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws { try await server.tell(name, to: "unpin") }
    }

    struct Warm: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Brings an adapter into RAM before somebody asks for it.",
            discussion: """
                Returns when it is there, which takes as long as its source does if nobody has asked before.

                Example:
                  martlet adapters warm pirate
                """)

        @Argument(help: "The adapter's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws { try await server.tell(name, to: "warm") }
    }

    struct Demote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lets an adapter go from RAM; it stays on the disk.",
            discussion: """
                Refused while requests use it and while it is pinned.

                Example:
                  martlet adapters demote pirate
                """)

        @Argument(help: "The adapter's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws { try await server.tell(name, to: "demote") }
    }

    struct Tiers: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows tier usage, waiting requests and thrashing.",
            discussion: """
                Thrashing is the share of recent requests for which something had to come back that had \
                just gone. Above 0.5 the server logs a warning: give it more --host-memory.
                """)

        @OptionGroup var server: ServerOptions

        func run() async throws {
            print(AdapterTable.text(try await server.withClient { try await $0.tiers() }))
        }
    }

    struct Events: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Prints what happens to adapters, a line of JSON each, until it is interrupted.",
            discussion: """
                Example:
                  martlet adapters events | grep evicted
                """)

        @OptionGroup var server: ServerOptions

        func run() async throws {
            try await server.withClient { client in
                try await client.forEachEvent { event in
                    // Unlike print, at once, also into a pipe.
                    guard StandardStream.output.write(event.text() + "\n") else {
                        throw ExitCode.failure
                    }
                }
            }
        }
    }
}

extension ServerOptions {
    fileprivate func tell(_ name: String, to action: String) async throws {
        print(try await withClient { try await $0.tell(name, to: action) }.line)
    }
}
