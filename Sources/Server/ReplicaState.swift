internal import AdapterStore
internal import Adapters
internal import Engine
internal import Foundation
internal import Generation
internal import Placement
internal import Synchronization

/// What this server tells routers about itself.
final class ReplicaState: Sendable {
    private let engine: InferenceEngine
    private let registry: ModelRegistry
    private let identity: ReplicaIdentity
    private let board: Mutex<Board>

    private struct Board {
        var journal = ReplicaJournal()
        /// Adapters that were on the device when it was last written.
        var onDevice: Set<AdapterDigest> = []
    }

    init(engine: InferenceEngine, registry: ModelRegistry, identity: ReplicaIdentity) {
        self.engine = engine
        self.registry = registry
        self.identity = identity
        board = Mutex(Board())
        let library = registry.library
        let standings = library.standings(of: library.residents)
        board.withLock { $0.journal.update(standings.map { .init($0, onDevice: []) }, gone: []) }
    }

    /// Where it stands now.
    ///
    /// - Parameter version: what the asker knows; nil for nothing.
    func report(since version: Int?) -> ReplicaReport {
        var report = ReplicaReport()
        let status = engine.status
        let rates = engine.rates
        let limits = engine.limits
        let library = registry.library
        let tiers = library.tiers
        let loads = library.loadTallies
        report.boot = identity.boot
        report.release = identity.release
        report.base = registry.baseNames
        report.isDraining = identity.isDraining
        report.slotCount = limits.maximumSequences
        report.runningCount = status.runningCount
        report.waitingCount = status.waitingCount
        report.waitingTokenCount = status.waitingTokenCount
        report.cacheUse =
            status.blockCount == 0
            ? 0 : 1 - Double(status.freeBlockCount) / Double(status.blockCount)
        report.prefillRate = rates.prefill
        report.decodeRate = rates.decode
        report.finishedCount = rates.finishedCount
        report.finishedSeconds = rates.finishedSeconds
        report.hostByteCount = tiers.hostBytes
        report.hostBudget = tiers.hostBudget
        report.diskLoads = .init(loads.disk)
        report.sourceLoads = .init(loads.source)
        board.withLock { board in
            refresh(&board, onDevice: status.deviceAdapters)
            board.journal.fill(&report, since: version)
        }
        return report
    }

    private func refresh(_ board: inout Board, onDevice: Set<AdapterDigest>) {
        let library = registry.library
        let changed = library.takeChanges().union(board.onDevice.symmetricDifference(onDevice))
        board.onDevice = onDevice
        let standings = library.standings(of: changed)
        let gone = changed.subtracting(standings.map(\.digest))
        board.journal.update(
            standings.map { .init($0, onDevice: onDevice) }, gone: gone.map(\.description))
    }

    /// Hands on reports: the first at once, then whenever something changed, and at least every half second.
    ///
    /// - Parameters:
    ///   - version: what the asker knows; nil for nothing.
    ///   - isOver: asked before each report.
    func follow(
        since version: Int?, isOver: () -> Bool, send: (ReplicaReport) async throws -> Void
    ) async throws {
        identity.listeners.add(1, ordering: .relaxed)
        defer { identity.listeners.subtract(1, ordering: .relaxed) }
        var last = report(since: version)
        try await send(last)
        var sent = ContinuousClock.now
        while !isOver() {
            try await Task.sleep(for: ReplicaState.pace)
            let next = report(since: last.version)
            guard next.differs(from: last) || .now - sent >= ReplicaState.heartbeat else {
                continue
            }
            try await send(next)
            last = next
            sent = .now
        }
    }

    private static let pace = Duration.milliseconds(100)
    private static let heartbeat = Duration.milliseconds(500)
}

/// Which process of which machine this is.
package final class ReplicaIdentity: Sendable {
    /// What answers say in `x-martlet-replica`.
    package let name: String
    package let boot = UUID().uuidString
    let release: String
    private let draining = Atomic<Bool>(false)
    /// Routers that follow its state.
    let listeners = Atomic<Int>(0)

    package init(name: String, release: String) {
        self.name = name
        self.release = release
    }

    /// Whether a router follows its state.
    package var hasListeners: Bool { listeners.load(ordering: .relaxed) > 0 }

    package var isDraining: Bool {
        get { draining.load(ordering: .relaxed) }
        set { draining.store(newValue, ordering: .relaxed) }
    }
}

extension ReplicaReport {
    fileprivate func differs(from other: ReplicaReport) -> Bool {
        version != other.version || runningCount != other.runningCount
            || waitingCount != other.waitingCount || waitingTokenCount != other.waitingTokenCount
            || isDraining != other.isDraining || finishedCount != other.finishedCount
    }
}

extension ReplicaReport.LoadCost {
    fileprivate init(_ tally: LoadTally) {
        self.init()
        count = tally.count
        seconds = tally.seconds
        byteCount = tally.byteCount
    }
}

extension ReplicaReport.Adapter {
    fileprivate init(_ standing: AdapterStanding, onDevice: Set<AdapterDigest>) {
        self.init()
        let tally = standing.tally
        digest = standing.digest.description
        names = standing.names
        tier = onDevice.contains(standing.digest) ? .device : standing.tier.placement
        byteCount = standing.byteCount
        rank = standing.rank
        requestCount = tally.requestCount
        tokenCount = tally.tokenCount
        for (tier, count) in tally.hits { hits[Int(tier.placement.rawValue)] = count }
        loadSeconds = tally.loadSeconds
        busySeconds = tally.busySeconds(at: standing.now)
    }
}

extension AdapterEntry.Tier {
    var placement: AdapterTier {
        switch self {
        case .source: .source
        case .disk: .disk
        case .host: .host
        }
    }
}
