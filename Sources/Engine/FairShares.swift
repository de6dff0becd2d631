internal import Adapters

/// Whose a request is, and how it stands to the requests of others.
package struct Flow: Sendable, Equatable {
    /// Owners get equal shares of the engine while they have requests, or shares by their weights.
    package var owner: String
    package var weight: Double
    /// Lower ones go first, whoever has had less.
    package var priority: Int

    /// - Precondition: the weight is positive.
    package init(owner: String = "", weight: Double = 1, priority: Int = 0) {
        precondition(weight > 0, "A weight must be positive.")
        self.owner = owner
        self.weight = weight
        self.priority = priority
    }
}

/// Who has had how much of the engine: virtual token counters (VTC, https://arxiv.org/abs/2401.00588), by owner and, among
/// an owner's requests, by adapter.
///
/// A counter adds up what was computed, by cost and divided by the weight. Whoever comes back after having had no request
/// begins with the least that anybody has who is there: time away earns nothing and costs nothing.
struct FairShares {
    typealias LaneID = Int

    /// What tokens cost: one that is chosen takes a step's turn, one of a prompt shares it with many.
    static let promptCost = 1.0
    static let outputCost = 2.0

    private struct Counter {
        var served = 0.0
        var requestCount = 0
    }

    private struct Owner {
        var counter = Counter()
        var weight: Double
        /// What a lane that comes back begins with at least.
        var floor = 0.0
        var lanes: [AdapterDigest?: LaneID] = [:]
    }

    private struct Lane {
        var counter = Counter()
        let owner: String
        let digest: AdapterDigest?
    }

    private var owners: [String: Owner] = [:]
    private var lanes: [LaneID: Lane] = [:]
    private var lastLane = 0
    /// What an owner who comes back begins with at least.
    private var floor = 0.0
    /// Owners that have requests.
    private(set) var activeCount = 0

    /// What an owner, and its lane, have had so far; for comparing only.
    func served(_ lane: LaneID) -> (owner: Double, lane: Double) {
        guard let entry = lanes[lane], let owner = owners[entry.owner] else { return (0, 0) }
        return (owner.counter.served, entry.counter.served)
    }

    func owner(of lane: LaneID) -> String { lanes[lane]?.owner ?? "" }

    /// A request has come.
    ///
    /// - Returns: where it is counted, until as many have left as have come.
    mutating func enter(_ flow: Flow, _ digest: AdapterDigest?) -> LaneID {
        var owner = owners.removeValue(forKey: flow.owner) ?? Owner(weight: flow.weight)
        defer { owners[flow.owner] = owner }
        // What counts is what its key says now.
        owner.weight = flow.weight
        if owner.counter.requestCount == 0 {
            let least = owners.values.lazy.filter { $0.counter.requestCount > 0 }
                .map(\.counter.served).min()
            floor = max(floor, least ?? floor)
            owner.counter.served = max(owner.counter.served, floor)
            activeCount += 1
        }
        owner.counter.requestCount += 1
        let id: LaneID
        if let known = owner.lanes[digest] {
            id = known
        } else {
            lastLane += 1
            id = lastLane
            owner.lanes[digest] = id
            lanes[id] = Lane(owner: flow.owner, digest: digest)
        }
        guard var lane = lanes[id] else { return id }
        if lane.counter.requestCount == 0 {
            let others = owner.lanes.values.compactMap { lanes[$0]?.counter }
            let least = others.filter { $0.requestCount > 0 }.map(\.served).min()
            owner.floor = max(owner.floor, least ?? owner.floor)
            lane.counter.served = max(lane.counter.served, owner.floor)
        }
        lane.counter.requestCount += 1
        lanes[id] = lane
        return id
    }

    /// A request has gone. Counters that nobody will ask for are forgotten.
    mutating func leave(_ id: LaneID) {
        guard var lane = lanes[id], var owner = owners.removeValue(forKey: lane.owner) else {
            return
        }
        lane.counter.requestCount -= 1
        lanes[id] = lane
        owner.counter.requestCount -= 1
        let isLast = owner.counter.requestCount == 0
        if isLast {
            owner.floor = max(owner.floor, lane.counter.served)
            activeCount -= 1
            if activeCount == 0 { floor = max(floor, owner.counter.served) }
        }
        if lane.counter.requestCount == 0, lane.counter.served <= owner.floor {
            lanes[id] = nil
            owner.lanes[lane.digest] = nil
        }
        if isLast, owner.counter.served <= floor {
            for other in owner.lanes.values { lanes[other] = nil }
        } else {
            owners[lane.owner] = owner
        }
    }

    /// Notes what has been computed for a request.
    mutating func charge(_ id: LaneID, _ cost: Double) {
        guard cost > 0, let name = lanes[id]?.owner, let weight = owners[name]?.weight else {
            return
        }
        lanes[id]?.counter.served += cost / weight
        owners[name]?.counter.served += cost / weight
    }
}
