import AdapterSources
import ArgumentParser
import JSONTree

/// What names stand for.
extension AdaptersCommand {
    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Reads a source and gives it a name that requests may use.",
            discussion: """
                A name that exists is refused: `replace` gives it another adapter. The server reads the \
                source, so a path is one of its machine; a relative one is taken from the folder here.

                Examples:
                  martlet adapters add pirate hf:acme/pirate-lora@v2
                  martlet adapters add pirate s3://adapters/pirate
                  martlet adapters add pirate Examples/adapters/pirate
                """)

        @Argument(help: "The name, a model's in requests.") var name: String
        @Argument(help: AdaptersCommand.sourceHelp) var source: String
        @OptionGroup var server: ServerOptions

        func run() async throws {
            let content = JSON.Object([
                ("source", .string(try AdapterSource(source).description)), ("replaces", false),
            ])
            do {
                print(try await server.withClient { try await $0.put(name, content) }.line)
            } catch let error as AdminError where error.code == "adapter_exists" {
                throw AdminError(
                    "There is an adapter \"\(name)\" already: `martlet adapters replace` gives the name another.",
                    code: error.code)
            }
        }
    }

    struct Replace: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Reads a source and makes a name stand for it from then on.",
            discussion: """
                Requests under way finish on the adapter that they began with. With --if-digest nothing \
                changes unless the name still stands for what you have seen. The output ends with the \
                command that goes back.

                Example:
                  martlet adapters replace pirate hf:acme/pirate-lora@v3
                """)

        @Argument(help: "The adapter's name.") var name: String
        @Argument(help: AdaptersCommand.sourceHelp) var source: String
        @OptionGroup var expectation: Expectation
        @OptionGroup var server: ServerOptions

        func run() async throws {
            let content = expectation.content(
                "source", try AdapterSource(source).description)
            try await server.withClient { client in
                let before = try await client.adapter(name)
                let after = try await client.put(name, content)
                print(after.line)
                if let digest = before.digest, digest != after.digest {
                    print("to go back: martlet adapters point \(name) \(digest)")
                }
            }
        }
    }

    struct Point: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a name stand for an adapter that the server still keeps: a rollback.",
            discussion: """
                Nothing is fetched. `show` prints a name's digest, and `replace` the one before.

                Example:
                  martlet adapters point pirate DIGEST
                """)

        @Argument(help: "The name; it need not exist.") var name: String
        @Argument(help: "The adapter's digest, or its first 6 digits and more.") var digest: String
        @OptionGroup var expectation: Expectation
        @OptionGroup var server: ServerOptions

        func validate() throws { try AdaptersCommand.check(digest) }

        func run() async throws {
            let content = expectation.content("digest", digest)
            print(try await server.withClient { try await $0.put(name, content) }.line)
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forgets a name, and its adapter unless another name stands for it.",
            discussion: """
                Requests under way finish first. The source is left alone.

                Example:
                  martlet adapters remove pirate
                """)

        @Argument(help: "The adapter's name.") var name: String
        @OptionGroup var server: ServerOptions

        func run() async throws {
            try await server.withClient { try await $0.remove(name) }
            print("\(name): removed")
        }
    }

    /// What a name must stand for, or nothing changes.
    struct Expectation: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "Change nothing unless the name stands for this now.", valueName: "digest"))
        var ifDigest: String?

        func validate() throws { try ifDigest.map(AdaptersCommand.check) }

        /// What a name is to stand for, as the server is told.
        func content(_ kind: String, _ value: String) -> JSON.Object {
            var content = JSON.Object([(kind, .string(value))])
            if let ifDigest { content["if_digest"] = .string(ifDigest) }
            return content
        }
    }

    private static func check(_ digest: String) throws {
        let isHexadecimal = digest.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
        guard isHexadecimal, (6...64).contains(digest.utf8.count) else {
            throw ValidationError(
                "\"\(digest)\" is not a digest (64 hex digits, of which the first 6 or more will do)."
            )
        }
    }

    private static let sourceHelp: ArgumentHelp =
        "hf:owner/name[/folder][@revision], s3://bucket/prefix, https://host/folder/, or a path on the server's machine."
}
