internal import AdapterSources
internal import Adapters
internal import Catalog
internal import Foundation
internal import ModelFiles
internal import Synchronization
internal import Tensors

/// From a source to memory and to the disk.
extension AdapterLibrary {
    /// What a source came to.
    struct Imported: Sendable {
        var adapter: DeviceAdapter
        var revision: String
    }

    /// What a name stands for, read from its source if nobody has read it yet.
    func digest(of name: String) async throws -> AdapterDigest {
        let known: (alias: AliasRecord, digest: AdapterDigest?)? = state.withLock { state in
            state.aliases[name].map { ($0, $0.digest.flatMap { AdapterDigest($0) }) }
        }
        guard let known else {
            guard let source = justInTime(name) else {
                throw LibraryError(.notFound, "There is no adapter \"\(name.prefix(200))\".")
            }
            try register(name: name, source: source)
            return try await digest(of: name)
        }
        if let digest = known.digest { return digest }
        if let fault = known.alias.fault { throw LibraryError(.faulty, fault) }
        let flight = state.withLock { state in
            if let flight = state.imports[name] { return flight }
            let flight = Task { try await self.identify(name) }
            state.imports[name] = flight
            return flight
        }
        return try await flight.value
    }

    func justInTime(_ name: String) -> AdapterSource? {
        guard configuration.justInTime.contains(where: { name.hasPrefix($0) }),
            let source = try? AdapterSource(name)
        else { return nil }
        // A path that a request names is never read.
        if case .path = source { return nil }
        return source
    }

    /// Reads a name's source for the first time.
    private func identify(_ name: String) async throws -> AdapterDigest {
        defer { state.withLock { $0.imports[name] = nil } }
        guard let alias = state.withLock({ $0.aliases[name] }) else {
            throw LibraryError(.notFound, "The adapter \"\(name)\" was removed meanwhile.")
        }
        do {
            let imported = try await bring(alias)
            try point(alias, at: imported)
            return imported.adapter.digest
        } catch let error as ModelFileError {
            note(fault: "\(error)", of: alias)
            throw error
        }
    }

    /// A broken file stays broken until its source changes; the next request need not read it again.
    func note(fault: String, of alias: AliasRecord) {
        let changed = state.withLock { state -> AliasRecord? in
            guard state.aliases[alias.name] == alias else { return nil }
            state.aliases[alias.name]?.fault = fault
            return state.aliases[alias.name]
        }
        if let changed { try? catalog?.put(changed) }
        events.send(.refused(alias.name, reason: fault))
    }

    /// Makes a name stand for what its source holds, unless the name has changed meanwhile.
    private func point(_ alias: AliasRecord, at imported: Imported) throws {
        var next = alias
        next.digest = imported.adapter.digest.description
        next.revision = imported.revision
        next.fault = nil
        next.updated = Date().timeIntervalSince1970
        let record = record(of: imported.adapter)
        try catalog?.put(next, record)
        state.withLock { state in
            state.adapters[imported.adapter.digest] =
                state.adapters[imported.adapter.digest] ?? record
            if state.aliases[alias.name] == alias { state.aliases[alias.name] = next }
        }
        keep(imported.adapter)
    }

    func record(of adapter: DeviceAdapter) -> AdapterRecord {
        AdapterRecord(
            digest: adapter.digest.description, rank: adapter.rank,
            modules: adapter.targets.count, bytes: adapter.byteCount,
            packBytes: AdapterPack.byteCount(of: adapter, base: base), base: adapter.baseModelName)
    }

    /// Keeps in RAM what was read anyway, if there is room.
    private func keep(_ adapter: DeviceAdapter) {
        state.withLock { state in
            let decision = state.host.request(
                adapter.digest, byteCount: adapter.byteCount, cost: 0.01)
            switch decision {
            case .load(let victims):
                for victim in victims { state.loaded[victim] = nil }
                state.host.loaded(adapter.digest)
                state.host.pin(adapter.digest, state.isPinned(adapter.digest))
                state.loaded[adapter.digest] = adapter
                state.host.release(adapter.digest)
            case .resident, .join: state.host.release(adapter.digest)
            case .wait, .tooLarge: break
            }
        }
        publish()
    }

    /// Brings a source's files, packs them, and keeps the pack.
    ///
    /// The files are read from a copy of our own: what is hashed, checked and packed is the same, even
    /// while somebody writes to the source.
    func bring(_ alias: AliasRecord) async throws -> Imported {
        let start = ContinuousClock.now
        let pinned = try await sources.pin(try AdapterSource(alias.source))
        let folder = try disk.withLock { disk throws(LibraryError) in
            try disk?.makeStagingFolder()
        }
        let place = folder ?? NSTemporaryDirectory() + "martlet-" + UUID().uuidString
        if folder == nil {
            try FileManager.default.createDirectory(
                atPath: place, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
        }
        defer { try? FileManager.default.removeItem(atPath: place) }
        if pinned.localPath == nil {
            let (events, name) = (events, alias.name)
            try await sources.fetch(pinned, into: place) { progress in
                events.send(.fetching(name, done: progress.done, total: progress.total))
            }
            metrics.record(.fetch, seconds: (ContinuousClock.now - start) / .seconds(1))
        }
        let (base, format, limits) = (base, format, limits)
        let fetched = ContinuousClock.now
        let adapter = try await performImport {
            if let path = pinned.localPath { try AdapterLibrary.copy(path, into: place, limits) }
            let gguf = place + "/" + AdapterPart.gguf.fileName
            let isGGUF = FileManager.default.fileExists(atPath: gguf)
            let file = try AdapterFile.open(
                path: isGGUF ? gguf : place, base: base.configuration, limits: limits)
            return try DeviceAdapter(file, base: base, format: format)
        }
        metrics.record(.pack, seconds: (ContinuousClock.now - fetched) / .seconds(1))
        try await store(adapter)
        return Imported(adapter: adapter, revision: pinned.revision)
    }

    /// Writes the pack; a full disk costs the pack, not the request.
    private func store(_ adapter: DeviceAdapter) async throws {
        let start = ContinuousClock.now
        let pinned = state.withLock { state in
            Set(
                state.aliases.values.filter(\.pinned).compactMap {
                    $0.digest.flatMap { AdapterDigest($0) }
                })
        }
        do {
            let victims = try await performImport {
                try self.disk.withLock { disk throws(FileError) in
                    try disk?.write(adapter, keeping: pinned)
                }
            }
            for victim in victims ?? [] {
                events.send(.evicted(victim, from: .disk))
                forget(victim)
            }
            metrics.record(.write, seconds: (ContinuousClock.now - start) / .seconds(1))
        } catch let error as FileError {
            events.send(.notStored(adapter.digest, reason: error.description))
            metrics.notStored()
        }
    }

    /// Forgets an adapter that went from the disk and that no name stands for.
    private func forget(_ digest: AdapterDigest) {
        let isNamed = state.withLock { state in
            let isNamed = state.aliases.values.contains { $0.digest == digest.description }
            if !isNamed, !state.host.holds(digest) { state.adapters[digest] = nil }
            return isNamed
        }
        if !isNamed { try? catalog?.remove(adapter: digest.description) }
    }

    /// The files of a local adapter, under the names that they have when fetched.
    private static func copy(
        _ path: String, into place: String, _ limits: AdapterLimits
    ) throws(ModelFileError) {
        let parts: [(from: String, part: AdapterPart)] =
            path.hasSuffix(".gguf")
            ? [(path, .gguf)]
            : [.configuration, .weights].map { (path + "/" + $0.fileName, $0) }
        for (from, part) in parts {
            do {
                try BinaryFile.copy(
                    from, to: place + "/" + part.fileName, byteLimit: limits.byteCount)
            } catch {
                throw ModelFileError(.unreadableFile, "\(error)")
            }
        }
    }
}

extension LibraryError.Code {
    /// The source was read before and is no adapter for this base.
    package static let faulty = Self("adapter_refused")
}
