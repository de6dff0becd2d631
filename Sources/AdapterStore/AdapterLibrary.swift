package import Adapters
package import AdapterSources
package import Catalog
internal import Foundation
package import ModelFiles
internal import Synchronization
package import Tensors

/// Every adapter that requests may name, and the way up to memory: from its source to a pack on the
/// disk, from the pack to RAM.
///
/// A name is an alias of content: it stands for a digest, or, before it was first asked for, for a
/// source alone. `lease` brings what a name stands for into RAM and keeps it there while the lease
/// lives. What decides is in `HostTier` and `PackStore`; this is the shell that reads and waits.
///
/// Safe to call from any task.
package final class AdapterLibrary: Sendable {
    /// How much may be kept where, and how long a request may wait.
    package struct Configuration: Sendable {
        /// Bytes of adapters in RAM.
        package var hostBudget = 8 << 30
        package var adapterLimit = 100_000
        /// How long a request waits for room in RAM.
        package var patience = Duration.seconds(30)
        /// Requests that may wait for adapters at the same time.
        package var maximumWaiting = 4096
        /// Names that no adapter may have: the base's.
        package var reservedNames: Set<String> = []
        /// Prefixes of sources that a request may name without their being registered.
        package var justInTime: [String] = []
        package var hooks = LibraryHooks()

        package init() {}
    }

    let configuration: Configuration
    let base: Checkpoint
    let format: WeightFormat
    let limits: AdapterLimits
    let sources: SourceClient
    let catalog: AdapterCatalog?
    let state: Mutex<State>
    let disk: Mutex<PackStore?>
    private let reader: (@Sendable (AdapterDigest) throws(PackError) -> DeviceAdapter)?
    let metrics = LibraryMetrics()
    package let events = LibraryEvents()
    /// Reading packs: short, and several at a time where there are the processors for it.
    private let loads = DispatchQueue(
        label: "martlet.adapters.load", qos: .userInitiated, attributes: .concurrent)
    /// Sources that are being read: each has an adapter in memory that no tier counts yet.
    let gate = Gate(places: 3)
    /// Reading sources: long, one after another.
    private let imports = DispatchQueue(label: "martlet.adapters.import", qos: .utility)

    struct State {
        var aliases: [String: AliasRecord] = [:]
        var adapters: [AdapterDigest: AdapterRecord] = [:]
        var host: HostTier
        var loaded: [AdapterDigest: DeviceAdapter] = [:]
        var flights: [AdapterDigest: Task<DeviceAdapter, any Error>] = [:]
        var imports: [String: Task<AdapterDigest, any Error>] = [:]
        /// To be forgotten once nobody uses them.
        var doomed: Set<AdapterDigest> = []
        var waiters: [Waiter] = []
        var uses: [AdapterDigest: AdapterUse] = [:]
    }

    struct Waiter {
        var id: UUID
        var continuation: CheckedContinuation<Bool, Never>
    }

    /// - Parameters:
    ///   - disk: the disk tier; nil keeps nothing across restarts.
    ///   - catalog: what was known before, in the disk tier's folder.
    /// - Throws: `CatalogError`.
    package init(
        configuration: Configuration, base: Checkpoint, format: WeightFormat,
        limits: AdapterLimits = AdapterLimits(), sources: SourceClient, disk: sending PackStore?,
        catalog: AdapterCatalog?
    ) throws(CatalogError) {
        self.configuration = configuration
        self.base = base
        self.format = format
        self.limits = limits
        self.sources = sources
        self.catalog = catalog
        reader = disk?.reader
        var state = State(host: HostTier(budget: configuration.hostBudget))
        for record in try catalog?.adapters() ?? [] {
            if let digest = AdapterDigest(record.digest) { state.adapters[digest] = record }
        }
        for record in try catalog?.aliases() ?? [] where record.served {
            state.aliases[record.name] = record
        }
        // A pack that the catalog does not know was written just before an earlier process died.
        for digest in disk?.digests ?? [] where state.adapters[digest] == nil {
            disk?.remove(digest)
        }
        self.state = Mutex(state)
        self.disk = Mutex(disk)
    }

    // MARK: Names

    /// What a name stands for; nil when it is nothing's name.
    package func entry(_ name: String) -> AdapterEntry? {
        state.withLock { state in state.aliases[name].map { AdapterLibrary.entry($0, state) } }
            .map(withTier)
    }

    /// All names, in order.
    package var entries: [AdapterEntry] {
        let entries = state.withLock { state in
            state.aliases.values.map { AdapterLibrary.entry($0, state) }
        }
        return entries.map(withTier).sorted { $0.name < $1.name }
    }

    package var names: [String] { state.withLock { $0.aliases.keys.sorted() } }

    package var count: Int { state.withLock { $0.aliases.count } }

    private static func entry(_ alias: AliasRecord, _ state: State) -> AdapterEntry {
        let digest = alias.content
        var entry = AdapterEntry(alias: alias, digest: digest)
        entry.record = digest.flatMap { state.adapters[$0] }
        if let digest, let use = state.uses[digest] { entry.record?.add(use) }
        if let digest {
            if state.host.holds(digest) { entry.tier = .host }
            entry.leaseCount = state.host.leaseCount(of: digest)
        }
        return entry
    }

    private func withTier(_ entry: AdapterEntry) -> AdapterEntry {
        guard entry.tier == .source, let digest = entry.digest,
            disk.withLock({ $0?.holds(digest) ?? false })
        else { return entry }
        var entry = entry
        entry.tier = .disk
        return entry
    }

    // MARK: Leases

    /// Brings what a name stands for into RAM.
    ///
    /// - Returns: a lease; the adapter stays in RAM until it is dropped.
    /// - Throws: `LibraryError`, `ModelFileError` when the source is no adapter for this base,
    ///   `SourceError` when it cannot be reached, or `CatalogError`.
    package func lease(_ name: String) async throws -> AdapterLease {
        try await lease(try await digest(of: name), name: name)
    }

    /// The value of work that goes on when whoever waits for it is cancelled.
    func value<Value: Sendable>(of work: Task<Value, any Error>) async throws -> Value {
        let once = Once<Value>()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                once.wait(continuation)
                Task { once.resume(with: await work.result) }
            }
        } onCancel: {
            once.resume(with: .failure(CancellationError()))
        }
    }

    /// Brings an adapter into RAM that is known by its content.
    func lease(_ digest: AdapterDigest, name: String) async throws -> AdapterLease {
        let deadline = configuration.hooks.now() + configuration.patience
        var hasWaited = false
        // There may be room for the next in line too, whatever becomes of this one.
        defer { if hasWaited { wakeNext() } }
        while true {
            switch try next(digest, name: name, hasWaited: hasWaited) {
            case .lease(let lease): return lease
            case .flight(let flight):
                // What was freed may be enough for others too, who need not wait for this one's file.
                if hasWaited { wakeNext() }
                do {
                    let adapter = try await value(of: flight)
                    return AdapterLease(adapter: adapter, name: name, library: self)
                } catch let error as CancellationError {
                    // The lease was counted when the flight began, and is given back when it ends.
                    Task {
                        guard let adapter = try? await flight.value else { return }
                        _ = AdapterLease(adapter: adapter, name: name, library: self)
                    }
                    throw error
                }
            case .wait:
                try await waitForRoom(until: deadline, isFirst: hasWaited)
                hasWaited = true
            }
        }
    }

    private enum Next {
        case lease(AdapterLease)
        case flight(Task<DeviceAdapter, any Error>)
        case wait
    }

    private func next(
        _ digest: AdapterDigest, name: String, hasWaited: Bool
    ) throws(LibraryError) -> Next {
        let result: Result<(Next, HostTier.Decision), LibraryError> = state.withLock { state in
            guard let bytes = state.adapters[digest]?.bytes else {
                return .failure(
                    LibraryError(.notFound, "The adapter \"\(name)\" was removed meanwhile."))
            }
            // Whoever waits for room goes before those who come later and need room too.
            if !hasWaited, !state.waiters.isEmpty, !state.host.holds(digest),
                state.flights[digest] == nil
            {
                return .success((.wait, .wait))
            }
            let decision = state.host.request(
                digest, byteCount: bytes, cost: AdapterLibrary.cost(bytes: bytes))
            switch decision {
            case .resident:
                guard let adapter = state.loaded[digest] else {
                    preconditionFailure("The tier holds what is not there.")
                }
                state.note(digest, isLoad: false)
                return .success(
                    (.lease(AdapterLease(adapter: adapter, name: name, library: self)), decision))
            case .join:
                guard let flight = state.flights[digest] else {
                    preconditionFailure("Nobody brings what others wait for.")
                }
                state.note(digest, isLoad: false)
                return .success((.flight(flight), decision))
            case .load(let victims):
                for victim in victims { state.loaded[victim] = nil }
                state.note(digest, isLoad: true)
                let flight = Task { try await self.load(digest, name: name) }
                state.flights[digest] = flight
                return .success((.flight(flight), decision))
            case .wait: return .success((.wait, decision))
            case .tooLarge:
                return .failure(
                    LibraryError(
                        .tooLarge,
                        "The adapter \"\(name)\" takes \(bytes) bytes, more than --host-memory allows for all of them."
                    ))
            }
        }
        let (next, decision) = try result.get()
        metrics.count(decision)
        if case .load(let victims) = decision {
            for victim in victims { events.send(.evicted(victim, from: .host)) }
        }
        return next
    }

    /// Seconds that bringing back takes, about: one read.
    private static func cost(bytes: Int) -> Double { 0.002 + Double(bytes) / 1e9 }

    private func load(_ digest: AdapterDigest, name: String) async throws -> DeviceAdapter {
        let start = ContinuousClock.now
        do {
            let adapter = try await read(digest, name: name)
            state.withLock { state in
                state.host.loaded(digest)
                state.host.pin(digest, state.isPinned(digest))
                state.loaded[digest] = adapter
                state.flights[digest] = nil
            }
            metrics.record(.load, seconds: (ContinuousClock.now - start) / .seconds(1))
            events.send(.loaded(digest))
            publish()
            return adapter
        } catch {
            let waiter = state.withLock { state in
                state.host.failed(digest)
                state.flights[digest] = nil
                state.doomed.remove(digest)
                return state.takeWaiter()
            }
            waiter?.continuation.resume(returning: true)
            throw error
        }
    }

    /// From the disk, or else from the source again.
    private func read(_ digest: AdapterDigest, name: String) async throws -> DeviceAdapter {
        let isOnDisk = disk.withLock { disk in
            disk?.use(digest)
            return disk?.holds(digest) ?? false
        }
        if isOnDisk, let reader {
            do {
                return try await perform(on: loads) { try reader(digest) }
            } catch let error as PackError {
                switch error.kind {
                case .damaged:
                    disk.withLock { $0?.quarantine(digest) }
                    events.send(.quarantined(digest, reason: error.description))
                    metrics.quarantined()
                case .missing: disk.withLock { $0?.remove(digest) }
                case .unreadable: throw LibraryError(.diskFailed, error.description)
                }
            }
        }
        let candidates = state.withLock { state in
            state.aliases.values.filter { $0.digest == digest.description }
        }
        guard let alias = candidates.first(where: { $0.name == name }) ?? candidates.first else {
            throw LibraryError(
                .notFound,
                "The adapter \(digest.short) is not on the disk, and no name has its source.")
        }
        let imported = try await bring(alias)
        guard imported.adapter.digest == digest else {
            discard(imported.adapter.digest)
            throw LibraryError(
                .conflict,
                "The source of \"\(alias.name)\" has changed since it was registered: replace it, or restore its files."
            )
        }
        return imported.adapter
    }

    /// Gives back a lease, on another thread: the engine's must not wait for whoever holds the lock.
    func releaseSoon(_ digest: AdapterDigest) { loads.async { self.release(digest) } }

    private func release(_ digest: AdapterDigest) {
        let (adapter, waiter) = state.withLock { state in
            state.host.release(digest)
            var adapter: DeviceAdapter?
            if state.doomed.contains(digest), state.host.demote(digest) {
                state.doomed.remove(digest)
                adapter = state.loaded.removeValue(forKey: digest)
            }
            return (adapter, state.takeWaiter())
        }
        // Its memory is freed outside the lock.
        _ = consume adapter
        waiter?.continuation.resume(returning: true)
    }

    // MARK: Waiting for room

    func wakeNext() {
        state.withLock { $0.takeWaiter() }?.continuation.resume(returning: true)
    }

    /// - Parameter isFirst: whoever was woken for nothing does not lose its place.
    private func waitForRoom(
        until deadline: ContinuousClock.Instant, isFirst: Bool
    ) async throws {
        let id = UUID()
        defer { metrics.waiting(state.withLock { $0.waiters.count }) }
        let hasRoom = await withTaskGroup(of: Bool?.self) { group in
            group.addTask {
                try? await self.configuration.hooks.sleep(deadline)
                self.stopWaiting(id)
                return nil
            }
            group.addTask { await self.nextRoom(id, isFirst: isFirst) }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? false
        }
        guard hasRoom else {
            // It may have been woken just when it gave up.
            wakeNext()
            try Task.checkCancellation()
            throw LibraryError(
                .noRoom,
                "The memory for adapters is full of adapters in use; try again, or give --host-memory more."
            )
        }
    }

    private func nextRoom(_ id: UUID, isFirst: Bool) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isTooMany = state.withLock { state in
                    guard state.waiters.count < configuration.maximumWaiting, !Task.isCancelled
                    else { return true }
                    let waiter = Waiter(id: id, continuation: continuation)
                    state.waiters.insert(waiter, at: isFirst ? 0 : state.waiters.count)
                    metrics.waiting(state.waiters.count)
                    return false
                }
                if isTooMany { continuation.resume(returning: false) }
            }
        } onCancel: {
            stopWaiting(id)
        }
    }

    private func stopWaiting(_ id: UUID) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: index)
        }
        waiter?.continuation.resume(returning: false)
    }

    // MARK: Work on threads

    /// Does blocking work on a queue's thread.
    func perform<Value: Sendable>(
        on queue: DispatchQueue, _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try body() }) }
        }
    }

    func performImport<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value { try await perform(on: imports, body) }

    /// Tells the gauges where things are.
    func publish() {
        let (bytes, count, names, thrashing) = state.withLock { state in
            (state.host.byteCount, state.host.count, state.aliases.count, state.host.thrashing)
        }
        let (diskBytes, diskCount) = disk.withLock { ($0?.byteCount ?? 0, $0?.count ?? 0) }
        metrics.record(
            hostBytes: bytes, hostCount: count, diskBytes: diskBytes, diskCount: diskCount,
            names: names, thrashing: thrashing)
    }
}

extension AdapterLibrary.State {
    mutating func takeWaiter() -> AdapterLibrary.Waiter? {
        waiters.isEmpty ? nil : waiters.removeFirst()
    }

    mutating func note(_ digest: AdapterDigest, isLoad: Bool) {
        var use =
            uses[digest]
            ?? AdapterUse(digest: digest.description, hits: 0, loads: 0, lastUse: 0)
        use.hits += 1
        use.loads += isLoad ? 1 : 0
        use.lastUse = Date().timeIntervalSince1970
        uses[digest] = use
    }
}

/// Keeps an adapter in RAM while it lives.
package final class AdapterLease: Sendable {
    package let adapter: DeviceAdapter
    /// What the request called it.
    package let name: String
    private let library: AdapterLibrary

    /// Takes over a lease that the host tier has counted.
    init(adapter: DeviceAdapter, name: String, library: AdapterLibrary) {
        self.adapter = adapter
        self.name = name
        self.library = library
    }

    deinit { library.releaseSoon(adapter.digest) }
}

/// A name and what is known of what it stands for.
package struct AdapterEntry: Sendable {
    package enum Tier: String, Sendable {
        case source, disk, host
    }

    package var alias: AliasRecord
    package var digest: AdapterDigest?
    package var record: AdapterRecord?
    package var tier = Tier.source
    package var leaseCount = 0

    package var name: String { alias.name }

    init(alias: AliasRecord, digest: AdapterDigest?) {
        self.alias = alias
        self.digest = digest
    }
}

extension AdapterRecord {
    mutating func add(_ use: AdapterUse) {
        hits += use.hits
        loads += use.loads
        lastUse = max(lastUse, use.lastUse)
    }
}
