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
                    group.addTask { await logChanges() }
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

    /// A line for each change, whoever made it.
    private func logChanges() async {
        let (events, stop) = library.events.listen(.unbounded)
        defer { stop() }
        for await event in events {
            switch event {
            case .registered(let name): log(.info, "adapter registered", adapter: name)
            case .added(let name, let digest):
                log(.info, "adapter added", adapter: name, ["digest": .string(digest)])
            case .replaced(let name, let digest):
                log(.info, "adapter replaced", adapter: name, ["digest": .string(digest)])
            case .removed(let name): log(.info, "adapter removed", adapter: name)
            case .pinned(let name, let isPinned):
                log(.info, isPinned ? "adapter pinned" : "adapter unpinned", adapter: name)
            case .refused(let name, let reason):
                log(.warning, "adapter refused", adapter: name, ["reason": .string(reason)])
            case .quarantined(let digest, let reason):
                log(.warning, "damaged pack put aside", digest, ["reason": .string(reason)])
            case .notStored(let digest, let reason):
                log(.warning, "adapter not stored", digest, ["reason": .string(reason)])
            case .loaded(let digest): log(.debug, "adapter loaded", digest)
            case .evicted(let digest, let tier):
                log(.debug, "adapter evicted", digest, ["tier": .string(tier.rawValue)])
            case .fetching: break
            }
        }
    }

    private func log(
        _ level: Logger.Level, _ message: Logger.Message, adapter name: String,
        _ more: Logger.Metadata = [:]
    ) {
        let metadata: Logger.Metadata = ["adapter": .string(name)]
        logger.log(level: level, message, metadata: metadata.merging(more) { $1 })
    }

    private func log(
        _ level: Logger.Level, _ message: Logger.Message, _ digest: AdapterDigest,
        _ more: Logger.Metadata = [:]
    ) {
        let names = library.names(of: digest).joined(separator: ",")
        let metadata: Logger.Metadata = [
            "digest": .string(digest.short), "adapter": .string(names),
        ]
        logger.log(level: level, message, metadata: metadata.merging(more) { $1 })
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
                // What is refused has a line already.
                guard !(error is ModelFileError) else { continue }
                logger.warning(
                    "adapter not read ahead",
                    metadata: ["adapter": .string(entry.name), "error": .string("\(error)")])
            }
        }
    }

    /// Looks at the watched folders every two seconds.
    private func follow() async {
        var stamps: [String: [String: FileStamp?]] = [:]
        for entry in library.entries {
            guard let folder = watched.first(where: { entry.alias.isIn($0) }) else { continue }
            stamps[folder, default: [:]][entry.alias.source] = FileStamp(of: entry.alias.source)
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
        let found: AdapterFolder
        do {
            found = try AdapterFolder(folder)
            complaints[folder] = nil
        } catch {
            complain("folder not readable", folder, "\(error)", &complaints)
            return
        }
        for (path, reason) in found.others { complain("passed over", path, reason, &complaints) }
        var seen: [String: FileStamp?] = [:]
        for (name, path) in found.adapters {
            let stamp = FileStamp(of: path)
            seen.updateValue(stamp, forKey: path)
            guard stamps[path] != .some(stamp) else { continue }
            do {
                try await library.refresh(name: name, source: .path(path))
                complaints[path] = nil
            } catch is CancellationError {
                return
            } catch is ModelFileError {
                // It has a line already.
            } catch {
                seen.updateValue(nil, forKey: path)
                complain("adapter not followed", path, "\(error)", &complaints)
            }
        }
        let gone = Set(stamps.keys).subtracting(seen.keys)
        for path in gone { complaints[path] = nil }
        if !gone.isEmpty {
            for entry in library.entries where gone.contains(entry.alias.source) {
                try? await library.remove(name: entry.name)
            }
        }
        stamps = seen
    }

    /// The same is not said again.
    private func complain(
        _ what: Logger.Message, _ path: String, _ reason: String,
        _ complaints: inout [String: String]
    ) {
        guard complaints.updateValue(reason, forKey: path) != reason else { return }
        logger.warning(what, metadata: ["path": .string(path), "reason": .string(reason)])
    }
}

/// When an adapter's files were written last, and which files they are.
private struct FileStamp: Equatable {
    private let versions: [FileVersion?]

    /// - Parameter path: of a folder or a GGUF file.
    init(of path: String) {
        let files = ["adapter_config.json", "adapter_model.safetensors", "adapters.safetensors"]
        versions = ([""] + files.map { "/" + $0 }).map {
            let version = FileVersion(of: path + $0)
            // A folder's own version says nothing of its files.
            return $0.isEmpty && version?.isRegular != true ? nil : version
        }
    }
}

extension AliasRecord {
    /// Whether its source lies right in a folder.
    func isIn(_ folder: String) -> Bool {
        source.hasPrefix(folder + "/") && !source.dropFirst(folder.utf8.count + 1).contains("/")
    }
}

extension AdapterLibrary {
    /// Makes a name stand for what its source holds now: nothing happens when that is what it stood
    /// for before, by the source's revision. What has changed is read if somebody uses it, as soon as
    /// requests under way leave room for that, and when somebody asks for it otherwise.
    ///
    /// - Throws: as `put` and `register`.
    package func refresh(name: String, source: AdapterSource) async throws {
        guard let entry = entry(name) else {
            try await register(name: name, source: source)
            return try await checkNow(name)
        }
        guard entry.alias.source == source.description else { return }
        guard entry.digest != nil || entry.alias.fault != nil else { return }
        let pinned = try await sources.pin(source)
        guard pinned.revision != entry.alias.revision, !entry.alias.isPointed else { return }
        if entry.digest == nil {
            // It was refused; the next request tries again.
            try await register(name: name, source: source, replaces: true)
            try await checkNow(name)
        } else {
            try await throttle.background {
                _ = try await self.put(
                    name: name, source: source, replaces: true,
                    expected: entry.digest?.description)
            }
        }
    }

    private func checkNow(_ name: String) async throws {
        if let entry = entry(name) { try await check(entry) }
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
            if keepsOthers, !watched.contains(where: { other.isIn($0) }) {
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
            let error = AdapterLibrary.refusal(error, of: entry.name, at: path)
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
