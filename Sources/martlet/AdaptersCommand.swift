import Adapters
import ArgumentParser
import Foundation
import Generation
import ModelFiles
import Tensors

struct AdaptersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapters",
        abstract: "Lists, inspects and verifies adapters in a folder.",
        subcommands: [List.self, InspectOne.self, Verify.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists the adapters in a folder, and whether each can be served.")

        @Argument(help: "A folder of adapter folders.") var folder: String
        @Option(help: ArgumentHelp("The base model they are for.", valueName: "path")) var model:
            String

        func run() throws {
            let base = try Checkpoint.open(path: model)
            print(AdapterReport.header)
            for adapter in try ModelSettings.adapters(in: folder) {
                do {
                    print(try AdapterReport(path: adapter.path, base: base).row(adapter.name))
                } catch {
                    print(adapter.name.padded(to: 24) + "refused: \(error)")
                }
            }
        }
    }

    struct InspectOne: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect", abstract: "Says what one adapter changes.")

        @Argument(help: "An adapter folder or a GGUF LoRA file.") var path: String
        @Option(help: ArgumentHelp("The base model it is for.", valueName: "path")) var model:
            String

        func run() throws {
            print(try AdapterReport(path: path, base: try Checkpoint.open(path: model)).text)
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Checks adapters as the server would, tensor by tensor; fails if any is refused.")

        @Argument(help: "Adapter folders, GGUF LoRA files, or folders of adapter folders.")
        var paths: [String]
        @Option(help: ArgumentHelp("The base model they are for.", valueName: "path")) var model:
            String

        func run() throws {
            let base = try Checkpoint.open(path: model)
            var refusedCount = 0
            for path in paths {
                let inside = (try? ModelSettings.adapters(in: path)) ?? []
                for adapter in inside.isEmpty ? [(name: path, path: path)] : inside {
                    do {
                        let file = try AdapterFile.open(
                            path: adapter.path, base: base.configuration, limits: AdapterLimits())
                        let digest = try DeviceAdapter(file, base: base, format: .f32).digest
                        print("\(adapter.name.padded(to: 24))ok  \(digest)")
                    } catch {
                        refusedCount += 1
                        print("\(adapter.name.padded(to: 24))refused: \(error)")
                    }
                }
            }
            if refusedCount > 0 { throw ExitCode(1) }
        }
    }
}

/// What can be said of an adapter.
struct AdapterReport {
    private let file: AdapterFile
    private let digest: AdapterDigest

    static let header =
        "name".padded(to: 24) + "rank".padded(to: 6) + "modules".padded(to: 9)
        + "size".padded(to: 12) + "digest"

    init(path: String, base: Checkpoint) throws {
        file = try AdapterFile.open(path: path, base: base.configuration, limits: AdapterLimits())
        digest = AdapterDigest(of: file)
    }

    private var byteCount: Int {
        file.deltas.values.reduce(0) { $0 + $1.a.byteRange.count + $1.b.byteRange.count }
    }

    func row(_ name: String) -> String {
        name.padded(to: 24) + "\(file.rank)".padded(to: 6) + "\(file.deltas.count)".padded(to: 9)
            + ByteCount.text(byteCount).padded(to: 12) + digest.short
    }

    var text: String {
        var lines = [
            "adapter".padded(to: 18) + file.path, "digest".padded(to: 18) + digest.description,
            "trained on".padded(to: 18) + (file.baseModelName ?? "not said"),
            "rank".padded(to: 18) + "\(file.rank)",
            "stored".padded(to: 18) + ByteCount.text(byteCount),
        ]
        for projection in Projection.allCases {
            let deltas = file.deltas.filter { $0.key.projection == projection }
            guard !deltas.isEmpty else { continue }
            let ranks = Set(deltas.values.map(\.rank)).sorted().map(String.init).joined(
                separator: ", ")
            let scales = Set(deltas.values.map(\.scale)).sorted().map { "\($0)" }.joined(
                separator: ", ")
            let kinds = [
                deltas.values.contains { $0.magnitude != nil } ? "DoRA" : nil,
                deltas.values.contains { $0.bias != nil } ? "bias" : nil,
            ].compactMap { $0 }.map { ", " + $0 }.joined()
            lines.append(
                "\(projection.rawValue.padded(to: 18))\(deltas.count) layers, rank \(ranks), scale \(scales)\(kinds)"
            )
        }
        return lines.joined(separator: "\n")
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        count >= width ? self + " " : padding(toLength: width, withPad: " ", startingAt: 0)
    }
}
