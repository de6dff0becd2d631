import Placement
import Router
import Synchronization
import Testing

final class Clock: Sendable {
    private let time = Mutex(0.0)
    var now: Double {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
}

struct RouterCoreTests {
    let clock = Clock()

    func core(_ change: (inout RouterCore.Limits) -> Void = { _ in }) -> RouterCore {
        var limits = RouterCore.Limits()
        change(&limits)
        let clock = clock
        let core = RouterCore(limits: limits, clock: { clock.now })
        core.setReplicas(["10.0.0.1:80"])
        return core
    }

    func request(_ model: String, tenant: String = "") -> RoutedRequest {
        var request = RoutedRequest()
        request.model = model
        request.tenant = tenant
        request.byteCount = 100
        return request
    }

    func report(slots: Int, running: Int = 0) -> ReplicaReport {
        var report = ReplicaReport()
        report.boot = "b"
        report.base = ["base"]
        report.slotCount = slots
        report.runningCount = running
        report.hostBudget = 1000
        return report
    }

    func waitUntil(_ condition: () -> Bool) async {
        for _ in 0..<5000 where !condition() { try? await Task.sleep(for: .milliseconds(1)) }
        #expect(condition())
    }

    @Test func heldRequestsGoSlotBySlot() async {
        let core = core()
        #expect(core.decideNow(request("a")) == nil)
        let waiting = (0..<5).map { number in
            let request = request("a\(number)")
            return Task { await core.hold(request) }
        }
        await waitUntil { core.demand.held == 5 }
        #expect(core.demand.isActive && core.demand.requests == 5)
        core.hear(report(slots: 2), from: "10.0.0.1:80")
        await waitUntil { core.demand.held == 3 }
        // Those that went take the slots until the replica says something else.
        clock.now += 1
        core.hear(report(slots: 2, running: 2), from: "10.0.0.1:80")
        #expect(core.demand.held == 3)
        core.hear(report(slots: 2, running: 1), from: "10.0.0.1:80")
        await waitUntil { core.demand.held == 2 }
        core.hear(report(slots: 9), from: "10.0.0.1:80")
        for task in waiting { #expect(await task.value == .send(["10.0.0.1:80"])) }
        #expect(core.counts.held == 5 && core.counts.refused == 0)
    }

    @Test func whoMayGoToOneReplicaWaitsForIt() async {
        let places = ["10.0.0.1:80", "10.0.0.2:80"]
        var rules = PlacementRules()
        rules.settle = 2
        let core = RouterCore(rules: rules, clock: { [clock] in clock.now })
        core.setReplicas(places)
        core.hear(report(slots: 1), from: places[0])
        clock.now = 3
        core.hear(report(slots: 8), from: places[1])
        let waiting = ["a", "b", "b"].map { name in
            var request = request(name)
            request.allowed = [places[1]]
            return Task { [request] in await core.hold(request) }
        }
        await waitUntil { core.demand.held == 3 }
        // Another replica has room, which is not theirs.
        core.hear(report(slots: 8), from: places[0])
        #expect(core.demand.held == 3 && core.counts.refused == 0)
        clock.now = 6
        core.release()
        for task in waiting { #expect(await task.value == .send([places[1]])) }
        #expect(core.demand.held == 0)
    }

    @Test func waitingIsBoundedAndEnds() async {
        let core = core {
            $0.room.count = 2
            $0.holdSeconds = 10
        }
        let tasks = (0..<2).map { _ in
            let request = request("a")
            return Task { await core.hold(request) }
        }
        await waitUntil { core.demand.held == 2 }
        guard case .refuse(let refusal) = await core.hold(request("a")) else {
            Issue.record("there is no room")
            return
        }
        #expect(refusal.status == 503 && refusal.retryAfter > 0 && refusal.code == "no_replica")
        clock.now = 11
        core.release()
        for task in tasks {
            guard case .refuse(let refusal) = await task.value else {
                Issue.record("nobody came")
                continue
            }
            #expect(refusal.status == 503)
        }
        #expect(core.demand.held == 0)
    }

    @Test func whoLeavesIsForgotten() async {
        let core = core()
        let request = request("a")
        let task = Task { await core.hold(request) }
        await waitUntil { core.demand.held == 1 }
        task.cancel()
        _ = await task.value
        #expect(core.demand.held == 0)
        let gone = Task { await core.hold(request) }
        gone.cancel()
        _ = await gone.value
        #expect(core.demand.held == 0)
    }

    @Test func somebodyIsToldAtOnceThatARequestWaits() async {
        let core = core()
        let counter = Counter()
        let stop = core.onHold { counter.add() }
        let request = request("a")
        let task = Task { await core.hold(request) }
        await waitUntil { counter.value == 1 }
        stop()
        let other = Task { await core.hold(request) }
        await waitUntil { core.demand.held == 2 }
        #expect(counter.value == 1)
        task.cancel()
        other.cancel()
    }

    @Test func aClusterIsActiveForAWhileAfterItsLastRequest() {
        let core = core { $0.idleSeconds = 60 }
        #expect(!core.demand.isActive)
        core.hear(report(slots: 4), from: "10.0.0.1:80")
        #expect(!core.demand.isActive)
        _ = core.decideNow(request("a"))
        #expect(core.demand.isActive)
        clock.now += 59
        #expect(core.demand.isActive)
        clock.now += 2
        #expect(!core.demand.isActive)
        core.setPeers(held: 3, lastRequest: 5)
        #expect(core.demand.isActive && core.demand.held == 3 && core.ownDemand.held == 0)
    }

    @Test func aReplicaOfAnotherBaseIsLeftOut() {
        let core = core()
        core.setReplicas(["10.0.0.1:80", "10.0.0.2:80"])
        #expect(core.hear(report(slots: 4), from: "10.0.0.1:80"))
        var other = report(slots: 4)
        other.base = ["another"]
        #expect(!core.hear(other, from: "10.0.0.2:80"))
        #expect(core.endpoints == ["10.0.0.1:80"])
        #expect(core.decideNow(request("another")) == .send(["10.0.0.1:80"]))
        core.lose("10.0.0.1:80")
        #expect(core.hear(other, from: "10.0.0.2:80"))
    }

    /// A stream that breaks and comes back: what the replica has is known again at once.
    @Test func aBrokenStreamIsMended() {
        let core = core()
        core.setReplicas(["10.0.0.1:80", "10.0.0.2:80"])
        var with = report(slots: 4)
        var adapter = ReplicaReport.Adapter()
        adapter.digest = "d"
        adapter.names = ["a"]
        adapter.tier = .host
        with.adapters = [adapter]
        for _ in 0..<2 {
            core.hear(with, from: "10.0.0.2:80")
            core.hear(report(slots: 4), from: "10.0.0.1:80")
            #expect(core.decideNow(request("a")) == .send(["10.0.0.2:80", "10.0.0.1:80"]))
            core.lose("10.0.0.2:80")
            #expect(core.decideNow(request("a")) == .send(["10.0.0.1:80"]))
            clock.now += 60
        }
    }

    @Test func aReplicaThatDrainsStaysWithTheGateway() {
        let core = core()
        core.hear(report(slots: 4), from: "10.0.0.1:80")
        var draining = report(slots: 4)
        draining.isDraining = true
        core.hear(draining, from: "10.0.0.1:80")
        #expect(core.decideNow(request("a")) == nil)
        #expect(core.endpoints == ["10.0.0.1:80"])
        core.lose("10.0.0.1:80")
        #expect(core.endpoints == [])
    }
}

final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}
