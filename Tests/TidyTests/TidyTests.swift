import Foundation
import TestSupport
import Testing

/// The repository keeps its own rules.
struct TidyTests {
    static let root = Repository.path("")

    /// Tracked and new files, without what builds leave behind.
    static let files: [String] = {
        let ignored = [".build", ".git", ".venv", ".quickstart", "Package.resolved"]
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

    @Test func importsEqualTheTableInTheArchitecture() throws {
        var table: [String: Set<String>] = [:]
        for line in try Self.text("ARCHITECTURE.md").split(separator: "\n")
        where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            let names = (cells[2] + ", " + cells[3]).split(separator: ",")
                .map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `–")) }
            table[cells[0].trimmingCharacters(in: CharacterSet(charactersIn: "`"))] = Set(
                names.filter { !$0.isEmpty })
        }
        #expect(table.count == 23)
        var found: [String: Set<String>] = table.mapValues { _ in [] }
        for path in Self.files where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            let module = String(path.split(separator: "/")[1])
            found[module, default: []].formUnion(try Self.imports(path))
        }
        for (module, imports) in found {
            #expect(imports == table[module] ?? [], "\(module) imports \(imports.sorted())")
        }
    }

    /// Every metric has a line of help, and a row in the operators' documents.
    @Test func metricsAreDescribed() throws {
        let help = try Self.text("Sources/Telemetry/MetricHelp.swift")
            .matches(of: /"([a-z:_]+)":/).map { String($0.1) }
        let documents = try ["running", "adapters", "cluster"]
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

    @Test func pointersStayInTensors() throws {
        for path in Self.files where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            guard !path.hasPrefix("Sources/Tensors/") else { continue }
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
