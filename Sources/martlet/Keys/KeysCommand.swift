import ArgumentParser
import Foundation
import JSONTree
import NIOHTTP1
import OpenAIWire
import Telemetry

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Makes, limits and revokes the API keys of a running server.",
        discussion: """
            Give the server with --url or MARTLET_URL, and an admin's key in MARTLET_ADMIN_KEY: at first \
            that is the line "admin: KEY" of its --api-key-file. The server stores a hash of each key; \
            the key itself is shown once, when it is made.

            Example:
              export MARTLET_ADMIN_KEY=...
              martlet keys create acme --models 'acme/*' --rpm 600 --tpm 100000
              martlet keys list
              martlet keys rotate acme --grace 24h
            """,
        subcommands: [Create.self, List.self, Limit.self, Rotate.self, Revoke.self])

    /// What a key may.
    struct Terms: ParsableArguments {
        @Option(help: "caller, observer, manager or admin. (default: caller)")
        var role: String?

        @Option(
            help: ArgumentHelp(
                "What the names of a manager's adapters begin with, such as acme/.",
                valueName: "text"))
        var namespace: String?

        @Option(
            help: ArgumentHelp(
                "Models it may ask, with * for any text; may be repeated. (default: *)",
                valueName: "name"))
        var models: [String] = []

        @Option(help: ArgumentHelp("Requests a minute.", valueName: "number"))
        var rpm: Int?

        @Option(
            help: ArgumentHelp("Tokens a minute, of prompts and answers.", valueName: "number"))
        var tpm: Int?

        @Option(help: ArgumentHelp("Requests at the same time.", valueName: "number"))
        var parallel: Int?

        @Option(help: ArgumentHelp("Tokens within --budget-duration.", valueName: "number"))
        var budget: Int?

        @Option(
            help: ArgumentHelp(
                "Whole hours, such as 24h or 30d. (default: 24h)", valueName: "time"))
        var budgetDuration: String?

        @Option(
            help: ArgumentHelp(
                "Its share of the engine beside other keys. (default: 1)", valueName: "number"))
        var weight: Double?

        @Option(
            help: ArgumentHelp(
                "The most urgent that its requests may be; lower is more urgent. (default: 0)",
                valueName: "number"))
        var priority: Int?

        @Option(
            help: ArgumentHelp("When it expires, from now, such as 90d.", valueName: "time"))
        var expires: String?

        var members: JSON.Object {
            var object = JSON.Object()
            object["role"] = role.map { .string($0) }
            object["namespace"] = namespace.map { .string($0) }
            if !models.isEmpty { object["models"] = .array(models.map { .string($0) }) }
            object["rpm_limit"] = rpm.map { .integer($0) }
            object["tpm_limit"] = tpm.map { .integer($0) }
            object["max_parallel_requests"] = parallel.map { .integer($0) }
            object["token_budget"] = budget.map { .integer($0) }
            object["budget_duration"] = budgetDuration.map { .string($0) }
            object["weight"] = weight.map { .number($0) }
            object["priority"] = priority.map { .integer($0) }
            object["duration"] = expires.map { .string($0) }
            return object
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a key and shows it, once.",
            discussion: """
                Example:
                  martlet keys create acme --models 'acme/*' --tpm 100000 --expires 90d
                """)

        @Argument(help: "What the key is called, in lists, logs and usage.") var name: String
        @OptionGroup var terms: Terms
        @OptionGroup var server: ServerOptions

        func run() async throws {
            var members = terms.members
            members["name"] = .string(name)
            let answer = try await server.withClient {
                try await $0.send(.POST, "keys", .object(members))
            }
            KeyTable.show(answer)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists keys and what they may.")

        @Flag(help: "As JSON, with everything.") var json = false
        @OptionGroup var server: ServerOptions

        func run() async throws {
            let answer = try await server.withClient { try await $0.send(.GET, "keys") }
            StandardStream.output.write(
                (json ? answer.text() : KeyTable.text(answer["keys"]?.arrayValue ?? [])) + "\n")
        }
    }

    struct Limit: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Changes what a key may; what is not named stays.",
            discussion: """
                Example:
                  martlet keys limit acme --rpm 60 --weight 2
                  martlet keys limit acme --unlimit tpm_limit --unblock
                """)

        @Argument(help: "The key's name.") var name: String
        @OptionGroup var terms: Terms

        @Option(
            help: ArgumentHelp(
                "A limit to take away, by its name in the API; may be repeated.",
                valueName: "limit"))
        var unlimit: [String] = []

        @Flag(help: "Refuse its requests until --unblock.") var block = false
        @Flag(help: "Take its requests again.") var unblock = false
        @OptionGroup var server: ServerOptions

        func validate() throws {
            guard !(block && unblock) else {
                throw ValidationError("Give --block or --unblock, not both.")
            }
        }

        func run() async throws {
            var members = terms.members
            for limit in unlimit { members[limit] = .null }
            if block || unblock { members["blocked"] = .bool(block) }
            let answer = try await server.withClient { [members] in
                try await $0.send(.PATCH, try AdminClient.path("keys", name), .object(members))
            }
            StandardStream.output.write(KeyTable.text([answer]) + "\n")
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Puts a new key in a key's place and shows it, once.")

        @Argument(help: "The key's name.") var name: String

        @Option(
            help: ArgumentHelp(
                "How long the old key counts beside the new one, such as 24h. (default: not at all)",
                valueName: "time"))
        var grace: String?
        @OptionGroup var server: ServerOptions

        func run() async throws {
            var members = JSON.Object()
            members["grace"] = grace.map { .string($0) }
            let answer = try await server.withClient { [members] in
                try await $0.send(
                    .POST, try AdminClient.path("keys", name) + "/rotate", .object(members))
            }
            KeyTable.show(answer)
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Ends a key for good. What it used stays known.")

        @Argument(help: "The key's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws {
            _ = try await server.withClient {
                try await $0.send(.DELETE, try AdminClient.path("keys", name))
            }
            StandardStream.output.write("\(name) is revoked.\n")
        }
    }
}
