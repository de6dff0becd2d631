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
        let known = state.withLock { $0.names[name] }
        guard let known else {
            guard let source = justInTime(name) else {
                throw AdapterLibrary.unknown(name)
            }
            let now = uptime()
            if let error = state.withLock({ $0.failures.error(of: name, at: now) }) { throw error }
            return try await importing(name) { library in
                do {
                    try await library.put(
                        name: name, source: source, replaces: false, client: AdapterLibrary.client)
                } catch let error as LibraryError where error.code == .taken {
                    // Somebody has named it meanwhile; what they say holds.
                } catch {
                    library.note(failure: error, of: name)
                    throw error
                }
            }
        }
        if let digest = known.digest { return digest }
        if let fault = known.alias.fault { throw LibraryError(.faulty, fault) }
        return try await importing(name) { try await $0.identify(name) }
    }

    /// Remembers for a while what would fail the same way again. What may pass, as a server that does
    /// not answer, is tried again for each request.
    private func note(failure error: any Error, of name: String) {
        let isLasting =
            switch error {
            case is ModelFileError: true
            case let error as SourceError:
                [.notFound, .pickleRefused, .tooLarge].contains(error.code)
            default: false
            }
        guard isLasting else { return }
        let now = uptime()
        state.withLock { $0.failures.note(error, of: name, at: now) }
    }

    /// One import of a name at a time, which all wait for who ask for it.
    private func importing(
        _ name: String, _ work: @escaping @Sendable (AdapterLibrary) async throws -> Void
    ) async throws -> AdapterDigest {
        while true {
            do {
                return try await value(of: importFlight(name, work))
            } catch let error as CancellationError {
                // Those who asked before have gone; it begins again.
                if Task.isCancelled { throw error }
                try checkOpen()
            }
        }
    }

    private func importFlight(
        _ name: String, _ work: @escaping @Sendable (AdapterLibrary) async throws -> Void
    ) -> Flight<AdapterDigest> {
        state.withLock { state in
            if let flight = state.imports[name] { return flight }
            let task = Task {
                defer { self.state.withLock { $0.imports[name] = nil } }
                try await work(self)
                guard let digest = self.entry(name)?.digest else {
                    throw LibraryError(
                        .notFound, "The adapter \"\(name)\" was removed meanwhile.")
                }
                return digest
            }
            let flight = Flight(task)
            state.imports[name] = flight
            return flight
        }
    }

    /// Ends what is still being read, when the server ends: who waits for it is told.
    package func stop() {
        let (imports, flights, waiters) = state.withLock { state in
            state.isStopped = true
            defer { state.waiters = [] }
            return (
                state.imports.values.map(\.work), state.flights.values.map(\.work), state.waiters
            )
        }
        for waiter in waiters { waiter.continuation.resume(returning: false) }
        throttle.end()
        gate.close()
        fetches.close()
        for work in imports { work.cancel() }
        for work in flights { work.cancel() }
        staging.close()
    }

    /// Whether a name is a source that requests may name.
    package func isJustInTime(_ name: String) -> Bool { justInTime(name) != nil }

    func justInTime(_ name: String) -> AdapterSource? {
        guard configuration.justInTime.contains(where: { name.hasPrefix($0) }),
            let source = try? AdapterSource(name)
        else { return nil }
        switch source {
        // A path that a request names is never read, and a request says mixes in another way.
        case .path, .mix: return nil
        default: return source
        }
    }

    /// Reads a name's source for the first time.
    private func identify(_ name: String) async throws {
        guard let alias = state.withLock({ $0.names[name]?.alias }) else {
            throw LibraryError(.notFound, "The adapter \"\(name)\" was removed meanwhile.")
        }
        do {
            try await point(alias, at: try await bring(alias))
        } catch let error as ModelFileError {
            await note(fault: "\(error)", of: alias)
            throw error
        }
    }

    /// A broken file stays broken until its source changes; the next request need not read it again.
    func note(fault: String, of alias: AliasRecord) async {
        try? await change {
            guard var next = self.state.withLock({ $0.names[alias.name]?.alias }),
                next.standsFor(alias)
            else { return }
            next.fault = fault
            // Should the catalog fail, the file is read once more after the next start.
            try? self.catalog?.put(next)
            self.show(next)
        }
        events.send(.refused(alias.name, reason: fault))
    }

    /// Makes a name stand for what its source holds, unless the name has changed meanwhile.
    func point(_ alias: AliasRecord, at imported: Imported) async throws {
        let record = record(of: imported.adapter)
        do {
            let isWanted = try await change {
                guard var next = self.state.withLock({ $0.names[alias.name]?.alias }),
                    next.standsFor(alias)
                else { return false }
                next.digest = record.digest
                next.revision = imported.revision
                next.fault = nil
                next.updated = Date().timeIntervalSince1970
                try self.store(next, record, isOperators: false)
                return true
            }
            if isWanted { return keep(imported.adapter) }
        } catch {
            await discard(imported.adapter.digest)
            throw error
        }
        await discard(imported.adapter.digest)
    }

    /// Throws away the pack of an adapter that was read and that came to stand for nothing.
    func discard(_ digest: AdapterDigest) async {
        try? await change {
            guard self.state.withLock({ $0.adapters[digest] == nil }) else { return }
            self.disk.withLock { $0?.remove(digest) }
        }
    }

    func record(of adapter: DeviceAdapter) -> AdapterRecord {
        AdapterRecord(
            digest: adapter.digest.description, rank: adapter.rank,
            modules: adapter.targets.count, bytes: adapter.byteCount,
            packBytes: AdapterPack.byteCount(of: adapter, base: base), base: adapter.baseModelName,
            text: adapter.text?.summary)
    }

    /// Keeps in RAM what was read anyway, if there is room that nobody waits for.
    private func keep(_ adapter: DeviceAdapter) {
        let gone = state.withLock { state -> [AdapterDigest] in
            guard state.waiters.isEmpty else { return [] }
            let decision = state.host.request(
                adapter.digest, byteCount: adapter.byteCount, cost: 0.01)
            switch decision {
            case .load(let victims):
                for victim in victims { state.loaded[victim] = nil }
                state.host.loaded(adapter.digest)
                state.host.pin(adapter.digest, state.names.isPinned(adapter.digest))
                state.loaded[adapter.digest] = adapter
                state.host.release(adapter.digest)
                return victims
            case .resident, .join: state.host.release(adapter.digest)
            case .wait, .tooLarge: break
            }
            return []
        }
        metrics.evicted(gone.count)
        for digest in gone { events.send(.evicted(digest, from: .host)) }
        publish()
    }

    /// Brings a source's files, packs them, and keeps the pack.
    ///
    /// The files are read from a copy of our own: what is hashed, checked and packed is the same, even
    /// while somebody writes to the source.
    ///
    /// Servers that are slow to answer keep only those waiting who want something of theirs.
    func bring(_ alias: AliasRecord) async throws -> Imported {
        let source = try AdapterSource(alias.source)
        if case .mix(let recipe) = source { return try await bring(recipe, name: alias.name) }
        if let host = source.host {
            // Nobody hurries while a server is waited for.
            return try await fetches.withPlace(client: AdapterLibrary.client, host: host) {
                try await self.bringNow(source, alias)
            }
        }
        return try await bringNow(source, alias)
    }

    private func bringNow(_ source: AdapterSource, _ alias: AliasRecord) async throws -> Imported {
        let start = ContinuousClock.now
        let pinned = try await sources.pin(source)
        let place = try makeStagingFolder()
        defer { try? FileManager.default.removeItem(atPath: place) }
        if pinned.localPath == nil {
            let (events, name) = (events, alias.name)
            try await sources.fetch(pinned, into: place) { progress in
                events.send(.fetching(name, done: progress.done, total: progress.total))
            }
            metrics.record(.fetch, seconds: (ContinuousClock.now - start) / .seconds(1))
        }
        let adapter = try await throttle.hurrying {
            try await self.gate.withPlace(client: AdapterLibrary.client) {
                try await self.pack(pinned, in: place, name: alias.name)
            }
        }
        return Imported(adapter: adapter, revision: pinned.revision)
    }

    /// Packs what has come to a place, or is still to be copied there, and keeps the pack.
    private func pack(
        _ pinned: PinnedSource, in place: String, name: String
    ) async throws -> DeviceAdapter {
        let start = ContinuousClock.now
        let (base, format, limits, settle) = (base, format, limits, configuration.settle)
        let room = configuration.hostBudget
        var reading = FileReading.mapped
        if let path = pinned.localPath {
            reading = try await performImport { _ in
                do {
                    try AdapterLibrary.copy(path, into: place, limits)
                    return .mapped
                } catch let error as SourceError where error.code == .unwritableFile {
                    // A full disk has no room for a copy of our own; memory has.
                    return .copied
                }
            }
            // A file may have been written, or the folder replaced, between the two copies.
            guard try await sources.pin(pinned.source).revision == pinned.revision else {
                throw SourceError(
                    .changedMeanwhile,
                    "\(pinned.source) was written to while it was read; try again")
            }
        }
        let adapter = try await performImport { [reading] pace in
            let gguf = place + "/" + AdapterPart.gguf.fileName
            var path = FileManager.default.fileExists(atPath: gguf) ? gguf : place
            if reading == .copied { path = pinned.localPath ?? path }
            do {
                let file = try AdapterFile.open(
                    path: path, base: base, limits: limits, reading: reading
                ).settled(settle)
                let byteCount = DeviceAdapter.byteCount(of: file, base: base, format: format)
                guard byteCount <= room else { throw AdapterLibrary.tooLarge(name, byteCount) }
                return try DeviceAdapter(file, base: base, format: format, pace: pace)
            } catch let error as ModelFileError {
                throw AdapterLibrary.refusal(error, of: name, at: path)
            }
        }
        metrics.record(.pack, seconds: (ContinuousClock.now - start) / .seconds(1))
        try await storePack(of: adapter)
        return adapter
    }

    /// What is wrong with an adapter, by its name: where its files lie is of no use to whoever asks.
    ///
    /// - Parameter path: of the files that were read.
    static func refusal(_ error: ModelFileError, of name: String, at path: String) -> ModelFileError
    {
        var message = error.message
        for (text, plain) in [("\(path)/", ""), ("\(path): ", ""), (path, "it")] {
            message = message.replacingOccurrences(of: text, with: plain)
        }
        return ModelFileError(error.code, "The adapter \"\(name)\" cannot be served: \(message)")
    }

    private func makeStagingFolder() throws(LibraryError) -> String {
        let folder = try disk.withLock { disk throws(LibraryError) in
            try disk?.makeStagingFolder()
        }
        if let folder { return folder }
        return try staging.makeFolder()
    }

    /// Writes the pack; a full disk costs the pack, not the request.
    func storePack(of adapter: DeviceAdapter) async throws {
        let start = ContinuousClock.now
        let room = try await change { self.makeRoom(for: adapter) }
        guard let room else {
            if disk.withLock({ $0.map { !$0.expects(adapter.digest) } ?? false }) {
                events.send(
                    .notStored(adapter.digest, reason: "the quota is full of packs that stay"))
                metrics.notStored()
            }
            return
        }
        for victim in room.gone { events.send(.evicted(victim, from: .disk)) }
        do {
            let write = room.write
            try await performImport { _ in try write() }
            disk.withLock { $0?.add(adapter) }
            metrics.record(.write, seconds: (ContinuousClock.now - start) / .seconds(1))
        } catch let error as FileError {
            disk.withLock { $0?.giveUp(adapter.digest) }
            events.send(.notStored(adapter.digest, reason: error.description))
            metrics.notStored()
        }
    }

    /// Makes room on the disk. In a change only: nobody comes to stand for what goes.
    private func makeRoom(for adapter: DeviceAdapter) -> PackStore.Room? {
        let (kept, named) = state.withLock { ($0.names.kept, $0.names.named) }
        let room = disk.withLock { $0?.makeRoom(for: adapter, keeping: kept, named: named) }
        for victim in room?.gone ?? [] { forget(victim) }
        return room
    }

    /// Forgets an adapter that went from the disk and that no name stands for. In a change only.
    private func forget(_ digest: AdapterDigest) {
        let isNamed = state.withLock { state in
            let isNamed = state.names.isNamed(digest)
            if !isNamed, !state.host.holds(digest) { state.adapters[digest] = nil }
            return isNamed
        }
        if !isNamed { try? catalog?.remove(adapter: digest.description) }
    }

    /// The files of a local adapter, under the names that they have when fetched.
    private static func copy(
        _ path: String, into place: String, _ limits: AdapterLimits
    ) throws {
        var parts: [(from: String, part: AdapterPart)] = [(path, .gguf)]
        if let names = try? FileManager.default.contentsOfDirectory(atPath: path) {
            parts = try AdapterPart.choose(among: names, in: path).map {
                (path + "/" + $0.name, $0.part)
            }
        }
        for (from, part) in parts {
            let byteLimit =
                switch part {
                case .weights, .gguf, .mlx: limits.byteCount
                case .tokens: AdapterText.tokenizerByteLimit
                case .configuration, .template, .tokenizer, .generation: 4 << 20
                }
            do {
                try BinaryFile.copy(
                    from, to: place + "/" + part.fileName, byteLimit: byteLimit)
            } catch  where error.isDiskFull {
                throw SourceError(.unwritableFile, "\(error)")
            } catch  where error.isOfTheFile {
                throw ModelFileError(.unreadableFile, "\(error)")
            } catch {
                throw SourceError(.unreadableFile, "\(error)")
            }
        }
    }
}

extension LibraryError.Code {
    /// The source was read before and is no adapter for this base.
    package static let faulty = Self("adapter_refused")
}
