/// Who waits for what, and so how long a request that comes now will wait for its first token.
///
/// What is ahead of it is by fair shares: of others' prompts no more than they get while its owner's are computed. Where seats are
/// taken, its owner's part of them becomes free at the rate at which requests have ended lately.
package struct QueueForecast: Sendable {
    private struct Load {
        var weight = 1.0
        var waiting = 0
        var running = 0
        /// Of requests that have no token yet.
        var promptTokens = 0
    }

    private struct Entry {
        let owner: String
        let promptCount: Int
        let arrival: Double
        var seat: Double?
        var isAnswering = false
    }

    private var loads: [String: Load] = [:]
    private var entries: [RequestID: Entry] = [:]
    /// Seconds that a request has a seat, averaged over as many requests as there are seats.
    private var stay = 0.0
    /// Of a prompt's tokens, those that are not found in the cache.
    private var computedShare = 1.0
    private let seats: Int

    package init(seats: Int) { self.seats = seats }

    package mutating func submit(
        _ id: RequestID, _ flow: Flow, promptCount: Int, at now: Double
    ) {
        entries[id] = Entry(owner: flow.owner, promptCount: promptCount, arrival: now)
        var load = loads[flow.owner] ?? Load()
        load.weight = flow.weight
        load.waiting += 1
        load.promptTokens += promptCount
        loads[flow.owner] = load
    }

    /// A request has a seat, not for the first time perhaps.
    package mutating func admit(_ id: RequestID, at now: Double) {
        guard let entry = entries[id], entry.seat == nil else { return }
        entries[id]?.seat = now
        loads[entry.owner]?.waiting -= 1
        loads[entry.owner]?.running += 1
    }

    /// Seconds that a request waited for its seat.
    package func queued(_ id: RequestID) -> Double {
        entries[id].flatMap { entry in entry.seat.map { $0 - entry.arrival } } ?? 0
    }

    /// A request has its first token.
    ///
    /// - Parameter foundCount: tokens of its prompt that were found in the cache.
    package mutating func answer(_ id: RequestID, foundCount: Int) {
        guard let entry = entries[id], !entry.isAnswering else { return }
        entries[id]?.isAnswering = true
        loads[entry.owner]?.promptTokens -= entry.promptCount
        let share =
            1 - Double(min(foundCount, entry.promptCount)) / Double(max(1, entry.promptCount))
        computedShare += (share - computedShare) / 16
    }

    /// A request is gone.
    ///
    /// - Parameter isWhole: whether it had all it asked for.
    package mutating func end(_ id: RequestID, at now: Double, isWhole: Bool) {
        guard let entry = entries.removeValue(forKey: id), var load = loads[entry.owner] else {
            return
        }
        if !entry.isAnswering { load.promptTokens -= entry.promptCount }
        if let seat = entry.seat {
            load.running -= 1
            let time = now - seat
            if isWhole {
                stay = stay == 0 ? time : stay + (time - stay) / Double(min(seats, 64))
            }
        } else {
            load.waiting -= 1
        }
        loads[entry.owner] = load.waiting + load.running > 0 ? load : nil
    }

    /// Seconds until the first token of a request that comes now, as far as that can be told.
    ///
    /// - Parameters:
    ///   - rate: tokens of prompts that are computed in a second; 0 when nobody knows yet.
    ///   - status: after the last step.
    package func wait(
        for flow: Flow, promptCount: Int, rate: Double, _ status: EngineStatus
    ) -> Double {
        let own = loads[flow.owner] ?? Load()
        let mine = Double(own.promptTokens + promptCount)
        var ahead = mine
        var (weights, waiting, running) = (flow.weight, 0, 0)
        for (owner, load) in loads {
            waiting += load.waiting
            running += load.running
            guard owner != flow.owner else { continue }
            weights += load.weight
            ahead += min(Double(load.promptTokens), mine * load.weight / flow.weight)
        }
        var seconds = rate > 0 ? ahead * computedShare / rate : 0
        // Whether seats, or blocks of the cache, are what requests wait for.
        let isFull = status.waitingCount > 0
        let available = Double(isFull ? max(1, status.runningCount) : seats)
        let part = available * flow.weight / weights
        if isFull || waiting + running >= seats, Double(own.waiting + own.running) + 1 > part {
            seconds += Double(own.waiting + 1) * stay / max(1, part)
        }
        return seconds
    }
}
