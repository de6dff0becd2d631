package import AdapterStore
package import ModelFiles

/// The names that requests may ask for: the base model's, and those of adapters.
package final class ModelRegistry: Sendable {
    /// What a name stands for, for the time of a request.
    package enum Model: Sendable {
        case base
        case adapter(AdapterLease)

        package var lease: AdapterLease? {
            if case .adapter(let lease) = self { lease } else { nil }
        }
    }

    /// Names of the base, the first of them its own.
    package let baseNames: [String]
    package let checkpoint: Checkpoint
    package let created: Int
    package let library: AdapterLibrary

    package init(
        baseNames: [String], checkpoint: Checkpoint, library: AdapterLibrary, created: Int
    ) {
        precondition(!baseNames.isEmpty, "The base needs a name.")
        self.baseNames = baseNames
        self.checkpoint = checkpoint
        self.library = library
        self.created = created
    }

    /// Names beyond which requests for unknown ones get no hint.
    private static let hintLimit = 1000

    /// - Throws: `GenerationError` with the names that are spelled like it, when it is nothing's name.
    package func check(_ name: String) throws(GenerationError) {
        if baseNames.contains(name) || library.serves(name) { return }
        // To look through more of them would cost more than a hint is worth.
        let names = library.count <= ModelRegistry.hintLimit ? library.names : []
        let near = EditDistance.nearest(to: name, among: baseNames + names)
        let hint =
            near.isEmpty
            ? "GET /v1/models lists what is served."
            : "Did you mean \(near.joined(separator: ", "))?"
        throw GenerationError(
            .modelNotFound(near: near), "The model \"\(name.prefix(200))\" does not exist. \(hint)")
    }

    /// What a name stands for, in memory; waits until it is there.
    ///
    /// - Throws: `GenerationError` for unknown names; as `AdapterLibrary.lease`.
    package func model(_ name: String) async throws -> Model {
        try check(name)
        if baseNames.contains(name) { return .base }
        return .adapter(try await library.lease(name))
    }
}

/// Levenshtein's distance, for "did you mean".
enum EditDistance {
    static func nearest(to name: String, among names: [String]) -> [String] {
        guard name.utf8.count <= 200 else { return [] }
        let limit = max(1, name.count / 3)
        return names.lazy.filter { abs($0.utf8.count - name.utf8.count) <= limit }
            .map { ($0, distance(name, $0)) }.filter { $0.1 <= limit }
            .sorted { ($0.1, $0.0) < ($1.1, $1.0) }.prefix(3).map(\.0)
    }

    static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.lowercased().utf8), Array(b.lowercased().utf8))
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
