package import AdapterStore
package import Generation
package import ModelFiles

/// The names that somebody may ask for and hear of.
package struct ModelScope: Sendable {
    private let allows: @Sendable (String) -> Bool
    /// Whose names that requests gave are shown; nil for everybody's.
    private let client: String?

    /// Whether it holds everything.
    fileprivate let isAll: Bool

    package static let all = ModelScope(client: nil, isAll: true) { _ in true }
    /// Names that are looked at for a hint.
    fileprivate static let hintLimit = 2000

    package init(
        client: String?, isAll: Bool = false, allows: @escaping @Sendable (String) -> Bool
    ) {
        self.client = client
        self.isAll = isAll
        self.allows = allows
    }

    package func allows(_ name: String) -> Bool { allows(name) }

    /// Whether a list shows an adapter.
    package func shows(_ entry: AdapterEntry) -> Bool {
        allows(entry.name)
            && (client == nil || entry.client == nil || entry.client == client)
    }
}

/// The names that requests may ask for: the base model's, and those of adapters.
package final class ModelRegistry: Sendable {
    /// What a name stands for, for the time of a request.
    package enum Model: Sendable {
        case base
        /// One, or the sum of several.
        case adapter(AdapterLease)

        package var lease: AdapterLease? {
            if case .adapter(let lease) = self { lease } else { nil }
        }

        /// The same for whoever writes text with it.
        package var text: TextModel {
            lease.map { TextModel($0.adapter, name: $0.name, lease: $0) } ?? .base
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

    /// - Throws: `GenerationError` with the names that are spelled like it, when it is nothing's name in the scope.
    package func check(_ name: String, in scope: ModelScope) throws(GenerationError) {
        if scope.allows(name), baseNames.contains(name) || library.serves(name) { return }
        throw unknown(name, in: scope)
    }

    /// What is said of a name that is nothing's in the scope.
    package func unknown(_ name: String, in scope: ModelScope) -> GenerationError {
        // A hint is worth a millisecond: with many patterns not all names are looked at.
        let names = (baseNames + library.names).prefix(scope.isAll ? .max : ModelScope.hintLimit)
        let near = EditDistance.nearest(to: name, among: names.filter { scope.allows($0) })
            .filter { library.entry($0).map { scope.shows($0) } ?? true }
        let hint =
            near.isEmpty
            ? "GET /v1/models lists what is served."
            : "Did you mean \(near.joined(separator: ", "))?"
        return GenerationError(
            .modelNotFound(near: near), "The model \"\(name.prefix(200))\" does not exist. \(hint)")
    }

    /// The base's names, then those of adapters.
    package func names(in scope: ModelScope) -> [String] {
        baseNames.filter { scope.allows($0) }
            + library.names.filter { name in
                scope.allows(name) && library.entry(name).map { scope.shows($0) } ?? false
            }
    }

    /// - Throws: `GenerationError` unless these adapters may be added up on what `name` is.
    package func check(
        _ name: String, mixing parts: [String], in scope: ModelScope
    ) throws(GenerationError) {
        try check(name, in: scope)
        guard baseNames.contains(name) else {
            throw GenerationError(
                .notTheBase,
                "Adapters are added up on the base: model must be \(baseNames[0]), and \"\(name.prefix(200))\" can be one of the adapters."
            )
        }
        for part in parts {
            guard !baseNames.contains(part) else {
                throw GenerationError(
                    .notTheBase, "\"\(part)\" is the base, and no adapter to be added to it.")
            }
            try check(part, in: scope)
        }
    }

    /// The sum of adapters' scaled changes, in memory; waits until they are there.
    ///
    /// - Throws: as `AdapterLibrary.lease(mixing:)`.
    package func model(mixing parts: [(name: String, scale: Double)]) async throws -> Model {
        try await library.lease(mixing: parts).map { .adapter($0) } ?? .base
    }

    /// What a name stands for, in memory; waits until it is there.
    ///
    /// - Throws: `GenerationError` for names that are unknown in the scope; as `AdapterLibrary.lease`.
    package func model(_ name: String, in scope: ModelScope = .all) async throws -> Model {
        try check(name, in: scope)
        if baseNames.contains(name) { return .base }
        return .adapter(try await library.lease(name))
    }
}
