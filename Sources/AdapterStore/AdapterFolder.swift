internal import Foundation

/// What lies in a folder of adapters, and what in it is none and might have been meant as one.
package struct AdapterFolder: Sendable {
    /// Sub-folders that hold a PEFT adapter, and GGUF files, by name.
    package private(set) var adapters: [(name: String, path: String)] = []
    /// Why others are passed over.
    package private(set) var others: [(path: String, reason: String)] = []

    private static let configuration = "adapter_config.json"

    /// - Throws: whatever reading the folder throws.
    package init(_ folder: String) throws {
        for file in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
            add(file, "\(folder)/\(file)")
        }
    }

    /// Whether a folder is an adapter itself.
    package static func isAdapter(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(path)/\(configuration)")
    }

    private mutating func add(_ file: String, _ path: String) {
        var isFolder: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            return
        }
        guard isFolder.boolValue else {
            if file.hasSuffix(".gguf") { adapters.append((String(file.dropLast(5)), path)) }
            return
        }
        if AdapterFolder.isAdapter(path) {
            adapters.append((file, path))
            return
        }
        do {
            let inside = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
            if let reason = AdapterFolder.reason(path, inside) { others.append((path, reason)) }
        } catch {
            others.append((path, "it cannot be read"))
        }
    }

    /// Why a folder that looks as if it were meant as an adapter is none; nil for any other.
    private static func reason(_ path: String, _ inside: [String]) -> String? {
        // Of checkpoint-900 and checkpoint-1000 the latter is the last.
        let ordered = inside.sorted { $0.compare($1, options: .numeric) == .orderedAscending }
        if let nested = ordered.last(where: { isAdapter("\(path)/\($0)") }) {
            return "the adapters in it lie too deep: name one with --adapter NAME=\(path)/\(nested)"
        }
        if inside.contains(where: { $0.hasPrefix("adapter_model.") }) {
            return "it has no \(configuration)"
        }
        return inside.contains("config.json") ? "it is a model, not an adapter" : nil
    }
}
