internal import Adapters
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
        /// Names that one client's requests may give; the one that was idle longest goes for the next.
        package var namesPerClient = 1000
        /// How long such a name stays that nobody uses, in seconds.
        package var nameLifetime = 7 * 86_400.0
        /// How long a request waits for room in RAM.
        package var patience = Duration.seconds(30)
        /// Requests that may wait for adapters at the same time.
        package var maximumWaiting = 4096
        /// Names that no adapter may have: the base's.
        package var reservedNames: Set<String> = []
        /// Prefixes of sources that a request may name without their being registered.
        package var justInTime: [String] = []
        /// Whether the engine has requests, which climbs that nobody waits for leave the processors
        /// to. Must not call back.
        package var isBusy: @Sendable () -> Bool = { false }
        /// What an adapter says beside its weights, as far as it is not the base's way; an error where it is not understood.
        package var settle: @Sendable (AdapterText) throws(ModelFileError) -> AdapterText = { $0 }
        package var hooks = LibraryHooks()

        package init() {}
    }

    let configuration: Configuration
    let base: Checkpoint
    let format: WeightFormat
    let limits: AdapterLimits
    let sources: SourceClient
    let catalog: AdapterCatalog?
    /// In place of the disk tier's.
    let staging = TemporaryStaging(in: NSTemporaryDirectory())
    let state: Mutex<State>
    let disk: Mutex<PackStore?>
    let reader: PackStore.Reader?
    let metrics: LibraryMetrics
    let throttle: ClimbThrottle
    /// Since this was made.
    let uptime: @Sendable () -> Duration
    package let events = LibraryEvents()
    /// Reading packs: short, and several at a time where there are the processors for it.
    let loads = DispatchQueue(
        label: "martlet.adapters.load", qos: .userInitiated, attributes: .concurrent)
    /// Changes of names, one after another.
    let changes = DispatchQueue(label: "martlet.adapters.change", qos: .userInitiated)
    /// Sources that are being read: each has an adapter in memory that no tier counts yet.
    let gate = FairGate(places: 3)
    /// Sources that are being fetched: each has its files in staging.
    let fetches = FairGate(places: 64, perClient: 16, perHost: 4)
    /// Reading sources: long, one after another.
    let imports = DispatchQueue(label: "martlet.adapters.import", qos: .utility)

    /// Who asks, for tasks that do something for somebody: places are shared among clients. Tasks that
    /// they make inherit it.
    @TaskLocal package static var client: String = ""

    struct State {
        var names = NameTable()
        var adapters: [AdapterDigest: AdapterRecord] = [:]
        var host: HostTier
        var loaded: [AdapterDigest: DeviceAdapter] = [:]
        var flights: [AdapterDigest: Flight<Loaded>] = [:]
        var imports: [String: Flight<AdapterDigest>] = [:]
        /// To be forgotten once nobody uses them.
        var doomed: Set<AdapterDigest> = []
        /// Taken out of RAM by somebody, and not asked for since.
        var putAside: Set<AdapterDigest> = []
        var waiters: [Waiter] = []
        var isStopped = false
        /// How often room was made while nobody waited.
        var wakesForNobody: UInt64 = 0
        /// Of sources that requests named.
        var failures = RecentFailures()
        /// Since they were stored.
        var uses: [AdapterDigest: Use] = [:]
        var tallies: [AdapterDigest: AdapterTally] = [:]
        /// Whose tallies changed since somebody asked.
        var used: Set<AdapterDigest> = []
        var diskLoads = LoadTally()
        var sourceLoads = LoadTally()
        /// Bytes of the largest adapter that was ever known.
        var largestByteCount = 0
    }

    struct Use {
        var hits = 0
        var loads = 0
        var lastUse = 0.0
    }

    /// An adapter in RAM, and where it came from.
    struct Loaded {
        var adapter: DeviceAdapter
        var tier: AdapterEntry.Tier
    }

    struct Waiter {
        var id: UUID
        var continuation: CheckedContinuation<Bool, Never>
    }

    /// - Parameters:
    ///   - disk: the disk tier; nil keeps nothing across restarts.
    ///   - catalog: what was known before, in the disk tier's folder.
    ///   - contents: all of it, when it has been read already.
    /// - Throws: `CatalogError`.
    package init(
        configuration: Configuration, base: Checkpoint, format: WeightFormat,
        limits: AdapterLimits = AdapterLimits(), sources: SourceClient, disk: sending PackStore?,
        catalog: AdapterCatalog?, contents: CatalogContents? = nil
    ) throws(CatalogError) {
        self.configuration = configuration
        self.base = base
        self.format = format
        self.limits = limits
        self.sources = sources
        self.catalog = catalog
        reader = disk?.reader
        let metrics = LibraryMetrics()
        self.metrics = metrics
        let now = configuration.hooks.now
        let start = now()
        uptime = { now() - start }
        throttle = ClimbThrottle(
            isBusy: configuration.isBusy, clock: uptime,
            notePause: { metrics.record(.pause, seconds: $0 / .seconds(1)) })
        var known = contents ?? CatalogContents()
        if contents == nil, let catalog { known = try catalog.contents() }
        var state = State(host: HostTier(budget: configuration.hostBudget))
        for record in known.adapters {
            if let digest = AdapterDigest(record.digest) { state.know(digest, record) }
        }
        state.names = NameTable(known.aliases.filter(\.served))
        // A pack that the catalog does not know was written just before an earlier process died.
        for digest in disk?.digests ?? [] where state.adapters[digest] == nil {
            disk?.remove(digest)
        }
        self.state = Mutex(state)
        self.disk = Mutex(disk)
        staging.removeLeftovers()
    }

    // MARK: Names

    /// What a name stands for; nil when it is nothing's name.
    package func entry(_ name: String) -> AdapterEntry? {
        guard var entry = state.withLock({ $0.view.entry(name) }) else { return nil }
        if entry.tier == .source, let digest = entry.digest,
            disk.withLock({ $0?.holds(digest) ?? false })
        {
            entry.tier = .disk
        }
        return entry
    }

    /// All names, in order. Nobody else waits while they are gathered.
    package var entries: [AdapterEntry] {
        let view = state.withLock { $0.view }
        let packs = disk.withLock { $0?.packs ?? [:] }
        return view.names.sorted.compactMap { name in
            guard var entry = view.entry(name) else { return nil }
            if entry.tier == .source, let digest = entry.digest, packs[digest] != nil {
                entry.tier = .disk
            }
            return entry
        }
    }

    /// In order.
    package var names: [String] { state.withLock { $0.names.sorted } }

    package var count: Int { state.withLock { $0.names.count } }

    // MARK: Leases

    /// Brings what a name stands for into RAM, for a request.
    ///
    /// - Returns: a lease; the adapter stays in RAM until it is dropped.
    /// - Throws: `LibraryError`, `ModelFileError` when the source is no adapter for this base,
    ///   `SourceError` when it cannot be reached, or `CatalogError`.
    package func lease(_ name: String) async throws -> AdapterLease {
        let start = seconds
        let isNew = state.withLock { $0.names[name]?.digest == nil }
        let (digest, lease) = try await current(name, isRequest: true, isNew: isNew)
        let now = seconds
        state.withLock { state in
            if isNew {
                state.noteLoad(
                    digest, from: .source, seconds: now - start,
                    byteCount: lease.adapter.byteCount)
            }
            state.begin(digest, lease.tier, at: now)
        }
        return lease
    }

    /// The value of work that goes on when one of those who wait for it is cancelled, and is cancelled
    /// when all of them are.
    ///
    /// - Throws: what the work throws, and `CancellationError` when the task is cancelled or the work was
    ///   given up before.
    func value<Value: Sendable>(of flight: Flight<Value>) async throws -> Value {
        let work = flight.work
        guard flight.join() else {
            _ = await work.result
            throw CancellationError()
        }
        defer { flight.leave(givesUp: Task.isCancelled) }
        // What a request began hurries by itself.
        do {
            guard flight.isBackground else { return try await value(of: work) }
            return try await throttle.hurrying { try await self.value(of: work) }
        } catch let error as SourceError where error.code == .cancelled {
            throw CancellationError()
        }
    }

    private func value<Value: Sendable>(of work: Task<Value, any Error>) async throws -> Value {
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

    /// - Throws: `LibraryError` with `shutting_down` after `stop`.
    func checkOpen() throws(LibraryError) {
        guard !state.withLock({ $0.isStopped }) else {
            throw LibraryError(.stopping, "The server is shutting down.")
        }
    }

    /// Brings an adapter into RAM that is known by its content.
    ///
    /// - Parameters:
    ///   - isRequest: whether its use is to be counted, from when the caller says so.
    ///   - isNew: whether it was only read now.
    ///   - mix: how it is made, if it is no adapter that is kept on the disk.
    ///   - parts: leases of what it is made of.
    func lease(
        _ digest: AdapterDigest, name: String, isRequest: Bool = false, isNew: Bool = false,
        mix: AdapterMix? = nil, parts: [AdapterLease] = []
    ) async throws -> AdapterLease {
        func made(_ loaded: Loaded, isRequest: Bool = isRequest) -> AdapterLease {
            AdapterLease(
                adapter: loaded.adapter, name: name, tier: isNew ? .source : loaded.tier,
                isRequest: isRequest, parts: parts, library: self)
        }
        let deadline = configuration.hooks.now() + configuration.patience
        var hasWaited = false
        // There may be room for the next in line too, whatever becomes of this one.
        defer { if hasWaited { wakeNext() } }
        while true {
            switch try next(digest, name: name, mix: mix, hasWaited: hasWaited) {
            case .here(let adapter): return made(Loaded(adapter: adapter, tier: .host))
            case .flight(let flight):
                // What was freed may be enough for others too, who need not wait for this one's file.
                if hasWaited { wakeNext() }
                do {
                    return made(try await value(of: flight))
                } catch let error as CancellationError {
                    // Those whose flight it was have gone; it begins again.
                    if !Task.isCancelled {
                        try checkOpen()
                        continue
                    }
                    // The lease was counted when the flight began, and is given back when it ends.
                    Task {
                        guard let loaded = try? await flight.work.value else { return }
                        _ = made(loaded, isRequest: false)
                    }
                    throw error
                }
            case .wait(let seen):
                try await waitForRoom(until: deadline, isFirst: hasWaited, seen: seen)
                hasWaited = true
            }
        }
    }

    private enum Next {
        /// It is in RAM; a lease has been counted.
        case here(DeviceAdapter)
        case flight(Flight<Loaded>)
        /// With what `State.wakesForNobody` was then.
        case wait(UInt64)
    }

    private func next(
        _ digest: AdapterDigest, name: String, mix: AdapterMix?, hasWaited: Bool
    ) throws(LibraryError) -> Next {
        let result: Result<(Next, HostTier.Decision), LibraryError> = state.withLock { state in
            guard let bytes = mix?.byteCount ?? state.adapters[digest]?.bytes else {
                return .failure(
                    LibraryError(.notFound, "The adapter \"\(name)\" was removed meanwhile."))
            }
            // Whoever waits for room goes before those who come later and need room too.
            if !hasWaited, !state.waiters.isEmpty, !state.host.holds(digest),
                state.flights[digest] == nil
            {
                return .success((.wait(state.wakesForNobody), .wait))
            }
            let decision = state.host.request(
                digest, byteCount: bytes, cost: AdapterLibrary.cost(bytes: bytes))
            switch decision {
            case .resident:
                guard let adapter = state.loaded[digest] else {
                    preconditionFailure("The tier holds what is not there.")
                }
                state.note(digest, isLoad: false)
                return .success((.here(adapter), decision))
            case .join:
                guard let flight = state.flights[digest] else {
                    preconditionFailure("Nobody brings what others wait for.")
                }
                state.note(digest, isLoad: false)
                return .success((.flight(flight), decision))
            case .load(let victims):
                for victim in victims { state.loaded[victim] = nil }
                state.note(digest, isLoad: true)
                let flight = Flight(Task { try await self.load(digest, name: name, mix: mix) })
                state.flights[digest] = flight
                return .success((.flight(flight), decision))
            case .wait: return .success((.wait(state.wakesForNobody), decision))
            case .tooLarge:
                return .failure(AdapterLibrary.tooLarge(name, bytes))
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

    private func load(
        _ digest: AdapterDigest, name: String, mix: AdapterMix?
    ) async throws -> Loaded {
        let start = ContinuousClock.now
        do {
            let loaded: Loaded
            if let mix {
                let adapter = try await perform(on: loads) { mix.adapter(pace: $0) }
                loaded = Loaded(adapter: adapter, tier: .host)
            } else {
                loaded = try await read(digest, name: name)
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            state.withLock { state in
                state.host.loaded(digest)
                state.host.pin(digest, state.names.isPinned(digest))
                state.loaded[digest] = loaded.adapter
                state.flights[digest] = nil
                guard mix == nil else { return }
                state.noteLoad(
                    digest, from: loaded.tier, seconds: seconds,
                    byteCount: loaded.adapter.byteCount)
            }
            if mix == nil { metrics.record(.load, seconds: seconds) }
            events.send(.loaded(digest))
            publish()
            return loaded
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

    /// Gives back a lease, on another thread: the engine's must not wait for whoever holds the lock.
    func releaseSoon(_ digest: AdapterDigest, isRequest: Bool) {
        loads.async { self.release(digest, isRequest: isRequest) }
    }

    private func release(_ digest: AdapterDigest, isRequest: Bool) {
        let now = seconds
        let (adapter, waiter) = state.withLock { state in
            state.host.release(digest)
            if isRequest { state.end(digest, at: now) }
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

    // MARK: Work on threads

    /// Does blocking work on a queue's thread, and charges what it computes.
    ///
    /// - Parameter body: calls what it is given between pieces of long work.
    func perform<Value: Sendable>(
        on queue: DispatchQueue,
        _ body: @escaping @Sendable (_ pace: () -> Void) throws -> Value
    ) async throws -> Value {
        let throttle = throttle
        let isBackground = ClimbThrottle.isBackground
        return try await withCheckedThrowingContinuation { continuation in
            queue.async {
                var meter = ClimbMeter(throttle, isBackground: isBackground)
                let result: Result<Value, any Error> = Result { try body { meter.pace() } }
                meter.stop()
                continuation.resume(with: result)
            }
        }
    }

    func performImport<Value: Sendable>(
        _ body: @escaping @Sendable (_ pace: () -> Void) throws -> Value
    ) async throws -> Value { try await perform(on: imports, body) }

    /// Tells the gauges where things are.
    func publish() {
        let (bytes, count, names, thrashing) = state.withLock { state in
            (state.host.byteCount, state.host.count, state.names.count, state.host.thrashing)
        }
        let (diskBytes, diskCount) = disk.withLock { ($0?.byteCount ?? 0, $0?.count ?? 0) }
        metrics.record(
            hostBytes: bytes, hostCount: count, diskBytes: diskBytes, diskCount: diskCount,
            names: names, thrashing: thrashing)
    }
}

extension AdapterLibrary.State {
    mutating func note(_ digest: AdapterDigest, isLoad: Bool) {
        var use = uses[digest] ?? AdapterLibrary.Use()
        use.hits += 1
        putAside.remove(digest)
        use.loads += isLoad ? 1 : 0
        use.lastUse = Date().timeIntervalSince1970
        uses[digest] = use
    }

    /// Notes what an adapter is that a name stands for.
    mutating func know(_ digest: AdapterDigest, _ record: AdapterRecord) {
        adapters[digest] = adapters[digest] ?? record
        largestByteCount = max(largestByteCount, record.bytes)
        doomed.remove(digest)
    }

    /// What there is to tell about names, as it is now; a copy costs nothing.
    var view: LibraryView {
        LibraryView(
            names: names, adapters: adapters, host: host, uses: uses, putAside: putAside)
    }
}
