internal import Foundation
internal import HeapModule
internal import LoadGenerator
internal import Placement

/// Runs a scenario: the real pick and plan over replicas, clock and network that are none.
///
/// Routers hear from replicas every 0.1 s, 10 ms late; each decides on its own.
package struct Simulation {
    private enum Event {
        case arrival
        case received(place: Int, SimulatedReplica.Request)
        case loaded(place: Int, boot: Int, adapter: Int)
        case finished(place: Int, boot: Int, SimulatedReplica.Request)
        case report(place: Int)
        case heard(place: Int, ReplicaReport?)
        case replan
        case warm
        case death
        case rebirth
    }

    private struct Timed: Comparable {
        var time: Double
        var number: Int
        var event: Event

        static func == (a: Timed, b: Timed) -> Bool { a.number == b.number }
        static func < (a: Timed, b: Timed) -> Bool { (a.time, a.number) < (b.time, b.number) }
    }

    private let scenario: Scenario
    private let policy: RoutingPolicy
    private var generator: SeededGenerator
    private var events = Heap<Timed>()
    private var eventCount = 0
    private var now = 0.0
    private var replicas: [SimulatedReplica]
    private var routers: [ClusterView]
    /// By replica, what a plan wants there; the hottest first.
    private var warms: [[Int]]
    private var result = SimulationResult()
    private var loadsBefore = 0
    private var wastedBefore = 0
    private var dead: [Int] = []

    package init(_ scenario: Scenario, _ policy: RoutingPolicy) {
        self.scenario = scenario
        self.policy = policy
        generator = SeededGenerator(seed: scenario.seed)
        replicas = (0..<scenario.replicaCount).map { _ in SimulatedReplica(scenario) }
        warms = Array(repeating: [], count: scenario.replicaCount)
        var view = ClusterView()
        view.setReplicas((0..<scenario.replicaCount).map { Simulation.name($0) })
        routers = Array(repeating: view, count: scenario.routerCount)
    }

    private static func name(_ place: Int) -> String {
        let digits = "\(place)"
        return "replica-" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    package static func run(_ scenario: Scenario, _ policy: RoutingPolicy) -> SimulationResult {
        var simulation = Simulation(scenario, policy)
        return simulation.run()
    }

    private mutating func run() -> SimulationResult {
        for place in replicas.indices {
            after(0.0001 * Double(place % 1000), .report(place: place))
        }
        after(0.2, .arrival)
        after(2, .replan)
        after(0.25, .warm)
        if scenario.traffic == .loss {
            after((scenario.warmUp + scenario.seconds) / 2, .death)
        }
        var isCounting = false
        while let next = events.popMin(), next.time < scenario.seconds {
            now = next.time
            if !isCounting, now >= scenario.warmUp {
                isCounting = true
                loadsBefore = replicas.reduce(0) { $0 + $1.loadCount }
                wastedBefore = replicas.reduce(0) { $0 + $1.wastedCount }
            }
            handle(next.event)
        }
        result.loadCount = replicas.reduce(0) { $0 + $1.loadCount } - loadsBefore
        let wasted = replicas.reduce(0) { $0 + $1.wastedCount } - wastedBefore
        result.wastedByteCount = wasted * scenario.adapterByteCount
        result.waits.sort()
        return result
    }

    private mutating func after(_ seconds: Double, _ event: Event) {
        eventCount += 1
        events.insert(Timed(time: now + seconds, number: eventCount, event: event))
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .arrival: arrive()
        case .received(let place, let request):
            guard replicas[place].isUp else {
                result.failedCount += 1
                return
            }
            if now >= scenario.warmUp {
                result.requestCount += 1
                if replicas[place].holds(request.adapter) { result.hitCount += 1 }
            }
            perform(replicas[place].receive(request, at: now), at: place)
        case .loaded(let place, let boot, let adapter):
            guard replicas[place].boot == boot else { return }
            perform(replicas[place].loaded(adapter, at: now), at: place)
        case .finished(let place, let boot, let request):
            guard replicas[place].boot == boot else { return }
            perform(replicas[place].finished(request, at: now), at: place)
        case .report(let place): report(place)
        case .heard(let place, let report):
            for index in routers.indices {
                if let report {
                    routers[index].hear(report, from: place, at: now)
                } else {
                    routers[index].lose(place)
                }
            }
        case .replan: replan()
        case .warm: warm()
        case .death:
            dead = Array(0..<max(1, scenario.replicaCount / 10))
            for place in dead {
                result.failedCount += replicas[place].die()
                after(0.01, .heard(place: place, nil))
            }
            after(20, .rebirth)
        case .rebirth:
            for place in dead {
                replicas[place].comeBack()
                after(0, .report(place: place))
            }
        }
    }

    private mutating func perform(_ effects: [SimulatedReplica.Effect], at place: Int) {
        let boot = replicas[place].boot
        for effect in effects {
            switch effect {
            case .load(let adapter, let seconds):
                after(seconds, .loaded(place: place, boot: boot, adapter: adapter))
            case .begin(let request, let seconds):
                if request.arrival >= scenario.warmUp { result.waits.append(now - request.arrival) }
                after(seconds, .finished(place: place, boot: boot, request))
            }
        }
    }

    // MARK: Requests

    private var rate: Double {
        let full =
            scenario.load * Double(scenario.replicaCount * scenario.slots)
            / scenario.requestSeconds
        guard scenario.traffic == .diurnal else { return full }
        let share = now / scenario.seconds
        return full * max(0.1, abs(2 * share - 1))
    }

    private mutating func arrive() {
        let uniform = Double.random(in: 0..<1, using: &generator)
        after(-log(1 - uniform) / rate, .arrival)
        let adapter = drawAdapter()
        let work =
            -log(1 - Double.random(in: 0..<1, using: &generator))
            * scenario.requestSeconds
        let request = SimulatedReplica.Request(adapter: adapter, arrival: now, work: work)
        let clock = ContinuousClock.now
        let place = pick("\(adapter)")
        result.pickSeconds += (ContinuousClock.now - clock) / .seconds(1)
        guard let place else {
            result.failedCount += 1
            return
        }
        after(0.002, .received(place: place, request))
    }

    private mutating func drawAdapter() -> Int {
        let uniform = Double.random(in: 0..<1, using: &generator)
        let count = Double(scenario.adapterCount)
        var adapter = min(
            scenario.adapterCount - 1, Int(pow(uniform, 1 / scenario.alpha) * count))
        switch scenario.traffic {
        case .moving:
            adapter = (adapter + Int(now / 20) * scenario.adapterCount / 10) % scenario.adapterCount
        case .bursts where Int(now) % 30 >= 20:
            if Bool.random(using: &generator) {
                adapter = (Int(now) / 30 * 37 + scenario.adapterCount / 2) % scenario.adapterCount
            }
        default: break
        }
        return adapter
    }

    private mutating func pick(_ name: String) -> Int? {
        let router = Int.random(in: routers.indices, using: &generator)
        let target = ClusterView.Request(adapter: name)
        let view = routers[router]
        let place: Int?
        switch policy {
        case .martlet: place = view.pick(target, at: now)?.places.first
        case .random: place = view.usable(at: now).randomElement(using: &generator)
        case .leastLoaded: place = leastLoaded(view.usable(at: now), view)
        case .preferLoaded:
            let usable = view.usable(at: now)
            let tiers = view.adapter(name)?.tiers
            let loaded = usable.filter { place in (tiers?[place] ?? .source) >= .host }
            place = leastLoaded(loaded.isEmpty ? usable : loaded, view)
        case .oneReplica:
            let hash = Rendezvous(name)
            place = view.usable(at: now).max { a, b in
                hash.weight(on: Rendezvous(Simulation.name(a)))
                    < hash.weight(on: Rendezvous(Simulation.name(b)))
            }
        }
        if let place { routers[router].note(target, sentTo: place, at: now) }
        return place
    }

    /// Equals in any order.
    private mutating func leastLoaded(_ places: [Int], _ view: ClusterView) -> Int? {
        let counts = places.map { view.outstanding(at: $0) }
        guard let least = counts.min() else { return nil }
        return zip(places, counts).filter { $1 == least }.map(\.0)
            .randomElement(using: &generator)
    }

    // MARK: What routers do beside

    private mutating func report(_ place: Int) {
        guard replicas[place].isUp else { return }
        let isNew = routers[0].replicas[place]?.lastHeard == nil
        let report = replicas[place].report(isWhole: isNew, at: now)
        after(0.01, .heard(place: place, report))
        after(0.1, .report(place: place))
    }

    private mutating func replan() {
        after(2, .replan)
        guard policy == .martlet else { return }
        for place in warms.indices { warms[place] = [] }
        // The others would say the same.
        for index in routers.indices {
            let wanted = routers[index].replan(at: now)
            guard index == 0 else { continue }
            for prefetch in wanted {
                if let adapter = Int(prefetch.key) { warms[prefetch.place].append(adapter) }
            }
        }
    }

    /// A few loads a second for each replica.
    private mutating func warm() {
        after(0.25, .warm)
        for place in warms.indices where !warms[place].isEmpty {
            for _ in 0..<2 where !warms[place].isEmpty {
                let adapter = warms[place].removeFirst()
                if let effect = replicas[place].warm(adapter) { perform([effect], at: place) }
            }
        }
    }
}
