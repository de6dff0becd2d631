internal import Adapters
internal import Catalog
internal import Dispatch
internal import Synchronization

/// The last part of the way up: from a pack on the disk to RAM.
extension AdapterLibrary {
    /// From the disk, or else from the source again.
    func read(_ digest: AdapterDigest, name: String) async throws -> Loaded {
        if case .whole(let adapter) = try await readPack(digest, on: loads) {
            return Loaded(adapter: adapter, tier: .disk)
        }
        guard let alias = state.withLock({ $0.names.alias(of: digest, preferring: name) }) else {
            throw LibraryError(
                .notFound,
                "The adapter \(digest.short) is not on the disk, and no name has its source.")
        }
        let imported = try await bring(alias)
        if imported.adapter.digest != digest, !imported.revision.isEmpty,
            imported.revision == alias.revision
        {
            // The same files make another adapter than they did: more of them is read since, or the base's tokenizer
            // has changed. `current` looks again.
            let names = state.withLock { $0.names.aliases(of: digest) }
            for other in names
            where (other.source, other.revision) == (alias.source, alias.revision) {
                try await point(other, at: imported)
                events.send(.replaced(other.name, digest: imported.adapter.digest.description))
            }
        }
        // The name may have gone meanwhile.
        await discard(imported.adapter.digest)
        guard imported.adapter.digest == digest else {
            throw LibraryError(
                .conflict,
                "The source of \"\(alias.name)\" has changed since it was registered: replace it, or restore its files."
            )
        }
        return Loaded(adapter: imported.adapter, tier: .source)
    }

    /// A lease of what a name stands for, which is looked up once more where its source made another adapter than it did.
    func current(
        _ name: String, isRequest: Bool = false, isNew: Bool = false
    ) async throws -> (digest: AdapterDigest, lease: AdapterLease) {
        let digest = try await digest(of: name)
        do {
            return (
                digest, try await lease(digest, name: name, isRequest: isRequest, isNew: isNew)
            )
        } catch let error as LibraryError where error.code == .conflict {
            let found = try await self.digest(of: name)
            guard found != digest else { throw error }
            return (found, try await lease(found, name: name, isRequest: isRequest, isNew: isNew))
        }
    }

    enum PackReading {
        case whole(DeviceAdapter)
        /// It is out of the way now.
        case damaged
        case absent
    }

    /// Reads a pack and checks every byte of it.
    ///
    /// - Throws: `LibraryError` with `disk_failed` when nothing is said about its bytes.
    func readPack(
        _ digest: AdapterDigest, on queue: DispatchQueue
    ) async throws -> PackReading {
        let edition = disk.withLock { $0?.use(digest) }
        guard let edition, let reader else { return .absent }
        do {
            return .whole(try await perform(on: queue) { try reader(digest, $0) })
        } catch let error as PackError {
            switch error.kind {
            case .missing:
                disk.withLock { $0?.remove(digest, edition: edition) }
                return .absent
            case .foreign:
                // Where a name was pointed at it, it may be all that there is of an adapter, and of use again.
                let names = state.withLock { $0.names.aliases(of: digest) }
                if !names.allSatisfy(\.isPointed) {
                    disk.withLock { $0?.remove(digest, edition: edition) }
                }
                return .absent
            case .unreadable: throw LibraryError(.diskFailed, error.description)
            case .damaged:
                // Whoever read it at the same time may have made it again since.
                guard disk.withLock({ $0?.quarantine(digest, edition: edition) ?? false }) else {
                    return try await readPack(digest, on: queue)
                }
                metrics.quarantined()
                events.send(.quarantined(digest, reason: error.description))
            }
            return .damaged
        }
    }
}
