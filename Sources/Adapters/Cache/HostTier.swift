/// The adapters in RAM: which are there, which go when room is needed, who has to wait.
///
/// A plain value: requests and results in, decisions out; whoever owns it does the reading and the
/// forgetting. Bytes are reserved before a load begins, so the tier never holds more than its budget.
///
/// What goes first is decided by Greedy-Dual-Size-Frequency
/// (https://www.hpl.hp.com/techreports/98/HPL-98-69R1.html): an adapter's priority is the tier's clock at
/// its last use, plus how often it was used times what it costs to bring back for each byte. The clock
/// is the priority of the last one that went, so what was popular once does not stay forever. Adapters
/// that are leased or pinned never go.
package struct HostTier: Sendable {
    /// What is to be done for a request.
    package enum Decision: Equatable, Sendable {
        /// It is here; the caller has a lease.
        case resident
        /// Another request brings it; the caller has a lease if that succeeds.
        case join
        /// The caller brings it, once these are forgotten, and reports `loaded` or `failed`.
        case load(evicting: [AdapterDigest])
        /// Everything that could make room is in use.
        case wait
        /// It is larger than the whole budget.
        case tooLarge
    }

    private struct Entry {
        var byteCount: Int
        /// Seconds that bringing it back takes, about.
        var cost: Double
        var isLoaded = false
        var leaseCount = 0
        var isPinned = false
        var useCount = 0
        var lastUse = 0
        var priority = 0.0
    }

    package let budget: Int
    private var entries: [AdapterDigest: Entry] = [:]
    package private(set) var byteCount = 0
    private var clock = 0.0
    private var useCount = 0
    /// Loads when an adapter was last evicted; forgotten after twice as many loads as there are entries.
    private var evictedAt: [AdapterDigest: Int] = [:]
    /// Those that came or went since somebody asked.
    private var touched: Set<AdapterDigest> = []
    package private(set) var loadCount = 0
    package private(set) var evictionCount = 0
    /// The share of recent requests for which something had to come back that had just gone.
    package private(set) var thrashing = 0.0

    /// - Parameter budget: bytes.
    package init(budget: Int) { self.budget = budget }

    package var count: Int { entries.count }

    /// Whether an adapter is here and loaded.
    package func holds(_ digest: AdapterDigest) -> Bool { entries[digest]?.isLoaded == true }

    /// Those that came or went since the last call.
    package mutating func takeTouched() -> Set<AdapterDigest> {
        defer { touched = [] }
        return touched
    }

    package func leaseCount(of digest: AdapterDigest) -> Int { entries[digest]?.leaseCount ?? 0 }

    /// Asks for an adapter, and for a lease on it.
    package mutating func request(
        _ digest: AdapterDigest, byteCount: Int, cost: Double
    ) -> Decision {
        if entries[digest] != nil {
            use(digest)
            thrashing -= thrashing / HostTier.recent
            return entries[digest]?.isLoaded == true ? .resident : .join
        }
        guard byteCount <= budget else { return .tooLarge }
        guard let victims = victims(for: byteCount) else { return .wait }
        for victim in victims { remove(victim) }
        noteLoad(of: digest)
        entries[digest] = Entry(byteCount: byteCount, cost: cost)
        self.byteCount += byteCount
        use(digest)
        return .load(evicting: victims)
    }

    package mutating func loaded(_ digest: AdapterDigest) {
        entries[digest]?.isLoaded = true
        touched.insert(digest)
    }

    /// Gives up the reservation, and the leases of all who joined.
    package mutating func failed(_ digest: AdapterDigest) {
        guard let entry = entries.removeValue(forKey: digest) else { return }
        byteCount -= entry.byteCount
    }

    /// Gives back a lease.
    package mutating func release(_ digest: AdapterDigest) {
        precondition(leaseCount(of: digest) > 0, "A lease was given back twice.")
        entries[digest]?.leaseCount -= 1
    }

    package mutating func pin(_ digest: AdapterDigest, _ isPinned: Bool) {
        entries[digest]?.isPinned = isPinned
        touched.insert(digest)
    }

    /// Forgets an adapter now, if nobody uses it and it is not pinned.
    ///
    /// - Returns: whether it is gone.
    package mutating func demote(_ digest: AdapterDigest) -> Bool {
        guard let entry = entries[digest] else { return true }
        guard entry.isLoaded, entry.leaseCount == 0, !entry.isPinned else { return false }
        entries[digest] = nil
        byteCount -= entry.byteCount
        touched.insert(digest)
        return true
    }

    // MARK: Who goes

    private mutating func use(_ digest: AdapterDigest) {
        guard var entry = entries[digest] else { return }
        entry.leaseCount += 1
        entry.useCount += 1
        useCount += 1
        entry.lastUse = useCount
        entry.priority =
            clock + Double(entry.useCount) * entry.cost / Double(max(entry.byteCount, 1))
        entries[digest] = entry
    }

    /// Who has to go for so many bytes; nil when it is not enough.
    private func victims(for byteCount: Int) -> [AdapterDigest]? {
        var missing = self.byteCount + byteCount - budget
        guard missing > 0 else { return [] }
        let idle = entries.filter { $1.isLoaded && $1.leaseCount == 0 && !$1.isPinned }
        guard idle.values.reduce(0, { $0 + $1.byteCount }) >= missing else { return nil }
        var victims: [AdapterDigest] = []
        for (digest, entry) in idle.sorted(by: HostTier.goesBefore) {
            guard missing > 0 else { break }
            victims.append(digest)
            missing -= entry.byteCount
        }
        return victims
    }

    /// Equals go in the order of their last use.
    private static func goesBefore(
        _ a: (key: AdapterDigest, value: Entry), _ b: (key: AdapterDigest, value: Entry)
    ) -> Bool { (a.value.priority, a.value.lastUse) < (b.value.priority, b.value.lastUse) }

    /// Requests over which `thrashing` is an average.
    private static let recent = 32.0

    private mutating func remove(_ digest: AdapterDigest) {
        guard let entry = entries.removeValue(forKey: digest) else { return }
        byteCount -= entry.byteCount
        touched.insert(digest)
        clock = max(clock, entry.priority)
        evictionCount += 1
        evictedAt[digest] = loadCount
    }

    private mutating func noteLoad(of digest: AdapterDigest) {
        loadCount += 1
        let horizon = 2 * max(8, entries.count)
        let isReturn =
            evictedAt.removeValue(forKey: digest).map { loadCount - $0 <= horizon } ?? false
        thrashing += ((isReturn ? 1 : 0) - thrashing) / HostTier.recent
        if evictedAt.count > 4 * horizon {
            evictedAt = evictedAt.filter { loadCount - $0.value <= horizon }
        }
    }
}
