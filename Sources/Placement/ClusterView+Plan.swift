internal import Foundation

extension ClusterView {
    /// An adapter that a replica should bring into RAM before it is asked for.
    package struct Prefetch: Sendable, Equatable {
        package var place: Int
        package var key: String
    }

    /// Computes each adapter's heat from the replicas' counters, how many copies it deserves, and which
    /// replicas are to have them.
    ///
    /// Every router computes the same from the same counters. Heat is the number of requests for an
    /// adapter that are there at once; it deserves a copy for each `rules.targetUse` of it, at once
    /// when it grows, and after `rules.cooldown` when it falls. What all deserve is cut to what fits,
    /// the hottest first. Then each goes to its first replicas by rendezvous hashing that have room.
    ///
    /// - Parameter held: requests for each key that wait here for a replica.
    /// - Returns: what is to be brought, the hottest first.
    package mutating func replan(held: [String: Int] = [:], at now: Double) -> [Prefetch] {
        measureHeat(held, now)
        let members = replicas.indices.filter { isUp($0, at: now) }
        for index in adapters.indices {
            adapters[index].copies = deserved(index, of: members.count, now)
        }
        let known = adapters.lazy.map(\.byteCount).filter { $0 > 0 }
        typicalByteCount = known.isEmpty ? 0 : known.reduce(0, +) / known.count
        let hot = adapters.indices.filter { adapters[$0].copies > 0 }
            .sorted { isHotter(adapters[$0], adapters[$1]) }
        let fitting = fit(hot, on: members)
        assign(fitting, to: members)
        admitJoined(now)
        let missing = missing(hot)
        // Last: what is left of the adapters has other indices.
        forgetStrangers(now)
        return missing
    }

    // MARK: Heat

    private mutating func measureHeat(_ held: [String: Int], _ now: Double) {
        let passed = now - (lastReplan ?? now)
        lastReplan = now
        for key in held.keys { _ = index(of: key) }
        let weight = passed > 0 ? 1 - exp(-passed / rules.heatSeconds) : 0
        for index in adapters.indices {
            var seconds = 0.0
            for (place, busy) in adapters[index].busy {
                seconds += max(0, busy - (adapters[index].counted[place] ?? 0))
            }
            adapters[index].counted = adapters[index].busy
            guard passed > 0 else { continue }
            let load = seconds / passed + Double(held[adapters[index].key] ?? 0)
            adapters[index].heat += (load - adapters[index].heat) * weight
        }
    }

    private mutating func deserved(_ index: Int, of count: Int, _ now: Double) -> Int {
        let (heat, copies) = (adapters[index].heat, min(adapters[index].copies, count))
        // Nothing is lost by leaving the plan: who has it keeps it until it needs the room.
        guard heat >= ClusterView.coldest else {
            adapters[index].lowSince = nil
            return 0
        }
        let wanted = min(max(1, Int((heat / rules.targetUse).rounded(.up))), count)
        // A little less is not less.
        let isLow = wanted < copies && heat < rules.targetUse * rules.targetUse * Double(copies)
        guard isLow else {
            adapters[index].lowSince = nil
            return max(wanted, copies)
        }
        let since = adapters[index].lowSince ?? now
        adapters[index].lowSince = since
        return now - since >= rules.cooldown ? wanted : copies
    }

    /// About one short request in ten minutes.
    private static let coldest = 0.001

    private func isHotter(_ a: Adapter, _ b: Adapter) -> Bool {
        a.heat != b.heat ? a.heat > b.heat : a.key < b.key
    }

    // MARK: Room

    private func room(on place: Int) -> Int {
        Int(Double(replicas[place]?.report.hostBudget ?? 0) * rules.fill)
    }

    /// How many copies of each fit all replicas together: one of each first, then more where a copy has
    /// the most to do.
    private func fit(_ hot: [Int], on members: [Int]) -> [(index: Int, copies: Int)] {
        var left = members.reduce(0) { $0 + room(on: $1) }
        var copies: [Int: Int] = [:]
        for index in hot where byteCount(of: adapters[index]) <= left {
            copies[index] = 1
            left -= byteCount(of: adapters[index])
        }
        var more: [(use: Double, index: Int)] = []
        for index in hot where copies[index] != nil && adapters[index].copies > 1 {
            let held = members.count { adapters[index].tiers[$0] >= .host }
            for number in 2...adapters[index].copies {
                // What is there stays, unless another one needs it much more.
                let bonus = number <= held ? ClusterView.keep : 1
                more.append((bonus * adapters[index].heat / Double(number), index))
            }
        }
        more.sort {
            $0.use != $1.use ? $0.use > $1.use : adapters[$0.index].key < adapters[$1.index].key
        }
        for (_, index) in more where byteCount(of: adapters[index]) <= left {
            copies[index, default: 0] += 1
            left -= byteCount(of: adapters[index])
        }
        return hot.compactMap { index in copies[index].map { (index, $0) } }
    }

    /// How much hotter a copy must be to take the place of one that is there.
    private static let keep = 2.0

    /// First copies choose first, then second ones, and so on, each in the order of names: heat that
    /// comes and goes moves no copy but the last ones. Those stay where the adapter is already: replicas
    /// tell all routers the same.
    private mutating func assign(_ fitting: [(index: Int, copies: Int)], to members: [Int]) {
        var left: [Int: Int] = [:]
        for place in members { left[place] = room(on: place) }
        for index in adapters.indices { adapters[index].plan = [] }
        let order = fitting.sorted { adapters[$0.index].key < adapters[$1.index].key }
        for level in 0..<(fitting.map(\.copies).max() ?? 0) {
            for (index, copies) in order where level < copies {
                let adapter = adapters[index]
                let bytes = byteCount(of: adapter)
                let choice = members.lazy
                    .filter { left[$0, default: 0] >= bytes && !adapter.plan.contains($0) }
                    .max { rank(of: $0, for: adapter, level) < rank(of: $1, for: adapter, level) }
                guard let choice else { continue }
                left[choice, default: 0] -= bytes
                adapters[index].plan.append(choice)
            }
        }
    }

    private func rank(of place: Int, for adapter: Adapter, _ level: Int) -> (Int, UInt64) {
        let isThere = level > 0 && adapter.tiers[place] >= .host
        return (isThere ? 1 : 0, weight(adapter.hash, on: place))
    }

    /// Of one that no replica has told: as large as others are.
    private func byteCount(of adapter: Adapter) -> Int {
        adapter.byteCount > 0 ? adapter.byteCount : typicalByteCount
    }

    // MARK: What to bring

    private mutating func admitJoined(_ now: Double) {
        var lacking: Set<Int> = []
        for adapter in adapters {
            for place in adapter.plan where adapter.tiers[place] < .host { lacking.insert(place) }
        }
        for place in replicas.indices where replicas[place]?.joiningUntil != nil {
            if !lacking.contains(place) || now >= replicas[place]?.joiningUntil ?? now {
                replicas[place]?.joiningUntil = nil
            }
        }
    }

    /// What a request would bring anyway is brought ahead where that is worth it: second copies and
    /// more, all of a replica that joins, and what is hot and nowhere in memory.
    private func missing(_ hot: [Int]) -> [Prefetch] {
        hot.flatMap { index in
            let adapter = adapters[index]
            let isHeld = adapter.tiers.contains { $0 >= .host }
            return adapter.plan.enumerated().filter { level, place in
                guard adapter.tiers[place] < .host else { return false }
                return level > 0 || replicas[place]?.joiningUntil != nil
                    || !isHeld && adapter.heat >= ClusterView.warm
            }.map { Prefetch(place: $1, key: adapter.key) }
        }
    }

    /// About one request every two of its own durations.
    private static let warm = 0.5

    // MARK: Names

    /// Forgets adapters that no replica has and nobody asks for: names come from requests.
    private mutating func forgetStrangers(_ now: Double) {
        let isKnown = adapters.map { adapter in
            adapter.heat >= ClusterView.coldest || adapter.tiers.contains { $0 > .source }
                || adapter.loads.values.contains { !isOver($0, now) }
        }
        strangerCount = isKnown.count { !$0 }
        guard strangerCount > ClusterView.strangers / 2 else { return }
        strangerCount = 0
        var moved: [Int: Int] = [:]
        for index in adapters.indices where isKnown[index] { moved[index] = moved.count }
        adapters = adapters.indices.filter { isKnown[$0] }.map { adapters[$0] }
        indices = Dictionary(uniqueKeysWithValues: adapters.enumerated().map { ($1.key, $0) })
        keys = keys.filter { indices[$1] != nil }
        digests = digests.map { $0.compactMapValues { moved[$0] } }
    }

    /// Adapters that no replica has, which requests may make known here.
    static let strangers = 10_000
}
