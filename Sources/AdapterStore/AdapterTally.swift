package import Adapters
internal import Catalog
internal import Synchronization

/// What requests did with one adapter since the start. All but `activeCount` only grows.
package struct AdapterTally: Sendable, Equatable {
    package private(set) var requestCount = 0
    package private(set) var tokenCount = 0
    /// By the tier where requests found it.
    package private(set) var hits: [AdapterEntry.Tier: Int] = [:]
    package private(set) var loadSeconds = 0.0
    /// Requests that hold it.
    package private(set) var activeCount = 0
    private var seconds = 0.0
    /// When `seconds` was right.
    private var time = 0.0

    init() {}

    /// Seconds that requests have held it, in all.
    package func busySeconds(at now: Double) -> Double {
        seconds + Double(activeCount) * max(0, now - time)
    }

    mutating func begin(_ tier: AdapterEntry.Tier, at now: Double) {
        settle(now)
        requestCount += 1
        hits[tier, default: 0] += 1
        activeCount += 1
    }

    mutating func end(at now: Double) {
        settle(now)
        activeCount = max(0, activeCount - 1)
    }

    mutating func add(tokens: Int) { tokenCount += tokens }

    mutating func add(load seconds: Double) { loadSeconds += seconds }

    private mutating func settle(_ now: Double) {
        seconds = busySeconds(at: now)
        time = max(time, now)
    }
}

/// What bringing adapters into RAM took since the start.
package struct LoadTally: Sendable, Equatable {
    package private(set) var count = 0
    package private(set) var seconds = 0.0
    package private(set) var byteCount = 0

    init() {}

    mutating func add(_ seconds: Double, byteCount: Int) {
        count += 1
        self.seconds += seconds
        self.byteCount += byteCount
    }
}

/// Where one adapter is and what requests did with it.
package struct AdapterStanding: Sendable {
    package let digest: AdapterDigest
    /// In order.
    package let names: [String]
    package let tier: AdapterEntry.Tier
    package let isPinned: Bool
    package let byteCount: Int
    package let rank: Int
    package let tally: AdapterTally
    /// Now, by the clock of `tally`.
    package let now: Double
}

extension AdapterLibrary {
    /// Adapters that came, went, were renamed or used since the last call; one caller keeps the account.
    package func takeChanges() -> Set<AdapterDigest> {
        var changed = state.withLock { state in
            defer { state.used = state.tallies.isEmpty ? [] : state.active }
            return state.used.union(state.host.takeTouched()).union(state.names.takeTouched())
        }
        changed.formUnion(disk.withLock { $0?.takeTouched() ?? [] })
        return changed
    }

    /// All adapters in RAM or on the disk.
    package var residents: Set<AdapterDigest> {
        let onDisk = disk.withLock { $0?.digests ?? [] }
        return state.withLock { Set($0.loaded.keys) }.union(onDisk)
    }

    /// - Returns: those of the adapters that are in RAM or on the disk.
    package func standings(of digests: Set<AdapterDigest>) -> [AdapterStanding] {
        let packs = disk.withLock { $0?.packs ?? [:] }
        let now = seconds
        return state.withLock { state in
            digests.compactMap { digest in
                guard let record = state.adapters[digest] else { return nil }
                let isHeld = state.host.holds(digest)
                guard isHeld || packs[digest] != nil else { return nil }
                return AdapterStanding(
                    digest: digest, names: state.names.names(of: digest).sorted(),
                    tier: isHeld ? .host : .disk, isPinned: state.names.isPinned(digest),
                    byteCount: record.bytes, rank: record.rank,
                    tally: state.tallies[digest] ?? AdapterTally(), now: now)
            }
        }
    }

    /// By the tier that adapters came from.
    package var loadTallies: (disk: LoadTally, source: LoadTally) {
        state.withLock { ($0.diskLoads, $0.sourceLoads) }
    }

    /// Counts the tokens of a request, prompt and answer.
    package func count(tokens: Int, of digest: AdapterDigest) {
        state.withLock {
            $0.tallies[digest]?.add(tokens: tokens)
            $0.used.insert(digest)
        }
    }

    /// Of the clock that tallies go by.
    var seconds: Double { uptime() / .seconds(1) }
}

extension AdapterLibrary.State {
    /// Adapters that requests hold: what they count changes by itself.
    fileprivate var active: Set<AdapterDigest> {
        Set(tallies.lazy.filter { $1.activeCount > 0 }.map(\.key))
    }

    mutating func begin(_ digest: AdapterDigest, _ tier: AdapterEntry.Tier, at now: Double) {
        tallies[digest, default: AdapterTally()].begin(tier, at: now)
        used.insert(digest)
    }

    mutating func end(_ digest: AdapterDigest, at now: Double) {
        tallies[digest]?.end(at: now)
        used.insert(digest)
    }

    mutating func noteLoad(
        _ digest: AdapterDigest, from tier: AdapterEntry.Tier, seconds: Double, byteCount: Int
    ) {
        if tier == .source {
            sourceLoads.add(seconds, byteCount: byteCount)
        } else {
            diskLoads.add(seconds, byteCount: byteCount)
        }
        tallies[digest, default: AdapterTally()].add(load: seconds)
        used.insert(digest)
    }
}
