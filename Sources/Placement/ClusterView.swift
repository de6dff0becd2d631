/// What a router knows of its replicas, merged from what they say: who is there, how busy, and which
/// adapters they have.
///
/// A plain value with a clock of its own: times are seconds of whatever clock the caller keeps. All
/// that decides works on it: `pick`, `replan`.
package struct ClusterView: Sendable {
    package struct Replica: Sendable {
        /// Its address, `host:port`: what answers name it by.
        package let name: String
        let hash: Rendezvous
        package var report = ReplicaReport()
        /// When it last said something; nil before it did, and after its stream broke.
        package var lastHeard: Double?
        var firstHeard: Double?
        /// Before it, the gateway may not know the replica.
        var settledAt = 0.0
        /// While it brings its planned adapters, other replicas answer.
        package var joiningUntil: Double?
        /// Requests that were sent there since it last had the time to say so.
        var flights: [Flight] = []
        /// Seconds until a request could begin there, apart from its adapter.
        var delay = 0.0
    }

    /// A request that was sent and may not show in the replica's report yet.
    struct Flight: Sendable {
        var time: Double
    }

    /// An adapter's load that was set off by a pick, until it shows.
    struct Load: Sendable {
        var begin: Double
        var seconds: Double
    }

    package struct Adapter: Sendable {
        /// What routers know it by: the first of its names.
        package let key: String
        let hash: Rendezvous
        package var byteCount = 0
        /// By the place of the replica.
        package var tiers: [AdapterTier] = []
        /// Where it is on its way, by the place of the replica.
        var loads: [Int: Load] = [:]
        /// Seconds of requests, as each replica had counted when heat was last computed.
        var counted: [Int: Double] = [:]
        /// What each replica counts now.
        var busy: [Int: Double] = [:]
        /// How many requests for it are there at once, as an average.
        package var heat = 0.0
        /// Copies that it deserves, and since when it deserved fewer.
        package var copies = 0
        var lowSince: Double?
        /// Places of replicas that are to have it, the first choice first.
        package var plan: [Int] = []
    }

    package let rules: PlacementRules
    /// Places stay while a replica is there; those of replicas that went are used again.
    package var replicas: [Replica?] = []
    package var adapters: [Adapter] = []
    var indices: [String: Int] = [:]
    /// The key of what each replica's digests and names stand for.
    var keys: [String: String] = [:]
    /// Per place: the adapter behind each digest, to understand what changes and goes.
    var digests: [[String: Int]] = []
    var lastReplan: Double?
    var typicalByteCount = 0
    /// Adapters that requests have named since strangers were last forgotten.
    var strangerCount = 0
    var prefixes = PrefixTable()

    package init(rules: PlacementRules = PlacementRules()) { self.rules = rules }

    // MARK: Replicas

    /// Replicas that discovery found; those that it finds no longer are forgotten.
    package mutating func setReplicas(_ names: [String]) {
        let wanted = Set(names)
        for (place, replica) in replicas.enumerated() {
            if let replica, !wanted.contains(replica.name) { forget(place) }
        }
        let known = Set(replicas.compactMap { $0?.name })
        for name in names.sorted() where !known.contains(name) {
            let replica = Replica(name: name, hash: Rendezvous(name))
            if let free = replicas.firstIndex(where: { $0 == nil }) {
                replicas[free] = replica
            } else {
                replicas.append(replica)
                digests.append([:])
                for index in adapters.indices { adapters[index].tiers.append(.source) }
            }
        }
    }

    package func place(of name: String) -> Int? {
        replicas.firstIndex { $0?.name == name }
    }

    private mutating func forget(_ place: Int) {
        forgetAdapters(of: place)
        forgetCounters(of: place)
        replicas[place] = nil
    }

    private mutating func forgetAdapters(of place: Int) {
        for index in Set(digests[place].values) { adapters[index].tiers[place] = .source }
        digests[place] = [:]
    }

    private mutating func forgetCounters(of place: Int) {
        for index in adapters.indices {
            adapters[index].busy[place] = nil
            adapters[index].counted[place] = nil
            adapters[index].loads[place] = nil
        }
    }

    /// Whether a replica's base has a name in common with that of the others that are there.
    package func servesTheSame(_ report: ReplicaReport, as place: Int, at now: Double) -> Bool {
        let others = replicas.indices.filter { $0 != place && isThere($0, at: now) }
        return others.isEmpty
            || others.contains { other in
                replicas[other]?.report.base.contains { report.base.contains($0) } ?? false
            }
    }

    /// Takes in what a replica says.
    package mutating func hear(_ report: ReplicaReport, from place: Int, at now: Double) {
        guard var replica = replicas[place] else { return }
        let isNewBoot = replica.report.boot != report.boot
        // Where all are new, nobody could answer instead.
        let hasOthers = replicas.indices.contains {
            $0 != place && isReady($0, at: now)
                && now - (replicas[$0]?.firstHeard ?? now) >= rules.warmUp
        }
        if isNewBoot || report.isWhole { forgetAdapters(of: place) }
        if isNewBoot { forgetCounters(of: place) }
        if replica.lastHeard == nil { replica.settledAt = now + rules.settle }
        if isNewBoot {
            replica.firstHeard = now
            replica.joiningUntil = hasOthers ? now + rules.warmUp : nil
        }
        replica.report = report
        replica.report.adapters = []
        replica.report.removed = []
        replica.lastHeard = now
        // A request takes a moment to arrive, and what it does to the replica another one to be said.
        replica.flights.removeAll { now - $0.time > ClusterView.acknowledgement }
        replicas[place] = replica
        for adapter in report.adapters { hear(adapter, from: place, isFirst: isNewBoot) }
        for digest in report.removed { forget(digest, from: place) }
        updateDelay(of: place)
    }

    /// Seconds after which a replica's report has a request that was sent to it.
    static let acknowledgement = 0.3

    /// - Parameter isFirst: in the first report of a boot, whose counters nobody can tell the time of.
    private mutating func hear(
        _ adapter: ReplicaReport.Adapter, from place: Int, isFirst: Bool
    ) {
        // Without a name nobody can ask for it.
        guard let key = adapter.names.first, let index = index(of: key, isTold: true) else {
            return forget(adapter.digest, from: place)
        }
        for name in adapter.names { keys[name] = key }
        if let previous = digests[place][adapter.digest], previous != index {
            forget(adapter.digest, from: place)
        }
        digests[place][adapter.digest] = index
        adapters[index].byteCount = adapter.byteCount
        adapters[index].tiers[place] = adapter.tier
        adapters[index].busy[place] = adapter.busySeconds
        if adapters[index].counted[place] == nil {
            adapters[index].counted[place] = isFirst ? adapter.busySeconds : 0
        }
        if adapter.tier >= .host { adapters[index].loads[place] = nil }
    }

    /// A digest stands for nothing there any more; the name may stand for another one already.
    private mutating func forget(_ digest: String, from place: Int) {
        guard let index = digests[place].removeValue(forKey: digest),
            !digests[place].values.contains(index)
        else { return }
        adapters[index].tiers[place] = .source
    }

    /// The stream broke: the replica may be gone.
    package mutating func lose(_ place: Int) {
        replicas[place]?.lastHeard = nil
        replicas[place]?.flights = []
    }

    /// Whether requests may be sent there.
    package func isReady(_ place: Int, at now: Double) -> Bool {
        isUp(place, at: now) && (replicas[place]?.joiningUntil.map { now >= $0 } ?? true)
    }

    /// Whether it answers at all, even while it brings its adapters.
    package func isUp(_ place: Int, at now: Double) -> Bool {
        guard let replica = replicas[place], isThere(place, at: now) else { return false }
        return !replica.report.isDraining && now >= replica.settledAt
    }

    /// Whether it has its stream open, even while it drains.
    package func isThere(_ place: Int, at now: Double) -> Bool {
        guard let heard = replicas[place]?.lastHeard else { return false }
        return now - heard <= rules.loseAfter
    }

    /// Whether one of these replicas is there, and only not to be used yet.
    package func isComing(_ names: Set<String>, at now: Double) -> Bool {
        replicas.indices.contains { place in
            guard let replica = replicas[place], names.contains(replica.name) else { return false }
            return isThere(place, at: now) && !replica.report.isDraining
        }
    }

    /// Requests that could begin at once.
    package func freeSlots(at now: Double) -> Int {
        usable(at: now).reduce(0) { count, place in
            guard let replica = replicas[place] else { return count }
            return count + max(0, replica.report.slotCount - outstanding(replica))
        }
    }

    /// Whether a name is the base's.
    package func isBase(_ name: String) -> Bool {
        replicas.contains { $0?.report.base.contains(name) ?? false }
    }

    /// Places of replicas that requests may be sent to; those that still bring their adapters when there
    /// are no others.
    ///
    /// - Parameter allowed: names of replicas that may be used; nil for all.
    package func usable(at now: Double, among allowed: Set<String>? = nil) -> [Int] {
        let up = replicas.indices.filter { place in
            isUp(place, at: now)
                && allowed.map { $0.contains(replicas[place]?.name ?? "") } ?? true
        }
        let ready = up.filter { isReady($0, at: now) }
        return ready.isEmpty ? up : ready
    }

    // MARK: Adapters

    /// What routers know a name by.
    package func key(of name: String) -> String { keys[name] ?? name }

    package func adapter(_ name: String) -> Adapter? {
        indices[key(of: name)].map { adapters[$0] }
    }

    /// - Parameter isTold: by a replica, not by a request.
    /// - Returns: nil when too many names are only known from requests.
    mutating func index(of key: String, isTold: Bool = false) -> Int? {
        if let index = indices[key] { return index }
        guard isTold || strangerCount < ClusterView.strangers else { return nil }
        if !isTold { strangerCount += 1 }
        var adapter = Adapter(key: key, hash: Rendezvous(key))
        adapter.tiers = Array(repeating: .source, count: replicas.count)
        indices[key] = adapters.count
        adapters.append(adapter)
        return adapters.count - 1
    }

    // MARK: Delay

    /// A replica's requests at once, with those that it has not yet heard of.
    func outstanding(_ replica: Replica) -> Int {
        replica.report.runningCount + replica.report.waitingCount + replica.flights.count
    }

    package func outstanding(at place: Int) -> Int { replicas[place].map { outstanding($0) } ?? 0 }

    mutating func updateDelay(of place: Int) {
        guard let replica = replicas[place] else { return }
        let report = replica.report
        let slots = Double(max(report.slotCount, 1))
        let seconds =
            report.finishedCount > 0
            ? report.finishedSeconds / Double(report.finishedCount) : rules.requestSeconds
        let count = Double(outstanding(replica))
        // Whoever shares a batch slows it down; whoever finds it full waits for a place.
        var delay =
            seconds * (ClusterView.crowding * count / slots + max(0, count + 1 - slots) / slots)
        if report.prefillRate > 0 { delay += Double(report.waitingTokenCount) / report.prefillRate }
        replicas[place]?.delay = delay
    }

    /// How much slower a full batch makes each of its requests.
    private static let crowding = 0.5
}
