import Foundation
import TestSupport
import Testing

/// The repository keeps its own rules.
struct TidyTests {
    static let root = Repository.path("")

    /// Tracked and new files, without what builds leave behind.
    static let files: [String] = {
        let ignored = [".build", ".git", ".venv", ".quickstart", ".tutorial", "Package.resolved"]
        let all = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        return all.filter { path in
            !ignored.contains { path == $0 || path.hasPrefix($0 + "/") || path.hasPrefix($0 + "-") }
                && !path.contains("__pycache__")
        }
    }()

    static func text(_ path: String) throws -> String {
        try String(contentsOfFile: root + "/" + path, encoding: .utf8)
    }

    static func imports(_ path: String) throws -> Set<String> {
        Set(
            try text(path).split(separator: "\n").compactMap { line in
                line.wholeMatch(of: /(?:(?:public|package|internal) )?import (\w+)/).map {
                    String($0.1)
                }
            })
    }

    /// What each module imports, by ARCHITECTURE.md.
    private static func importTable() throws -> [String: Set<String>] {
        var table: [String: Set<String>] = [:]
        for line in try Self.text("ARCHITECTURE.md").split(separator: "\n")
        where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            let names = (cells[2] + ", " + cells[3]).split(separator: ",")
                .map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `–")) }
            table[cells[0].trimmingCharacters(in: CharacterSet(charactersIn: "`"))] = Set(
                names.filter { !$0.isEmpty })
        }
        return table
    }

    @Test func importsEqualTheTableInTheArchitecture() throws {
        let table = try Self.importTable()
        #expect(table.count == 33)
        var found: [String: Set<String>] = table.mapValues { _ in [] }
        for path in Self.files where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            let module = String(path.split(separator: "/")[1])
            found[module, default: []].formUnion(try Self.imports(path))
        }
        for (module, imports) in found {
            #expect(imports == table[module] ?? [], "\(module) imports \(imports.sorted())")
        }
    }

    /// Whoever uses the library gets no server and nothing that speaks HTTP.
    @Test func theLibraryBringsNoServer() throws {
        let table = try Self.importTable()
        var (needed, waiting): (Set<String>, [String]) = ([], ["Martlet"])
        while let module = waiting.popLast() {
            for name in table[module] ?? [] where needed.insert(name).inserted {
                waiting.append(name)
            }
        }
        #expect(needed.contains("Engine") && needed.contains("Crypto"))
        for name in needed {
            #expect(!name.hasPrefix("NIO") && !name.contains("HTTP") && name != "Hummingbird")
        }
    }

    /// Every metric has a line of help, and a row in the operators' documents.
    @Test func metricsAreDescribed() throws {
        let help = try Self.text("Sources/Telemetry/MetricHelp.swift")
            .matches(of: /"([a-z:_]+)":/).map { String($0.1) }
        let documents = try ["running", "adapters", "cluster", "gpus"]
            .map { try Self.text("docs/operating/\($0).md") }.joined()
        for label in help {
            #expect(documents.contains("`\(label)`"), "\(label) is in no document")
        }
        for path in Self.files where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            for match in try Self.text(path).matches(of: /label: "(martlet_[a-z_]+)"/) {
                #expect(help.contains(String(match.1)), "\(match.1) of \(path) has no help")
            }
        }
    }

    @Test func pointersStayInTensorsAndDevices() throws {
        for path in Self.files where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            guard !path.hasPrefix("Sources/Tensors/"), !path.hasPrefix("Sources/Devices/") else {
                continue
            }
            let text = try Self.text(path)
            #expect(
                !text.contains("UnsafePointer") && !text.contains("UnsafeMutable")
                    && !text.contains("UnsafeRaw"), "\(path)")
        }
    }

    @Test func librariesDoNotPrintOrCrash() throws {
        for path in Self.files where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            let text = try Self.text(path)
            if !path.hasPrefix("Sources/martlet/") { #expect(!text.contains("print("), "\(path)") }
            for word in ["try!", "fatalError(", "as!"] {
                #expect(!text.contains(word), "\(path): \(word)")
            }
            for line in text.split(separator: "\n") where line.contains("@unchecked Sendable") {
                #expect(text.contains("// Safety:"), "\(path): \(line)")
            }
        }
    }

    /// What scripts/generate-protos made is what it would make: neither side has changed since.
    @Test func generatedCodeIsCurrent() throws {
        let folder = "Sources/RouterWire/"
        let lines = try Self.text(folder + "manifest.txt").split(separator: "\n")
        let listed = Dictionary(
            uniqueKeysWithValues: lines.map { line in
                (String(line.dropFirst(17)), String(line.prefix(16)))
            })
        let files = Self.files.filter {
            $0.hasPrefix(folder) && ($0.hasSuffix(".swift") || $0.hasSuffix(".proto"))
        }
        #expect(Set(files) == Set(listed.keys) && files.contains { $0.hasSuffix(".proto") })
        for path in files {
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in try Self.text(path).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            let text = String(hash, radix: 16)
            let padded = String(repeating: "0", count: 16 - text.count) + text
            #expect(padded == listed[path], "\(path): run scripts/generate-protos")
        }
    }

    @Test func linksInDocumentsLeadSomewhere() throws {
        for path in Self.files where path.hasSuffix(".md") {
            let folder = (Self.root + "/" + path as NSString).deletingLastPathComponent
            for match in try Self.text(path).matches(of: /\]\(([^)#]+)[^)]*\)/) {
                let target = String(match.1)
                guard !target.hasPrefix("http") else { continue }
                #expect(
                    FileManager.default.fileExists(atPath: folder + "/" + target),
                    "\(path): \(target)")
            }
        }
        let lines = try Self.text("README.md").split(
            separator: "\n", omittingEmptySubsequences: false
        ).count
        #expect(lines <= 150)
    }

    @Test func nothingStrayOrLarge() throws {
        for path in Self.files {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: Self.root + "/" + path)
            guard attributes[.type] as? FileAttributeType == .typeRegular else { continue }
            let size = attributes[.size] as? Int ?? 0
            #expect(size <= 1 << 20, "\(path) has \(size) bytes")
            let lineLimit = 500
            if path.hasPrefix("Sources/"), !path.contains("/Generated/"),
                path.hasSuffix(".swift") || path.hasSuffix(".h") || path.hasSuffix(".c")
            {
                let lines = try Self.text(path).split(
                    separator: "\n", omittingEmptySubsequences: false
                ).count
                #expect(lines <= lineLimit, "\(path) has \(lines) lines")
            }
        }
    }
}
