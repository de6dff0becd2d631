internal import Foundation
internal import Synchronization

/// Lets a few in at a time. Whoever has the fewest places is next, and nobody has more than a share of
/// them, so that one client's slow servers keep no other client waiting.
package final class FairGate: Sendable {
    private struct Waiter {
        let id: UUID
        let client: String
        let host: String
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var free: Int
        /// Places, by client and by client and host.
        var byClient: [String: Int] = [:]
        var byHost: [[String]: Int] = [:]
        var isClosed = false
        /// In the order that they came.
        var waiting: [Waiter] = []

        mutating func take(_ client: String, _ host: String) {
            free -= 1
            byClient[client, default: 0] += 1
            byHost[[client, host], default: 0] += 1
        }

        mutating func giveBack(_ client: String, _ host: String) {
            free += 1
            byClient[client] = byClient[client].flatMap { $0 > 1 ? $0 - 1 : nil }
            byHost[[client, host]] = byHost[[client, host]].flatMap { $0 > 1 ? $0 - 1 : nil }
        }
    }

    private let perClient: Int
    private let perHost: Int
    private let state: Mutex<State>

    /// - Parameters:
    ///   - perClient: places that one client has at most.
    ///   - perHost: those of them that are for one host.
    package init(places: Int, perClient: Int = .max, perHost: Int = .max) {
        self.perClient = perClient
        self.perHost = perHost
        state = Mutex(State(free: places))
    }

    /// Runs `body` as soon as there is a place.
    ///
    /// - Throws: `CancellationError` once the gate is closed or when the task is cancelled while it
    ///   waits, and what `body` throws.
    package func withPlace<Result>(
        client: String, host: String = "", _ body: () async throws -> Result
    ) async throws -> Result {
        let id = UUID()
        let isIn = await withTaskCancellationHandler {
            await place(id, client, host)
        } onCancel: {
            stopWaiting(id)
        }
        guard isIn else { throw CancellationError() }
        defer { leave(client, host) }
        return try await body()
    }

    /// Turns away everybody who waits, and who comes later.
    package func close() {
        let waiting = state.withLock { state in
            state.isClosed = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for waiter in waiting { waiter.continuation.resume(returning: false) }
    }

    package var waitingCount: Int { state.withLock { $0.waiting.count } }

    private func mayEnter(_ client: String, _ host: String, _ state: State) -> Bool {
        state.free > 0 && state.byClient[client, default: 0] < perClient
            && state.byHost[[client, host], default: 0] < perHost
    }

    private func place(_ id: UUID, _ client: String, _ host: String) async -> Bool {
        await withCheckedContinuation { continuation in
            let answer: Bool? = state.withLock { state in
                if state.isClosed || Task.isCancelled { return false }
                // Who waits although there are places cannot use them.
                if mayEnter(client, host, state) {
                    state.take(client, host)
                    return true
                }
                state.waiting.append(
                    Waiter(id: id, client: client, host: host, continuation: continuation))
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    private func leave(_ client: String, _ host: String) {
        let next: Waiter? = state.withLock { state in
            state.giveBack(client, host)
            let choice = state.waiting.indices
                .filter { mayEnter(state.waiting[$0].client, state.waiting[$0].host, state) }
                .min { a, b in
                    (state.byClient[state.waiting[a].client, default: 0], a)
                        < (state.byClient[state.waiting[b].client, default: 0], b)
                }
            guard let choice else { return nil }
            let waiter = state.waiting.remove(at: choice)
            state.take(waiter.client, waiter.host)
            return waiter
        }
        next?.continuation.resume(returning: true)
    }

    private func stopWaiting(_ id: UUID) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiting.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiting.remove(at: index)
        }
        waiter?.continuation.resume(returning: false)
    }
}
