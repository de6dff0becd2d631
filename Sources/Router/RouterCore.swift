internal import Foundation
package import Placement
internal import Synchronization

/// The router's state and its decisions, behind one lock. Nothing here waits for a replica: what is
/// known decides, and what has to be held waits for what replicas say next.
///
/// Safe to call from any task.
package final class RouterCore: Sendable {
    package struct Limits: Sendable {
        package var room = WaitingRoom.Limits()
        /// Seconds that a request is held while no replica can answer.
        package var holdSeconds = 120.0
        /// Seconds without a request after which no replica is needed.
        package var idleSeconds = 300.0

        package init() {}
    }

    fileprivate struct State {
        var view: ClusterView
        var room: WaitingRoom
        var waiters: [WaitingRoom.ID: Waiter] = [:]
        var counts = RouterCounts()
        /// When the last request came; nil before the first.
        var lastRequest: Double?
        /// Requests that other routers hold.
        var peersHeld = 0
        var peersLastRequest: Double?
    }

    fileprivate struct Waiter {
        var request: RoutedRequest
        var continuation: CheckedContinuation<RoutingDecision, Never>
    }

    package let limits: Limits
    /// Tells routers apart.
    let id = UUID().uuidString
    private let state: Mutex<State>
    private let clock: @Sendable () -> Double
    /// To be told when somebody begins to wait for a replica.
    private let listeners = Mutex<[UUID: @Sendable () -> Void]>([:])

    /// - Parameter clock: seconds that only grow.
    package init(
        rules: PlacementRules = PlacementRules(), limits: Limits = Limits(),
        clock: (@Sendable () -> Double)? = nil
    ) {
        self.limits = limits
        let start = ContinuousClock.now
        self.clock = clock ?? { (ContinuousClock.now - start) / .seconds(1) }
        state = Mutex(
            State(view: ClusterView(rules: rules), room: WaitingRoom(limits: limits.room)))
    }

    // MARK: Requests

    /// Decides at once, if a replica can answer.
    package func decideNow(_ request: RoutedRequest) -> RoutingDecision? {
        let now = clock()
        return state.withLock { state in
            state.lastRequest = now
            return state.decide(request, at: now)
        }
    }

    /// Waits until a replica can answer, as long as there is room to wait and time.
    ///
    /// Returns early when the task is cancelled, whose client has left.
    package func hold(_ request: RoutedRequest) async -> RoutingDecision {
        let now = clock()
        let id = Mutex<WaitingRoom.ID?>(nil)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let decision: RoutingDecision? = state.withLock { state in
                    // A replica may have come since.
                    if let decision = state.decide(request, at: now) { return decision }
                    let guest = WaitingRoom.Guest(
                        tenant: request.tenant, key: state.key(of: request),
                        byteCount: request.byteCount, deadline: now + limits.holdSeconds)
                    guard !Task.isCancelled, let number = state.room.admit(guest) else {
                        state.counts.refused += 1
                        return .noReplica("Too many requests wait for one already.")
                    }
                    state.counts.held += 1
                    state.waiters[number] = Waiter(request: request, continuation: continuation)
                    id.withLock { $0 = number }
                    return nil
                }
                if let decision { return continuation.resume(returning: decision) }
                // It may have been cancelled before anybody knew what to forget.
                if Task.isCancelled, let number = id.withLock({ $0 }) { leave(number) }
                for listener in listeners.withLock({ Array($0.values) }) { listener() }
            }
        } onCancel: {
            guard let number = id.withLock({ $0 }) else { return }
            leave(number)
        }
    }

    private func leave(_ id: WaitingRoom.ID) {
        let waiter = state.withLock { state in
            state.room.leave(id)
            return state.waiters.removeValue(forKey: id)
        }
        waiter?.continuation.resume(returning: .noReplica("The client has left."))
    }

    /// Lets requests go whose replica has come, and tells those whose time is over.
    package func release() {
        let now = clock()
        let ready = state.withLock { state in state.release(at: now) }
        for (waiter, decision) in ready { waiter.continuation.resume(returning: decision) }
    }

    // MARK: Replicas

    /// What discovery found.
    package func setReplicas(_ names: [String]) { state.withLock { $0.view.setReplicas(names) } }

    /// Takes in what a replica says.
    ///
    /// - Returns: false when it serves another base than the other replicas; it is left out then.
    @discardableResult
    package func hear(_ report: ReplicaReport, from name: String) -> Bool {
        let now = clock()
        let isTaken = state.withLock { state in
            guard let place = state.view.place(of: name) else { return true }
            guard state.view.servesTheSame(report, as: place, at: now) else {
                state.view.lose(place)
                return false
            }
            state.view.hear(report, from: place, at: now)
            return true
        }
        release()
        return isTaken
    }

    package func lose(_ name: String) {
        state.withLock { state in
            if let place = state.view.place(of: name) { state.view.lose(place) }
        }
    }

    /// Computes heat and the plan anew.
    ///
    /// - Returns: what replicas should bring, the hottest first.
    package func replan() -> [(replica: String, adapter: String)] {
        let now = clock()
        return state.withLock { state in
            let held = state.room.countByKey.filter { !$0.key.isEmpty }
            return state.view.replan(held: held, at: now).compactMap { prefetch in
                state.view.replicas[prefetch.place].map { ($0.name, prefetch.key) }
            }
        }
    }

    /// Replicas that answer, for Envoy.
    package var endpoints: [String] {
        let now = clock()
        return state.withLock { state in
            state.view.replicas.indices.filter { state.view.isThere($0, at: now) }
                .compactMap { state.view.replicas[$0]?.name }.sorted()
        }
    }

    // MARK: Demand

    /// What other routers hold, and when they last had a request, in seconds ago.
    package func setPeers(held: Int, lastRequest: Double?) {
        let now = clock()
        state.withLock { state in
            state.peersHeld = held
            state.peersLastRequest = lastRequest.map { now - $0 }
        }
    }

    package var demand: Demand {
        let now = clock()
        return state.withLock { $0.demand(at: now, idleSeconds: limits.idleSeconds) }
    }

    /// Without what other routers hold.
    package var ownDemand: Demand {
        let now = clock()
        return state.withLock { state in
            var demand = state.demand(at: now, idleSeconds: limits.idleSeconds)
            demand.held = state.room.count
            return demand
        }
    }

    /// Goes through a decision, without sending anybody anywhere.
    package func probe() {
        let now = clock()
        _ = state.withLock { $0.view.pick(ClusterView.Request(adapter: "martlet"), at: now) }
    }

    package var counts: RouterCounts { state.withLock { $0.counts } }

    /// A copy of what is known, and the time.
    package var view: (view: ClusterView, now: Double) {
        let now = clock()
        return (state.withLock { $0.view }, now)
    }

    /// Calls back when somebody begins to wait, until `stop` is called.
    ///
    /// - Returns: `stop`.
    package func onHold(_ action: @escaping @Sendable () -> Void) -> @Sendable () -> Void {
        let id = UUID()
        listeners.withLock { $0[id] = action }
        return { [self] in listeners.withLock { $0[id] = nil } }
    }
}

/// What a router has done since it began.
package struct RouterCounts: Sendable, Equatable {
    package var picked = 0
    package var held = 0
    package var refused = 0
    /// Picks that set off a load.
    package var loads = 0

    package init() {}
}

/// What tells an autoscaler how many replicas are needed.
package struct Demand: Sendable, Equatable {
    /// Requests that run and wait on replicas, and that routers hold.
    package var requests = 0
    package var held = 0
    /// Requests that one replica can run at once, if any has said so.
    package var slotsPerReplica: Int?
    /// Of adapters that are asked for, each as often as it deserves copies.
    package var hotByteCount = 0
    /// Memory for adapters of one replica, if any has said so.
    package var budgetPerReplica: Int?
    /// Whether any replica is needed.
    package var isActive = false
    /// Seconds since the last request here.
    package var lastRequest: Double?
    package var readyCount = 0

    package init() {}
}

extension RouterCore.State {
    fileprivate func key(of request: RoutedRequest) -> String {
        guard let model = request.model, !view.isBase(model) else { return "" }
        return view.key(of: model)
    }

    private func target(of request: RoutedRequest) -> ClusterView.Request {
        var target = ClusterView.Request(
            adapter: request.model.flatMap { view.isBase($0) ? nil : $0 })
        target.prefix = request.prefix
        target.allowed = request.allowed
        return target
    }

    /// - Returns: nil when the request has to wait.
    fileprivate mutating func decide(
        _ request: RoutedRequest, at now: Double
    ) -> RoutingDecision? {
        let target = target(of: request)
        guard let pick = view.pick(target, at: now) else {
            guard let allowed = request.allowed, !view.usable(at: now).isEmpty else { return nil }
            // One that has just come may be used in a moment.
            return view.isComing(allowed, at: now) ? nil : .nobodyAllowed
        }
        counts.picked += 1
        if view.note(target, sentTo: pick.places[0], at: now) { counts.loads += 1 }
        return .send(pick.places.compactMap { view.replicas[$0]?.name })
    }

    fileprivate mutating func release(
        at now: Double
    ) -> [(RouterCore.Waiter, RoutingDecision)] {
        var ready: [(RouterCore.Waiter, RoutingDecision)] = []
        // Every report of a replica comes by here.
        guard room.count > 0 else { return ready }
        var places = view.freeSlots(at: now)
        // The replicas that a request may go to are not always those that have room.
        var staying: [(WaitingRoom.ID, WaitingRoom.Guest)] = []
        while places > 0, let (id, guest) = room.next() {
            guard let waiter = waiters[id] else { continue }
            guard let decision = decide(waiter.request, at: now) else {
                staying.append((id, guest))
                continue
            }
            waiters[id] = nil
            if case .send = decision { places -= 1 }
            ready.append((waiter, decision))
        }
        for (id, guest) in staying.reversed() { room.restore(id, guest) }
        for id in room.expire(at: now) {
            guard let waiter = waiters.removeValue(forKey: id) else { continue }
            counts.refused += 1
            ready.append((waiter, .noReplica("None came in time.")))
        }
        return ready
    }

    fileprivate func demand(at now: Double, idleSeconds: Double) -> Demand {
        var demand = view.demand(at: now)
        demand.held = room.count + peersHeld
        demand.requests += demand.held
        demand.lastRequest = lastRequest.map { now - $0 }
        let last = max(lastRequest ?? -.infinity, peersLastRequest ?? -.infinity)
        demand.isActive = demand.requests > 0 || now - last < idleSeconds
        return demand
    }
}

extension ClusterView {
    fileprivate func demand(at now: Double) -> Demand {
        var demand = Demand()
        for (place, replica) in replicas.enumerated() {
            guard let replica, isThere(place, at: now) else { continue }
            demand.requests += replica.report.runningCount + replica.report.waitingCount
            demand.slotsPerReplica = max(demand.slotsPerReplica ?? 0, replica.report.slotCount)
            demand.budgetPerReplica = max(demand.budgetPerReplica ?? 0, replica.report.hostBudget)
            if isUp(place, at: now) { demand.readyCount += 1 }
        }
        for adapter in adapters where adapter.copies > 0 {
            // Of hundreds of thousands of adapters on thousands of replicas.
            let bytes = adapter.byteCount.multipliedReportingOverflow(by: adapter.copies)
            let sum = demand.hotByteCount.addingReportingOverflow(bytes.partialValue)
            demand.hotByteCount = bytes.overflow || sum.overflow ? .max : sum.partialValue
        }
        return demand
    }
}
