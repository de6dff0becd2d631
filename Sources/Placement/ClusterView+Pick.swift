extension ClusterView {
    /// A request, as far as a router looks at it.
    package struct Request: Sendable {
        /// The adapter's name; nil for the base.
        package var adapter: String?
        /// How its text begins: a hash for each piece, which covers all before it.
        package var prefix: [UInt64] = []
        /// Replicas that it may go to; nil for all.
        package var allowed: Set<String>?

        package init(adapter: String?) { self.adapter = adapter }
    }

    package struct Pick: Sendable, Equatable {
        /// Places of replicas, the best first.
        package var places: [Int]
        /// Seconds until the request can begin at the first.
        package var delay: Double
        /// Where the first has the adapter.
        package var tier: AdapterTier
    }

    /// Where a request should go: the replica where it can begin first, of those that are to have its
    /// adapter or do have it. Any other one must save more than `rules.spill`.
    ///
    /// Complexity: linear in the number of replicas.
    ///
    /// - Returns: nil when no replica can answer.
    package func pick(_ request: Request, at now: Double) -> Pick? {
        let places = usable(at: now, among: request.allowed)
        let target = target(of: request, among: places, now)
        let found = prefixes.find(request.prefix)
        var best: [Candidate] = []
        for place in places {
            guard let replica = replicas[place] else { continue }
            let candidate = candidate(place, replica, target, found[place] ?? 0, now)
            let position = best.firstIndex { candidate.goesBefore($0) } ?? best.endIndex
            guard position < rules.endpoints else { continue }
            best.insert(candidate, at: position)
            if best.count > rules.endpoints { best.removeLast() }
        }
        guard let first = best.first else { return nil }
        return Pick(places: best.map(\.place), delay: max(0, first.delay), tier: first.tier)
    }

    /// Notes that a request was sent, which its replica will only say later.
    ///
    /// - Returns: whether this one sets off a load.
    @discardableResult
    package mutating func note(_ request: Request, sentTo place: Int, at now: Double) -> Bool {
        guard let replica = replicas[place] else { return false }
        replicas[place]?.flights.append(Flight(time: now))
        updateDelay(of: place)
        prefixes.note(request.prefix, at: place)
        guard let name = request.adapter, let index = index(of: key(of: name)) else { return false }
        let adapter = adapters[index]
        guard adapter.tiers[place] < .host, isOver(adapter.loads[place], now) else { return false }
        adapters[index].loads[place] = Load(
            begin: now, seconds: loadSeconds(adapter, from: adapter.tiers[place], on: replica))
        return true
    }

    // MARK: What a replica would cost

    private struct Candidate {
        var place: Int
        /// With what it must save.
        var cost: Double
        var delay: Double
        var tier: AdapterTier
        var weight: UInt64

        func goesBefore(_ other: Candidate) -> Bool {
            cost != other.cost ? cost < other.cost : weight > other.weight
        }
    }

    /// What is the same for all replicas.
    private struct Target {
        /// Nil for the base.
        var hash: Rendezvous?
        var adapter: Adapter?
        /// Who is to have what nobody has planned.
        var home: Int?
        /// Who brings what nobody has yet: others wait for that, too.
        var bringer: Int?
    }

    private func target(
        of request: Request, among places: [Int], _ now: Double
    ) -> Target {
        guard let name = request.adapter else { return Target() }
        let adapter = adapter(name)
        let hash = adapter?.hash ?? Rendezvous(key(of: name))
        var target = Target(hash: hash, adapter: adapter)
        let isHeld = adapter.map { adapter in places.contains { adapter.tiers[$0] >= .host } }
        if let adapter, isHeld == false {
            target.bringer = places.filter { !isOver(adapter.loads[$0], now) }
                .min { (adapter.loads[$0]?.begin ?? 0) < (adapter.loads[$1]?.begin ?? 0) }
        }
        let isPlanned = adapter?.plan.contains { places.contains($0) } ?? false
        if isHeld != true, !isPlanned {
            target.home = places.max { weight(hash, on: $0) < weight(hash, on: $1) }
        }
        return target
    }

    func weight(_ hash: Rendezvous, on place: Int) -> UInt64 {
        replicas[place].map { hash.weight(on: $0.hash) } ?? 0
    }

    private func candidate(
        _ place: Int, _ replica: Replica, _ target: Target, _ pieceCount: Int, _ now: Double
    ) -> Candidate {
        var delay = replica.delay + doubt(replica, at: now)
        if pieceCount > 0, replica.report.prefillRate > 0 {
            delay -= Double(pieceCount) * PrefixTable.pieceTokens / replica.report.prefillRate
        }
        guard let hash = target.hash else {
            return Candidate(place: place, cost: delay, delay: delay, tier: .device, weight: 0)
        }
        let tier = target.adapter?.tiers[place] ?? .source
        if tier < .host {
            if let load = target.adapter?.loads[place], !isOver(load, now) {
                delay += max(0, load.begin + load.seconds - now)
            } else {
                delay += loadSeconds(target.adapter, from: tier, on: replica)
            }
        }
        return Candidate(
            place: place, cost: delay + reluctance(place, tier, target), delay: delay, tier: tier,
            weight: hash.weight(on: replica.hash))
    }

    /// Seconds that a replica must save to be preferred.
    private func reluctance(_ place: Int, _ tier: AdapterTier, _ target: Target) -> Double {
        if let bringer = target.bringer { return place == bringer ? 0 : ClusterView.twice }
        let isExpected =
            tier >= .host || place == target.home
            || target.adapter?.plan.contains(place) == true
        return isExpected ? 0 : rules.spill
    }

    /// What would have to be saved for an adapter to be brought twice at once.
    private static let twice = 60.0

    /// A replica that has been silent for a while may be stuck.
    private func doubt(_ replica: Replica, at now: Double) -> Double {
        let silence = now - (replica.lastHeard ?? now)
        return silence > rules.doubtAfter ? rules.requestSeconds + silence : 0
    }

    /// A load that never showed has failed.
    func isOver(_ load: Load?, _ now: Double) -> Bool {
        guard let load else { return true }
        return now - load.begin > 10 * load.seconds + 5
    }

    private func loadSeconds(
        _ adapter: Adapter?, from tier: AdapterTier, on replica: Replica
    ) -> Double {
        let bytes = adapter.map(\.byteCount) ?? 0
        return switch tier {
        case .device, .host: 0
        case .disk: rules.diskLoad.seconds(for: bytes, measured: replica.report.diskLoads)
        case .source: rules.sourceLoad.seconds(for: bytes, measured: replica.report.sourceLoads)
        }
    }
}
