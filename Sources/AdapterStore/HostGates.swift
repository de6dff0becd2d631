internal import Synchronization

/// A gate for each host that adapters are fetched from.
final class HostGates: Sendable {
    private struct State {
        var gates: [String: (gate: Gate, users: Int)] = [:]
        var isClosed = false
    }

    private let placesPerHost: Int
    private let state = Mutex(State())

    init(placesPerHost: Int) { self.placesPerHost = placesPerHost }

    /// Runs `body` with a place at the host's gate.
    ///
    /// - Throws: `CancellationError` once the gates are closed, and what `body` throws.
    func withPlace<Result>(_ host: String, _ body: () async throws -> Result) async throws -> Result
    {
        let gate = try state.withLock { state throws(CancellationError) in
            guard !state.isClosed else { throw CancellationError() }
            var entry = state.gates[host] ?? (Gate(places: placesPerHost), 0)
            entry.users += 1
            state.gates[host] = entry
            return entry.gate
        }
        defer {
            state.withLock { state in
                state.gates[host]?.users -= 1
                if state.gates[host]?.users == 0 { state.gates[host] = nil }
            }
        }
        try await gate.enter()
        defer { gate.leave() }
        return try await body()
    }

    /// Turns away everybody who waits, and who comes later.
    func close() {
        let gates = state.withLock { state in
            state.isClosed = true
            return state.gates.values.map(\.gate)
        }
        for gate in gates { gate.close() }
    }
}
