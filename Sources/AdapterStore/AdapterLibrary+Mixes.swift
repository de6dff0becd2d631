internal import AdapterSources
internal import Adapters
internal import Catalog
internal import ModelFiles
internal import Synchronization

/// Sums of adapters: made in RAM for a request, and by name with packs of their own.
extension AdapterLibrary {
    /// Brings adapters into RAM and adds up their scaled changes there, for a request.
    ///
    /// - Returns: a lease of the sum, which keeps its parts too; nil when every scale is 0.
    /// - Throws: as `lease(_:)`, and `ModelFileError` when they cannot be mixed.
    package func lease(
        mixing parts: [(name: String, scale: Double)]
    ) async throws -> AdapterLease? {
        var leases: [(lease: AdapterLease, scale: Float)] = []
        for part in parts where part.scale != 0 {
            leases.append((try await lease(part.name), Float(part.scale)))
        }
        guard let first = leases.first else { return nil }
        if leases.count == 1, first.scale == 1 { return first.lease }
        let mix = try mix(leases.map { ($0.lease.adapter, $0.scale) })
        return try await lease(
            mix.digest, name: "mix", mix: mix, parts: leases.map(\.lease))
    }

    func mix(_ parts: [(adapter: DeviceAdapter, scale: Float)]) throws -> AdapterMix {
        try AdapterMix(
            parts.map { AdapterMix.Part($0.adapter, scale: $0.scale) }, base: base.configuration,
            format: format, limits: limits)
    }

    /// The sum that a name's recipe says, with its pack.
    func bring(_ recipe: MixRecipe, name: String) async throws -> Imported {
        var leases: [(lease: AdapterLease, scale: Float)] = []
        for part in recipe.parts {
            let source = state.withLock { $0.names[part.name]?.alias.source }
            guard !(source?.hasPrefix("mix:") ?? false) else {
                throw ModelFileError(
                    .notMixable,
                    "\"\(part.name)\" is a mix itself: name its parts in \"\(name)\" instead.")
            }
            leases.append((try await current(part.name).lease, Float(part.scale)))
        }
        let mix = try mix(leases.map { ($0.lease.adapter, $0.scale) })
        guard mix.byteCount <= configuration.hostBudget else {
            throw AdapterLibrary.tooLarge(name, mix.byteCount)
        }
        let adapter = try await performImport { mix.adapter(pace: $0) }
        try await storePack(of: adapter)
        return Imported(adapter: adapter, revision: adapter.digest.short)
    }
}
