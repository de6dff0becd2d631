import ArgumentParser

struct AdaptersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapters",
        abstract: "Looks after the adapters of a running server, and checks adapter files.",
        discussion: """
            Give the server with --url or MARTLET_URL. Changes require its admin key, the line \
            "admin: KEY" of its --api-key-file, in MARTLET_ADMIN_KEY. `list` and `verify` look at \
            files on this machine instead when they are given the --model that these are for.

            Example:
              export MARTLET_ADMIN_KEY=...
              martlet adapters add pirate hf:acme/pirate-lora
              martlet adapters list
            """,
        groupedSubcommands: [
            CommandGroup(
                name: "Status", subcommands: [List.self, Show.self, Tiers.self, Events.self]),
            CommandGroup(
                name: "Name",
                subcommands: [Add.self, Replace.self, Point.self, Remove.self]),
            CommandGroup(
                name: "Tier",
                subcommands: [Pin.self, Unpin.self, Warm.self, Demote.self, Verify.self]),
            CommandGroup(name: "File", subcommands: [InspectFile.self]),
        ])
}
