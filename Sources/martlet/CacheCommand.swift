import AdapterStore
import ArgumentParser
import Foundation
import Tensors

/// What Martlet keeps on the disk, and how it is thrown away.
struct CacheCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Shows and clears what is kept on the disk: packs of adapters, fetched models.",
        subcommands: [Show.self, Clear.self])

    /// Which cache.
    struct Place: ParsableArguments {
        @Option(
            help: ArgumentHelp(
                "The folder that servers have as --disk-cache. (default: ~/.cache/martlet)",
                valueName: "folder"))
        var diskCache: String?

        func parts() throws -> [Part] {
            guard let root = diskCache ?? ModelSettings.cacheRoot else {
                throw ValidationError("There is no home folder: say which --disk-cache.")
            }
            return Part.all(in: root)
        }
    }

    /// A folder of the cache: the packs for one base and format, or a model.
    struct Part {
        enum Kind: String { case packs, model }

        let kind: Kind
        let path: String
        let byteCount: Int
        /// Whether a server has it open.
        let isInUse: Bool

        static func all(in root: String) -> [Part] {
            let files = FileManager.default
            func names(_ folder: String) -> [String] {
                ((try? files.contentsOfDirectory(atPath: folder)) ?? []).sorted()
            }
            let packs = names(root).map { "\(root)/\($0)" }
                .filter { files.fileExists(atPath: $0 + "/packs") }
                .map { path in
                    let isFree = FolderLock(leftBehind: path) != nil
                    return Part(
                        kind: .packs, path: path, byteCount: size(of: path), isInUse: !isFree)
                }
            let models = names(root + "/models").map { "\(root)/models/\($0)" }
                .map { Part(kind: .model, path: $0, byteCount: size(of: $0), isInUse: false) }
            return packs + models
        }

        private static func size(of folder: String) -> Int {
            let all = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String }
            return (all ?? []).reduce(0) { sum, name in
                sum
                    + (FileVersion(of: "\(folder)/\(name)").flatMap {
                        $0.isRegular ? $0.byteCount : 0
                    } ?? 0)
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists what is kept, how large it is, and whether a server uses it.")

        @OptionGroup var place: Place

        func run() throws {
            let parts = try place.parts()
            guard !parts.isEmpty else { return print("Nothing is kept.") }
            var table = TextTable(["kind", "size", "used", "folder"])
            for part in parts {
                table.add([
                    part.kind.rawValue, ByteCount.text(part.byteCount),
                    part.isInUse ? "yes" : "-", part.path,
                ])
            }
            print(table.columns(left: ["kind", "used", "folder"]))
            print("in all: \(ByteCount.text(parts.reduce(0) { $0 + $1.byteCount }))")
        }
    }

    struct Clear: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Removes what no server uses: packs and the names kept with them, or models.",
            discussion: """
                Packs are made again from their sources and models fetched again when they are needed. \
                Names that were added to a server with a --disk-cache of its own go with its folder.

                Examples:
                  martlet cache clear --packs
                  martlet cache clear --models --packs
                """)

        @OptionGroup var place: Place
        @Flag(help: "Packs of adapters.") var packs = false
        @Flag(help: "Models that were fetched from the Hub.") var models = false

        func validate() throws {
            guard packs || models else { throw ValidationError("Say --packs, --models, or both.") }
        }

        func run() throws {
            var freed = 0
            for part in try place.parts() where part.kind == .packs ? packs : models {
                guard !part.isInUse else {
                    print("\(part.path) is in use by a server and stays")
                    continue
                }
                try FileManager.default.removeItem(atPath: part.path)
                freed += part.byteCount
            }
            print("removed \(ByteCount.text(freed))")
        }
    }
}
