package import AdapterSources
package import Adapters
internal import Catalog
internal import Foundation
internal import ModelFiles
internal import Synchronization

/// What operators do to names.
extension AdapterLibrary {
    /// Gives a name to a source, without reading it: that happens when somebody asks for it.
    ///
    /// - Throws: `LibraryError` or `CatalogError`.
    package func register(
        name: String, source: AdapterSource, replaces: Bool = false
    ) async throws {
        try check(name)
        try await change {
            var alias = AliasRecord(
                name: name, source: source.description, created: Date().timeIntervalSince1970)
            let previous = try self.place(of: name, replaces: replaces, client: nil)
            alias.pinned = previous?.pinned ?? false
            try self.store(alias)
        }
        events.send(.registered(name))
    }

    /// Reads a source and makes a name stand for what it holds. Requests under way finish on what
    /// the name stood for before; new ones get the new adapter from the moment this returns.
    ///
    /// - Parameters:
    ///   - replaces: whether the name may stand for something already.
    ///   - expected: what it must stand for now; nil for anything.
    ///   - client: whose request gives the name; nil for an operator.
    /// - Throws: as `lease`, and `LibraryError` with `adapter_changed` when it stands for something
    ///   else than expected. Nothing has changed then.
    @discardableResult
    package func put(
        name: String, source: AdapterSource, replaces: Bool, expected: String? = nil,
        client: String? = nil
    ) async throws -> AdapterEntry {
        try check(name)
        let previous = entry(name)
        if !replaces, previous != nil { throw AdapterLibrary.taken(name) }
        if let expected, previous?.digest?.description != expected {
            throw AdapterLibrary.changed(name, previous?.alias.digest, expected)
        }
        var alias = AliasRecord(
            name: name, source: source.description, created: Date().timeIntervalSince1970)
        alias.client = client
        let imported: Imported
        do {
            imported = try await bring(alias)
        } catch let error as ModelFileError {
            events.send(.refused(name, reason: "\(error)"))
            throw error
        }
        alias.digest = imported.adapter.digest.description
        alias.revision = imported.revision
        let record = record(of: imported.adapter)
        do {
            try await change { [alias] in
                try self.store(alias, record, replaces: replaces, expected: expected)
            }
            return try announce(name, record, isNew: previous == nil)
        } catch {
            await discard(imported.adapter.digest)
            throw error
        }
    }

    /// Makes a name stand for an adapter that is on the disk or in memory: a rollback, say.
    ///
    /// - Throws: `LibraryError`: `adapter_not_found`, `adapter_changed`; or `CatalogError`.
    @discardableResult
    package func point(
        name: String, at digest: AdapterDigest, expected: String? = nil
    ) async throws -> AdapterEntry {
        try check(name)
        let (record, isNew) = try await change {
            let (previous, record, isLoaded) = self.state.withLock { state in
                (state.names[name]?.alias, state.adapters[digest], state.host.holds(digest))
            }
            let (isOnDisk, path) = self.disk.withLock { disk in
                (disk?.holds(digest) ?? false, disk?.path(of: digest) ?? "/")
            }
            guard let record, isOnDisk || isLoaded else {
                throw LibraryError(
                    .notFound, "No adapter with the digest \(digest.short) is kept here any more.")
            }
            var alias =
                previous
                ?? AliasRecord(name: name, source: path, created: Date().timeIntervalSince1970)
            alias.digest = digest.description
            // Whatever the source holds now, it is not this.
            alias.revision = AliasRecord.pointed + digest.short
            alias.fault = nil
            try self.store(alias, record, replaces: true, expected: expected)
            return (record, previous == nil)
        }
        // Its source may hold something else by now, so the pack may be all that there is of it.
        if let adapter = state.withLock({ $0.loaded[digest] }) {
            try await storePack(of: adapter)
            await discard(digest)
        }
        return try announce(name, record, isNew: isNew)
    }

    private func announce(
        _ name: String, _ record: AdapterRecord, isNew: Bool
    ) throws -> AdapterEntry {
        wakeNext()
        events.send(
            isNew ? .added(name, digest: record.digest) : .replaced(name, digest: record.digest))
        publish()
        guard let entry = entry(name) else {
            throw LibraryError(.notFound, "\"\(name)\" was removed meanwhile.")
        }
        return entry
    }

    // MARK: One change after another

    /// Does a change of names on the thread of changes. What it stores is on the disk before requests
    /// see it, and nobody who looks a name up waits for the disk.
    ///
    /// - Parameter body: the only one meanwhile that changes names, their adapters' records or what
    ///   is removed from the disk. Locks the state for moments only, not while it stores.
    func change<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            changes.async {
                let result: Result<Value, any Error> = Result { try body() }
                continuation.resume(with: result)
            }
        }
    }

    /// What a name stands for before a change.
    ///
    /// - Parameter client: for whom room is made among the names that requests gave.
    /// - Throws: `LibraryError` when it may not be changed, or not be added; `CatalogError`.
    private func place(
        of name: String, replaces: Bool, client: String?
    ) throws -> AliasRecord? {
        let previous = state.withLock { $0.names[name]?.alias }
        if previous != nil, !replaces { throw AdapterLibrary.taken(name) }
        if previous == nil { try makeRoomForName(of: client) }
        let count = state.withLock { $0.names.count }
        guard previous != nil || count < configuration.adapterLimit else {
            throw LibraryError(
                .tooMany,
                "\(configuration.adapterLimit) adapters are registered, which is the limit. Remove one first."
            )
        }
        return previous
    }

    private func store(
        _ alias: AliasRecord, _ record: AdapterRecord, replaces: Bool, expected: String?
    ) throws {
        let previous = try place(of: alias.name, replaces: replaces, client: alias.client)
        if let expected, previous?.digest != expected {
            throw AdapterLibrary.changed(alias.name, previous?.digest, expected)
        }
        var alias = alias
        alias.pinned = previous?.pinned ?? false
        alias.created = previous?.created ?? alias.created
        alias.updated = Date().timeIntervalSince1970
        try store(alias, record, isOperators: alias.client == nil)
    }

    /// Writes what a name stands for to the catalog, then shows it to requests. In a change only.
    ///
    /// - Parameter isOperators: a full disk refuses what an operator wants; what was only found out is
    ///   found out again after the next start.
    /// - Throws: `CatalogError`. Nothing has changed then.
    func store(
        _ alias: AliasRecord, _ record: AdapterRecord? = nil, isOperators: Bool = true
    ) throws(CatalogError) {
        do throws(CatalogError) {
            if let record {
                try catalog?.put(alias, record)
            } else {
                try catalog?.put(alias)
            }
        } catch {
            guard error.isDiskFull, !isOperators else { throw error }
            if let digest = record.flatMap({ AdapterDigest($0.digest) }) {
                events.send(.notStored(digest, reason: error.description))
            }
        }
        show(alias, record)
    }

    /// Shows requests what a name stands for. In a change only.
    func show(_ alias: AliasRecord, _ record: AdapterRecord? = nil) {
        state.withLock { state in
            let previous = state.names.put(alias)
            let digest = state.names[alias.name]?.digest
            if let record, let digest { state.know(digest, record) }
            for case let digest? in [previous?.digest, digest] {
                state.host.pin(digest, state.names.isPinned(digest))
            }
        }
    }

    /// Forgets a name. Its adapter goes from memory and disk once nobody uses it, unless another name
    /// stands for it.
    ///
    /// - Throws: `LibraryError` with `adapter_not_found`, or `CatalogError`.
    package func remove(name: String) async throws {
        try await change { try self.removeNow(name) }
        wakeNext()
        events.send(.removed(name))
        publish()
    }

    func removeNow(_ name: String) throws {
        guard state.withLock({ $0.names[name] != nil }) else {
            throw AdapterLibrary.unknown(name)
        }
        try catalog?.remove(alias: name)
        let (digest, adapter) = state.withLock { state -> (AdapterDigest?, DeviceAdapter?) in
            guard let digest = state.names.remove(name)?.digest else { return (nil, nil) }
            state.host.pin(digest, state.names.isPinned(digest))
            guard !state.names.isNamed(digest) else { return (nil, nil) }
            state.adapters[digest] = nil
            state.uses[digest] = nil
            state.tallies[digest] = nil
            state.putAside.remove(digest)
            if state.host.demote(digest) {
                return (digest, state.loaded.removeValue(forKey: digest))
            }
            state.doomed.insert(digest)
            return (digest, nil)
        }
        // Its memory is freed outside the lock.
        _ = consume adapter
        // Nobody names it again before this change is over.
        if let digest { disk.withLock { $0?.remove(digest) } }
    }

    /// Keeps a name's adapter in RAM, once it is there, and on the disk.
    ///
    /// - Throws: `LibraryError` with `adapter_not_found`, or `CatalogError`.
    package func pin(name: String, _ isPinned: Bool) async throws {
        try await change {
            guard var alias = self.state.withLock({ $0.names[name]?.alias }) else {
                throw AdapterLibrary.unknown(name)
            }
            alias.pinned = isPinned
            try self.store(alias)
        }
        events.send(.pinned(name, isPinned))
        if !isPinned { wakeNext() }
    }

    // MARK: Tiers

    /// Brings a name's adapter into RAM, as soon as requests under way leave room for that.
    ///
    /// - Throws: as `lease`.
    package func warm(name: String) async throws {
        guard serves(name), entry(name)?.tier != .host else {
            // There is nothing to bring, or nobody has the name.
            _ = try await current(name)
            return
        }
        try await throttle.background {
            _ = try await self.current(name)
        }
    }

    /// Lets a name's adapter go from RAM, if nobody uses it.
    ///
    /// - Returns: whether it is out of RAM now.
    /// - Throws: `LibraryError` with `adapter_not_found`.
    package func demote(name: String) throws -> Bool {
        guard let entry = entry(name) else { throw AdapterLibrary.unknown(name) }
        guard let digest = entry.digest else { return true }
        let (isGone, adapter) = state.withLock { state in
            let isGone = state.host.demote(digest)
            if isGone { state.putAside.insert(digest) }
            return (isGone, isGone ? state.loaded.removeValue(forKey: digest) : nil)
        }
        _ = consume adapter
        if isGone {
            wakeNext()
            events.send(.evicted(digest, from: .host))
        }
        publish()
        return isGone
    }

    /// Reads a name's pack from the disk and checks every byte of it; one that is damaged is put aside
    /// and made again from the source. As soon as requests under way leave room for that.
    ///
    /// - Returns: whether it was whole.
    /// - Throws: as `lease`, when it cannot be made again.
    package func verify(name: String) async throws -> Bool {
        try await throttle.background { try await self.verifyNow(name) }
    }

    private func verifyNow(_ name: String) async throws -> Bool {
        let digest = try await digest(of: name)
        switch try await readPack(digest, on: imports) {
        case .whole: return true
        case .absent:
            _ = try await lease(name)
            return true
        case .damaged: break
        }
        guard let alias = state.withLock({ $0.names[name]?.alias }) else { return false }
        let again = try await bring(alias).adapter.digest
        // The name may have gone meanwhile.
        await discard(again)
        guard again == digest else {
            throw LibraryError(
                .conflict,
                "The pack of \"\(name)\" was damaged, and its source has changed since: replace it."
            )
        }
        return false
    }

    /// Writes counters that have changed to the catalog.
    ///
    /// - Throws: `CatalogError`.
    package func storeUses() async throws {
        let uses = state.withLock { $0.uses }
        let records = uses.map { digest, use in
            AdapterUse(
                digest: digest.description, hits: use.hits, loads: use.loads, lastUse: use.lastUse)
        }
        // Uses that the catalog cannot take are taken the next time.
        if let catalog { try await change { try catalog.add(records) } }
        state.withLock { state in
            for (digest, use) in uses {
                state.adapters[digest]?.add(use)
                state.uses[digest]?.hits -= use.hits
                state.uses[digest]?.loads -= use.loads
                if let rest = state.uses[digest], rest.hits == 0, rest.loads == 0 {
                    state.uses[digest] = nil
                }
            }
        }
    }

    /// Names are printed in logs, metrics and headers, so they are kept to harmless characters.
    package static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 200 else { return false }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte)
        }
        return isAlphanumeric(first)
            && name.utf8.allSatisfy { isAlphanumeric($0) || "._-/:@".utf8.contains($0) }
    }

    /// - Throws: `LibraryError` when no adapter may have the name.
    package func check(_ name: String) throws(LibraryError) {
        guard AdapterLibrary.isName(name) else { throw AdapterLibrary.notAName }
        guard !configuration.reservedNames.contains(name) else {
            throw LibraryError(.taken, "\"\(name)\" is the base model's name.")
        }
    }

    private static func changed(
        _ name: String, _ digest: String?, _ expected: String
    ) -> LibraryError {
        LibraryError(
            .conflict,
            "\"\(name)\" stands for \(digest ?? "nothing") and not for \(expected): somebody else has changed it."
        )
    }

    static var notAName: LibraryError {
        LibraryError(
            .invalidName,
            "An adapter's name has 1 to 200 letters, digits and . _ - / : @ and begins with a letter or digit."
        )
    }

    static func unknown(_ name: String) -> LibraryError {
        LibraryError(.notFound, "There is no adapter \"\(name.prefix(200))\".")
    }

    private static func taken(_ name: String) -> LibraryError {
        LibraryError(
            .taken, "The adapter \"\(name)\" is already registered. Set load_inplace to replace it."
        )
    }
}

extension AliasRecord {
    /// Whether it is of the same source, and what it says of it is not newer.
    func standsFor(_ other: AliasRecord) -> Bool {
        source == other.source && revision == other.revision && digest == other.digest
    }
}
