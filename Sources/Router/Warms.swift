internal import Synchronization

/// What replicas are to bring, a few adapters at a time each, and not at once again what failed.
final class Warms: Sendable {
    private struct State {
        /// By replica, the hottest first.
        var wanted: [String: [String]] = [:]
        var running: [String: Set<String>] = [:]
        var failed: [String: [String: ContinuousClock.Instant]] = [:]
    }

    private let limit: Int
    private let state = Mutex(State())
    private static let pause = Duration.seconds(10)

    /// - Parameter limit: loads that one replica is asked for at a time.
    init(limit: Int) { self.limit = limit }

    /// Takes a new list in place of the last.
    func want(_ list: [(replica: String, adapter: String)]) {
        state.withLock { state in
            state.wanted = Dictionary(grouping: list, by: \.replica)
                .mapValues { $0.map(\.adapter) }
            state.failed = state.failed.filter { state.wanted[$0.key] != nil }
        }
    }

    /// Replicas that should be asked for more.
    var replicas: [String] { state.withLock { Array($0.wanted.keys) } }

    /// The next adapter for a replica; `end` has to follow.
    func next(for replica: String) -> String? {
        let now = ContinuousClock.now
        return state.withLock { state in
            let running = state.running[replica] ?? []
            guard running.count < limit, var list = state.wanted[replica] else { return nil }
            let failed = state.failed[replica]?.filter { now - $0.value < Warms.pause } ?? [:]
            state.failed[replica] = failed.isEmpty ? nil : failed
            list.removeAll { running.contains($0) || failed[$0] != nil }
            guard !list.isEmpty else { return nil }
            let adapter = list.removeFirst()
            state.wanted[replica] = list
            state.running[replica, default: []].insert(adapter)
            return adapter
        }
    }

    func end(_ adapter: String, on replica: String, failed: Bool) {
        state.withLock { state in
            state.running[replica]?.remove(adapter)
            if state.running[replica]?.isEmpty == true { state.running[replica] = nil }
            if failed { state.failed[replica, default: [:]][adapter] = .now }
        }
    }
}
