package import Foundation

/// A folder that goes away with its owner.
package final class TemporaryFolder: Sendable {
    package let url: URL

    package init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    /// Writes a file and returns its path.
    @discardableResult
    package func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = url.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
        return file.path
    }

    @discardableResult
    package func write(_ text: String, to name: String) throws -> String {
        try write(Array(text.utf8), to: name)
    }

    /// Copies the two files of a PEFT adapter from its folder.
    package func copyAdapter(_ source: String, to name: String = "") throws {
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            let data = try Data(contentsOf: URL(fileURLWithPath: source + "/" + file))
            try write(Array(data), to: name.isEmpty ? file : name + "/" + file)
        }
    }

    package func path(_ name: String) -> String { url.appendingPathComponent(name).path }
}
