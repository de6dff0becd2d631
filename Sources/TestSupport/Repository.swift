internal import Foundation

/// Where tests find files of the repository.
package enum Repository {
    /// The absolute path of a file by its path in the repository.
    package static func path(_ relative: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent(relative).path
    }

    /// A golden of the conformance suite: tiny models of each family, with adapters.
    package static func conformance(_ relative: String) -> String {
        path("Tests/ConformanceTests/Goldens/" + relative)
    }

    /// Where the suite has a family, or with "tools/…" the bases of what training tools write.
    package static func family(_ name: String) -> String {
        name.hasPrefix("tools/")
            ? path("Tests/ModelFilesTests/Goldens/" + name) : conformance(name)
    }
}
