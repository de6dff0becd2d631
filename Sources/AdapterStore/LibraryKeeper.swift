package import AdapterSources
internal import Adapters
package import Catalog
internal import Foundation
package import Logging
package import ModelFiles
internal import ServiceLifecycle
internal import Synchronization
internal import Tensors

/// What a library needs done while it serves: reads ahead into room that is free, follows watched
/// folders, writes counters, and says when memory is too small.
package struct LibraryKeeper: Service {
    private let library: AdapterLibrary
    /// Folders whose sub-folders are adapters.
    private let watched: [String]
    private let logger: Logger

    package init(library: AdapterLibrary, watched: [String], logger: Logger) {
        self.library = library
        self.watched = watched
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withTaskCancellationHandler {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await readAhead() }
                    group.addTask { await follow() }
                    group.addTask { await keep() }
                    group.addTask { await tellWhatIsNotStored() }
                }
            } onCancel: {
                // What is under way holds up the end.
                library.throttle.end()
            }
        }
        library.stop()
        do {
            try await library.storeUses()
        } catch {
            logger.error("counters were not stored", metadata: ["error": .string("\(error)")])
        }
    }

    /// A full disk costs no request, so somebody has to be told.
    private func tellWhatIsNotStored() async {
        let (events, stop) = library.events.listen()
        defer { stop() }
        for await event in events {
            guard case .notStored(let digest, let reason) = event else { continue }
            logger.warning(
                "an adapter's pack was not stored",
                metadata: ["digest": .string(digest.short), "reason": .string(reason)])
        }
    }

    /// Brings adapters into RAM before anybody asks, the most popular ones first, as long as nobody has
    /// to go for it: all of them at the start, and later, when room has become free, those that are used.
    private func readAhead() async {
        var failed: Set<String> = []
        await readAhead(usedOnly: false, &failed)
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(10))
            let tiers = library.tiers
            guard tiers.hostBudget - tiers.hostBytes >= tiers.largestAdapter else { continue }
            await readAhead(usedOnly: true, &failed)
        }
    }

    private func readAhead(usedOnly: Bool, _ failed: inout Set<String>) async {
        let now = Date().timeIntervalSince1970
        let order = library.entries.map { (entry: $0, popularity: $0.popularity(at: now)) }
            .filter { !usedOnly || $0.popularity > 0 }
            .sorted { ($0.popularity, $1.entry.name) > ($1.popularity, $0.entry.name) }
        for (entry, _) in order
        where entry.alias.fault == nil && entry.tier != .host && !entry.isPutAside
            && !failed.contains(entry.name)
        {
            guard !Task.isCancelled else { return }
            let tiers = library.tiers
            guard
                tiers.hostBytes + (entry.record?.bytes ?? tiers.largestAdapter) <= tiers.hostBudget
            else { return }
            do {
                try await library.warm(name: entry.name)
            } catch is CancellationError {
                return
            } catch {
                failed.insert(entry.name)
                logger.warning(
                    "adapter refused",
                    metadata: ["adapter": .string(entry.name), "error": .string("\(error)")])
            }
        }
    }

    /// Looks at the watched folders every two seconds.
    private func follow() async {
        var stamps: [String: [String: FileStamp?]] = [:]
        for folder in watched {
            for entry in library.entries where entry.alias.source == "\(folder)/\(entry.name)" {
                stamps[folder, default: [:]][entry.alias.source] = FileStamp(
                    folder: entry.alias.source)
            }
        }
        var complaints: [String: String] = [:]
        while !watched.isEmpty, !Task.isCancelled {
            try? await Task.sleep(for: .seconds(2))
            for folder in watched {
                if Task.isCancelled { return }
                await follow(folder, &stamps[folder, default: [:]], &complaints)
            }
        }
    }

    /// Stores counters, and watches the room.
    private func keep() async {
        var round = 0
        var wasThrashing = false
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(2))
            if Task.isCancelled { return }
            // Every hour, and at the start.
            if round % 1800 == 0 {
                do {
                    try await library.takeBackIdleNames()
                } catch {
                    logger.error("idle names stay", metadata: ["error": .string("\(error)")])
                }
            }
            round += 1
            if round % 5 == 0 {
                do {
                    try await library.storeUses()
                } catch {
                    logger.error(
                        "counters were not stored", metadata: ["error": .string("\(error)")])
                }
            }
            let tiers = library.tiers
            let isThrashing = tiers.thrashing > 0.5
            if isThrashing, !wasThrashing {
                logger.warning(
                    "adapters push each other out of memory: more are in use than --host-memory holds",
                    metadata: ["adapters": "\(tiers.hostCount)", "bytes": "\(tiers.hostBytes)"])
            }
            wasThrashing = isThrashing
        }
    }

    /// Registers what is new in a folder, reads again what has changed, forgets what is gone.
    ///
    /// - Parameter stamps: of all files, as they were when they were last read; nil for those that
    ///   could not be, for a reason that may pass.
    /// - Parameter complaints: what was last logged of each; the same is not said again.
    private func follow(
        _ folder: String, _ stamps: inout [String: FileStamp?],
        _ complaints: inout [String: String]
    ) async {
        guard let found = try? AdapterLibrary.adapters(in: folder) else { return }
        var seen: [String: FileStamp?] = [:]
        for (name, path) in found {
            let stamp = FileStamp(folder: path)
            seen.updateValue(stamp, forKey: path)
            guard stamps[path] != .some(stamp) else { continue }
            do {
                try await library.refresh(name: name, source: .path(path))
                complaints[path] = nil
                logger.info(
                    stamps[path] == nil ? "adapter added" : "adapter changed",
                    metadata: ["adapter": .string(name)])
            } catch is CancellationError {
                return
            } catch {
                if !(error is ModelFileError) { seen.updateValue(nil, forKey: path) }
                guard complaints.updateValue("\(error)", forKey: path) != "\(error)" else {
                    continue
                }
                logger.warning(
                    "adapter not followed",
                    metadata: ["adapter": .string(name), "error": .string("\(error)")])
            }
        }
        let gone = Set(stamps.keys).subtracting(seen.keys)
        for path in gone { complaints[path] = nil }
        if !gone.isEmpty {
            for entry in library.entries where gone.contains(entry.alias.source) {
                logger.info("adapter gone", metadata: ["adapter": .string(entry.name)])
                try? await library.remove(name: entry.name)
            }
        }
        stamps = seen
    }
}

/// When an adapter's files were written last, and which files they are.
private struct FileStamp: Equatable {
    private let versions: [FileVersion?]

    init(folder: String) {
        versions = ["adapter_config.json", "adapter_model.safetensors"].map {
            FileVersion(of: folder + "/" + $0)
        }
    }
}

extension AdapterLibrary {
    /// Sub-folders that hold a PEFT adapter, by name.
    ///
    /// - Throws: whatever reading the folder throws.
    package static func adapters(in folder: String) throws -> [(name: String, path: String)] {
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            .map { ($0, folder + "/" + $0) }
            .filter { FileManager.default.fileExists(atPath: $0.1 + "/adapter_config.json") }
    }

    /// Makes a name stand for what its source holds now: nothing happens when that is what it stood
    /// for before, by the source's revision. What has changed is read if somebody uses it, as soon as
    /// requests under way leave room for that, and when somebody asks for it otherwise.
    ///
    /// - Throws: as `put` and `register`.
    package func refresh(name: String, source: AdapterSource) async throws {
        guard let entry = entry(name) else {
            return try await register(name: name, source: source)
        }
        guard entry.alias.source == source.description else { return }
        guard entry.digest != nil || entry.alias.fault != nil else { return }
        let pinned = try await sources.pin(source)
        guard pinned.revision != entry.alias.revision, !entry.alias.isPointed else { return }
        if entry.digest == nil {
            // It was refused; the next request tries again.
            try await register(name: name, source: source, replaces: true)
        } else {
            try await throttle.background {
                _ = try await self.put(
                    name: name, source: source, replaces: true,
                    expected: entry.digest?.description)
            }
        }
    }

    /// Makes the library serve these names, and of others only those that an operator gave while an
    /// earlier process served. What a name stood for is remembered as long as its source, by its
    /// revision, has not changed.
    ///
    /// - Parameters:
    ///   - watched: folders of which `adapters` has all; what lay in them before is gone.
    ///   - keepsOthers: whether names from an earlier process stay.
    ///   - contents: of the catalog, when it has been read already.
    /// - Returns: why the catalog could not take it all, on a full disk; the names are served anyway.
    /// - Throws: `SourceError`, `LibraryError` or `CatalogError`.
    @discardableResult
    package func adopt(
        _ adapters: [(name: String, source: AdapterSource)], watched: [String] = [],
        keepsOthers: Bool, contents: CatalogContents? = nil
    ) async throws -> CatalogError? {
        let records = try contents?.aliases ?? catalog?.aliases() ?? []
        let known = Dictionary(records.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        var changed: [AliasRecord] = []
        var wanted: [String: AliasRecord] = [:]
        for (name, source) in adapters {
            try check(name)
            var alias = AliasRecord(
                name: name, source: source.description, created: Date().timeIntervalSince1970)
            if let before = known[name], before.source == alias.source, before.digest != nil,
                await isCurrent(before, source)
            {
                alias = before
                alias.served = true
            }
            alias.pinned = known[name]?.pinned ?? false
            wanted[name] = alias
            if known[name] != alias { changed.append(alias) }
        }
        for var other in known.values where wanted[other.name] == nil && other.served {
            if keepsOthers, !watched.contains(where: { other.source == "\($0)/\(other.name)" }) {
                wanted[other.name] = other
            } else {
                other.served = false
                changed.append(other)
            }
        }
        guard wanted.count <= configuration.adapterLimit else {
            throw LibraryError(
                .tooMany,
                "\(wanted.count) adapters are more than the limit, \(configuration.adapterLimit).")
        }
        let (stored, names) = (changed, NameTable(wanted.values))
        let failure = try await change { () -> CatalogError? in
            let failure = try self.storeIfThereIsRoom(stored)
            self.state.withLock { $0.names = names }
            return failure
        }
        publish()
        return failure
    }

    private func storeIfThereIsRoom(_ aliases: [AliasRecord]) throws -> CatalogError? {
        do {
            try catalog?.put(aliases)
            return nil
        } catch {
            guard error.isDiskFull else { throw error }
            return error
        }
    }

    private func isCurrent(_ alias: AliasRecord, _ source: AdapterSource) async -> Bool {
        if alias.isPointed { return true }
        // Sources elsewhere are not asked at every start: what is known of them is right until an
        // operator says otherwise.
        guard case .path = source else { return true }
        if source.isUnchanged(since: alias.revision) { return true }
        return (try? await sources.pin(source))?.revision == alias.revision
    }

    /// Looks at a path's files without reading their numbers, so that what cannot be served is known
    /// before anybody asks; notes what is wrong with them.
    ///
    /// - Throws: `ModelFileError`.
    package func check(_ entry: AdapterEntry) async throws(ModelFileError) {
        guard entry.digest == nil, case .path(let path) = try? AdapterSource(entry.alias.source)
        else { return }
        do {
            _ = try AdapterFile.open(path: path, base: base, limits: limits, reading: .header)
        } catch {
            await note(fault: "\(error)", of: entry.alias)
            throw error
        }
    }

    /// Whether a request may name it.
    package func serves(_ name: String) -> Bool {
        state.withLock { $0.names[name] != nil } || justInTime(name) != nil
    }

    /// How full each tier is.
    package var tiers: LibraryTiers {
        var tiers = state.withLock { state in
            LibraryTiers(
                hostCount: state.host.count, hostBytes: state.host.byteCount,
                hostBudget: state.host.budget, waitingCount: state.waiters.count,
                thrashing: state.host.thrashing,
                largestAdapter: state.largestByteCount)
        }
        disk.withLock { disk in
            tiers.diskCount = disk?.count ?? 0
            tiers.diskBytes = disk?.byteCount ?? 0
            tiers.diskQuota = disk?.quota ?? 0
        }
        return tiers
    }
}

/// How full the tiers are.
package struct LibraryTiers: Sendable, Equatable {
    package var hostCount: Int
    package var hostBytes: Int
    package var hostBudget: Int
    package var diskCount = 0
    package var diskBytes = 0
    package var diskQuota = 0
    /// Requests that wait for room in RAM.
    package var waitingCount: Int
    /// The share of recent loads that brought back what had just gone.
    package var thrashing: Double
    var largestAdapter: Int
}
