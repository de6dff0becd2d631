internal import Placement

/// A replica as far as routing sees it: slots, a queue, memory for some adapters of which the least
/// recently used go first, and loads that take their time.
struct SimulatedReplica {
    struct Request {
        var adapter: Int
        var arrival: Double
        var work: Double
    }

    enum Effect {
        /// An adapter is there after so many seconds.
        case load(adapter: Int, seconds: Double)
        /// A request began, and ends after so many seconds.
        case begin(Request, seconds: Double)
    }

    private struct Entry {
        var isLoaded = false
        var leases = 0
        var lastUse = 0
        var wasUsed = false
        var waiting: [Request] = []
    }

    let scenario: Scenario
    private(set) var boot = 1
    private(set) var isUp = true
    private var entries: [Int: Entry] = [:]
    private var onDisk: Set<Int> = []
    private var queue: [Request] = []
    private var queueStart = 0
    private(set) var runningCount = 0
    /// Requests whose adapter finds no room.
    private var blocked: [Request] = []
    private var useCount = 0
    private(set) var loadCount = 0
    private(set) var wastedCount = 0
    private var diskLoads = ReplicaReport.LoadCost()
    private var sourceLoads = ReplicaReport.LoadCost()
    private var finishedCount = 0
    private var finishedSeconds = 0.0
    /// What reports tell: how often each adapter was asked for and for how long, since the boot.
    private var tallies: [Int: (count: Int, seconds: Double, active: Int, time: Double)] = [:]
    private var changed: Set<Int> = []
    private var version = 0

    init(_ scenario: Scenario) { self.scenario = scenario }

    var waitingCount: Int {
        queue.count - queueStart + blocked.count
            + entries.values.reduce(0) { $0 + $1.waiting.count }
    }

    func holds(_ adapter: Int) -> Bool { entries[adapter]?.isLoaded == true }

    // MARK: Requests

    mutating func receive(_ request: Request, at now: Double) -> [Effect] {
        tally(request.adapter, by: 1, at: now)
        return admit(request, at: now)
    }

    private mutating func admit(_ request: Request, at now: Double) -> [Effect] {
        var effects: [Effect] = []
        if entries[request.adapter] == nil {
            guard makeRoom() else {
                blocked.append(request)
                return []
            }
            effects.append(beginLoad(of: request.adapter))
        }
        use(request.adapter)
        guard holds(request.adapter) else {
            entries[request.adapter]?.waiting.append(request)
            return effects
        }
        queue.append(request)
        return effects + start(at: now)
    }

    private mutating func use(_ adapter: Int) {
        useCount += 1
        entries[adapter]?.leases += 1
        entries[adapter]?.lastUse = useCount
        entries[adapter]?.wasUsed = true
    }

    /// Brings an adapter that nobody has asked for yet.
    mutating func warm(_ adapter: Int) -> Effect? {
        guard isUp, entries[adapter] == nil, makeRoom() else { return nil }
        return beginLoad(of: adapter)
    }

    private mutating func beginLoad(of adapter: Int) -> Effect {
        let seconds = onDisk.contains(adapter) ? scenario.diskSeconds : scenario.sourceSeconds
        if onDisk.insert(adapter).inserted {
            sourceLoads.count += 1
            sourceLoads.seconds += seconds
            sourceLoads.byteCount += scenario.adapterByteCount
        } else {
            diskLoads.count += 1
            diskLoads.seconds += seconds
            diskLoads.byteCount += scenario.adapterByteCount
        }
        loadCount += 1
        useCount += 1
        entries[adapter] = Entry(lastUse: useCount)
        return .load(adapter: adapter, seconds: seconds)
    }

    private mutating func makeRoom() -> Bool {
        guard entries.count >= scenario.roomPerReplica else { return true }
        let idle = entries.filter { $1.isLoaded && $1.leases == 0 }
        guard let victim = idle.min(by: { $0.value.lastUse < $1.value.lastUse }) else {
            return false
        }
        if !victim.value.wasUsed { wastedCount += 1 }
        entries[victim.key] = nil
        changed.insert(victim.key)
        return true
    }

    mutating func loaded(_ adapter: Int, at now: Double) -> [Effect] {
        guard let waiting = entries[adapter]?.waiting else { return [] }
        entries[adapter]?.isLoaded = true
        entries[adapter]?.waiting = []
        changed.insert(adapter)
        queue += waiting
        return start(at: now)
    }

    private mutating func start(at now: Double) -> [Effect] {
        var effects: [Effect] = []
        while runningCount < scenario.slots, queueStart < queue.count {
            let request = queue[queueStart]
            queueStart += 1
            runningCount += 1
            // Whoever shares a batch slows it down.
            let crowd = Double(runningCount) / Double(scenario.slots)
            effects.append(.begin(request, seconds: request.work * (1 + crowd)))
        }
        if queueStart > 1000 {
            queue.removeFirst(queueStart)
            queueStart = 0
        }
        return effects
    }

    mutating func finished(_ request: Request, at now: Double) -> [Effect] {
        runningCount -= 1
        finishedCount += 1
        finishedSeconds += now - request.arrival
        entries[request.adapter]?.leases -= 1
        tally(request.adapter, by: -1, at: now)
        var effects = start(at: now)
        let again = blocked
        blocked = []
        for request in again { effects += admit(request, at: now) }
        return effects
    }

    // MARK: Life and death

    /// - Returns: how many requests were lost.
    mutating func die() -> Int {
        let lost = runningCount + waitingCount
        let (boot, onDisk) = (boot + 1, onDisk)
        let (loads, wasted) = (loadCount, wastedCount)
        self = SimulatedReplica(scenario)
        self.boot = boot
        self.onDisk = onDisk
        (loadCount, wastedCount) = (loads, wasted)
        isUp = false
        return lost
    }

    mutating func comeBack() { isUp = true }

    // MARK: Reports

    private mutating func tally(_ adapter: Int, by count: Int, at now: Double) {
        var tally = tallies[adapter] ?? (0, 0, 0, now)
        tally.seconds += Double(tally.active) * (now - tally.time)
        tally.time = now
        tally.active += count
        if count > 0 { tally.count += 1 }
        tallies[adapter] = tally
        changed.insert(adapter)
    }

    /// - Parameter isWhole: all adapters, not those that changed since the last one.
    mutating func report(isWhole: Bool, at now: Double) -> ReplicaReport {
        var report = ReplicaReport()
        report.boot = "\(boot)"
        version += 1
        report.version = version
        report.slotCount = scenario.slots
        report.runningCount = runningCount
        report.waitingCount = waitingCount
        report.finishedCount = finishedCount
        report.finishedSeconds = finishedSeconds
        report.hostBudget = scenario.roomPerReplica * scenario.adapterByteCount
        report.hostByteCount = entries.count * scenario.adapterByteCount
        report.diskLoads = diskLoads
        report.sourceLoads = sourceLoads
        report.isWhole = isWhole
        let told = isWhole ? Set(entries.keys).union(onDisk) : changed
        report.adapters = told.sorted().map { adapter in
            var entry = ReplicaReport.Adapter()
            entry.digest = "\(adapter)"
            entry.names = ["\(adapter)"]
            entry.tier = holds(adapter) ? .host : onDisk.contains(adapter) ? .disk : .source
            entry.byteCount = scenario.adapterByteCount
            if let tally = tallies[adapter] {
                entry.requestCount = tally.count
                entry.busySeconds = tally.seconds + Double(tally.active) * (now - tally.time)
            }
            return entry
        }
        changed = Set(tallies.lazy.filter { $1.active > 0 }.map(\.key))
        return report
    }
}
