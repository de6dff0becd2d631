internal import Adapters

/// Requests that wait for a place in the step, and whose turn it is.
///
/// The most urgent go first; among them those of the owner who has had least; among those the adapters that have had least,
/// within a margin; among those who came first, but for those whose adapter the step uses already.
struct WaitingLine {
    struct Entry {
        let id: RequestID
        let lane: FairShares.LaneID
        let priority: Int
        let digest: AdapterDigest?
        /// How often one of the same owner that came later was admitted before this one.
        var passedOverCount = 0
    }

    private(set) var entries: [Entry] = []

    /// Adapters of one owner take turns only when one is ahead by so much.
    private static let laneMargin = 512.0
    private static let lookahead = 16
    private static let patience = 8

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }
    var ids: [RequestID] { entries.map(\.id) }

    mutating func append(_ entry: Entry) { entries.append(entry) }

    /// For one that has been in the step and comes back.
    mutating func prepend(_ entry: Entry) { entries.insert(entry, at: 0) }

    mutating func remove(_ id: RequestID) { entries.removeAll { $0.id == id } }

    /// Who is next, by the place in the line.
    ///
    /// - Parameters:
    ///   - used: adapters of the step, whose weights are read once for all of their sequences.
    ///   - isPresent: whether a sequence's adapter is on the device.
    func next(
        _ shares: FairShares, using used: Set<AdapterDigest>, isPresent: (AdapterDigest?) -> Bool
    ) -> Int? {
        let turn = places(shares)
        guard let first = turn.first else { return nil }
        // Whoever waited long for its adapter to come on keeps the seat free.
        if !isPresent(entries[first].digest),
            entries[first].passedOverCount >= WaitingLine.patience
        {
            return nil
        }
        if !used.isEmpty {
            for place in turn.prefix(WaitingLine.lookahead) {
                let entry = entries[place]
                guard isPresent(entry.digest) else { continue }
                if let digest = entry.digest, used.contains(digest) { return place }
                if entry.passedOverCount >= WaitingLine.patience { break }
            }
        }
        return turn.first { isPresent(entries[$0].digest) }
            ?? entries.firstIndex { isPresent($0.digest) }
    }

    /// Takes one out of the line.
    mutating func take(_ id: RequestID, _ shares: FairShares) {
        guard let place = entries.firstIndex(where: { $0.id == id }) else { return }
        let owner = shares.owner(of: entries[place].lane)
        for earlier in entries.indices.prefix(place)
        where shares.owner(of: entries[earlier].lane) == owner {
            entries[earlier].passedOverCount += 1
        }
        entries.remove(at: place)
    }

    /// Those whose turn it is, in the order in which they came.
    private func places(_ shares: FairShares) -> [Int] {
        var best: (priority: Int, owner: Double, id: FairShares.OwnerID)?
        var least = 0.0
        for entry in entries {
            if let best, entry.priority > best.priority { continue }
            let standing = shares.served(entry.lane)
            if let best, entry.priority == best.priority {
                if standing.owner > best.owner { continue }
                if standing.owner == best.owner, shares.owner(of: entry.lane) == best.id {
                    least = min(least, standing.lane)
                    continue
                }
            }
            // Of owners who have had equally much, whoever came last has probably nothing in the step.
            best = (entry.priority, standing.owner, shares.owner(of: entry.lane))
            least = standing.lane
        }
        guard let best else { return [] }
        return entries.indices.filter { place in
            let entry = entries[place]
            return entry.priority == best.priority && shares.owner(of: entry.lane) == best.id
                && shares.served(entry.lane).lane <= least + WaitingLine.laneMargin
        }
    }
}
