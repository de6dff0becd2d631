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
    typealias OwnerID = Int

    /// What tokens cost: one that is chosen takes a step's turn, one of a prompt shares it with many.
    static let promptCost = 1.0
    static let outputCost = 2.0

    private struct Counter {
        var served = 0.0
        var requestCount = 0
    }

    private struct Owner {
        let name: String
        var counter = Counter()
        var weight: Double
        /// What a lane that comes back begins with at least.
        var floor = 0.0
        var lanes: [AdapterDigest?: LaneID] = [:]
    }

    private struct Lane {
        var counter = Counter()
        let owner: OwnerID
        let digest: AdapterDigest?
    }

    // Arrays, since a dictionary's values cannot be changed in their place without allocating.
    private var owners: [Owner] = []
    private var lanes: [Lane] = []
    private var freeOwners: [OwnerID] = []
    private var freeLanes: [LaneID] = []
    private var places: [String: OwnerID] = [:]
    /// What an owner who comes back begins with at least.
    private var floor = 0.0
    /// Owners that have requests.
    private(set) var activeCount = 0

    /// What an owner, and its lane, have had so far; for comparing only.
    func served(_ lane: LaneID) -> (owner: Double, lane: Double) {
        let entry = lanes[lane]
        return (owners[entry.owner].counter.served, entry.counter.served)
    }

    /// Whose lane it is, as long as there are requests in it.
    func owner(of lane: LaneID) -> OwnerID { lanes[lane].owner }

    /// A request has come.
    ///
    /// - Returns: where it is counted, until as many have left as have come.
    mutating func enter(_ flow: Flow, _ digest: AdapterDigest?) -> LaneID {
        let owner = place(of: flow)
        // What counts is what its key says now.
        owners[owner].weight = flow.weight
        if owners[owner].counter.requestCount == 0 {
            let least = owners.lazy.map(\.counter).filter { $0.requestCount > 0 }.map(\.served)
                .min()
            floor = max(floor, least ?? floor)
            owners[owner].counter.served = max(owners[owner].counter.served, floor)
            activeCount += 1
        }
        owners[owner].counter.requestCount += 1
        let lane = place(of: digest, owner)
        if lanes[lane].counter.requestCount == 0 {
            let least = owners[owner].lanes.values.map { lanes[$0].counter }
                .filter { $0.requestCount > 0 }.map(\.served).min()
            owners[owner].floor = max(owners[owner].floor, least ?? 0)
            lanes[lane].counter.served = max(lanes[lane].counter.served, owners[owner].floor)
        }
        lanes[lane].counter.requestCount += 1
        return lane
    }

    private mutating func place(of flow: Flow) -> OwnerID {
        if let known = places[flow.owner] { return known }
        let owner = Owner(name: flow.owner, weight: flow.weight)
        let id = freeOwners.popLast() ?? owners.count
        if id < owners.count { owners[id] = owner } else { owners.append(owner) }
        places[flow.owner] = id
        return id
    }

    private mutating func place(of digest: AdapterDigest?, _ owner: OwnerID) -> LaneID {
        if let known = owners[owner].lanes[digest] { return known }
        if owners[owner].lanes.count >= FairShares.mostLanes { forgetIdleLanes(of: owner) }
        let lane = Lane(owner: owner, digest: digest)
        let id = freeLanes.popLast() ?? lanes.count
        if id < lanes.count { lanes[id] = lane } else { lanes.append(lane) }
        owners[owner].lanes[digest] = id
        return id
    }

    /// An owner may ask ever new sums of adapters. Those that come back later begin with the least again.
    private mutating func forgetIdleLanes(of owner: OwnerID) {
        for (digest, id) in owners[owner].lanes where lanes[id].counter.requestCount == 0 {
            owners[owner].lanes[digest] = nil
            freeLanes.append(id)
        }
    }

    private static let mostLanes = 256

    /// A request has gone. Counters that nobody will ask for are forgotten.
    mutating func leave(_ id: LaneID) {
        let owner = lanes[id].owner
        lanes[id].counter.requestCount -= 1
        owners[owner].counter.requestCount -= 1
        guard owners[owner].counter.requestCount == 0 else {
            if lanes[id].counter.requestCount == 0, lanes[id].counter.served <= owners[owner].floor
            {
                owners[owner].lanes[lanes[id].digest] = nil
                freeLanes.append(id)
            }
            return
        }
        activeCount -= 1
        // With nobody there to compare with, all begin anew.
        if activeCount == 0 { return self = FairShares() }
        freeLanes += owners[owner].lanes.values
        owners[owner].lanes = [:]
        owners[owner].floor = 0
        if owners[owner].counter.served <= floor {
            places[owners[owner].name] = nil
            freeOwners.append(owner)
        }
    }

    /// Notes what has been computed for a request.
    mutating func charge(_ id: LaneID, _ cost: Double) {
        guard cost > 0 else { return }
        let owner = lanes[id].owner
        lanes[id].counter.served += cost / owners[owner].weight
        owners[owner].counter.served += cost / owners[owner].weight
    }
}
