import AdapterStore
import Synchronization
import Testing

/// Who is let in, and when.
struct FairGateTests {
    /// What stays inside until it is let out.
    private final class Visits: Sendable {
        private let names = Mutex<[String]>([])
        private let leaving = Mutex<Set<String>>([])

        var inside: [String] { names.withLock { $0 } }

        func letOut(_ name: String) { leaving.withLock { _ = $0.insert(name) } }

        func visit(_ name: String) async throws {
            names.withLock { $0.append(name) }
            try await until("it may leave") { leaving.withLock { $0.contains(name) } }
        }
    }

    private let visits = Visits()

    private func enter(
        _ gate: FairGate, _ name: String, client: String, host: String = ""
    ) -> Task<Void, any Error> {
        Task { [visits] in
            try await gate.withPlace(client: client, host: host) { try await visits.visit(name) }
        }
    }

    @Test func aClientsSlowHostKeepsNobodyElseOut() async throws {
        let gate = FairGate(places: 4, perClient: 3, perHost: 2)
        var tasks: [Task<Void, any Error>] = []
        for name in ["a1", "a2", "a3"] {
            tasks.append(enter(gate, name, client: "a", host: "slow"))
            try await until("it is in, or waits") {
                visits.inside.contains(name) || name == "a3" && gate.waitingCount == 1
            }
        }
        // Another host's place is the same client's third and last.
        tasks.append(enter(gate, "a4", client: "a", host: "other"))
        try await until("it is in") { visits.inside == ["a1", "a2", "a4"] }
        tasks.append(enter(gate, "a5", client: "a", host: "third"))
        try await until("it waits") { gate.waitingCount == 2 }
        tasks.append(enter(gate, "b1", client: "b", host: "slow"))
        try await until("it is in") { visits.inside == ["a1", "a2", "a4", "b1"] }
        visits.letOut("a1")
        try await until("the next one is in") { visits.inside.contains("a3") }
        #expect(!visits.inside.contains("a5"))
        for name in ["a2", "a3", "a4", "a5", "b1"] { visits.letOut(name) }
        for task in tasks { try await task.value }
    }

    @Test func whoHasFewestPlacesIsNext() async throws {
        let gate = FairGate(places: 2)
        var tasks: [Task<Void, any Error>] = []
        for name in ["a1", "a2"] {
            tasks.append(enter(gate, name, client: "a"))
            try await until("it is in") { visits.inside.contains(name) }
        }
        var waiting = [enter(gate, "a3", client: "a")]
        try await until("it waits") { gate.waitingCount == 1 }
        waiting.append(enter(gate, "b1", client: "b"))
        try await until("it waits too") { gate.waitingCount == 2 }
        visits.letOut("a1")
        try await until("it is in") { visits.inside.count == 3 }
        #expect(visits.inside.last == "b1")
        for name in ["a2", "a3", "b1"] { visits.letOut(name) }
        for task in tasks + waiting { try await task.value }
    }

    @Test func whoIsCancelledOrTurnedAwayHasNoPlace() async throws {
        let gate = FairGate(places: 1)
        let first = enter(gate, "a", client: "")
        try await until("it is in") { visits.inside == ["a"] }
        let second = enter(gate, "b", client: "")
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        let third = enter(gate, "c", client: "")
        try await until("it waits") { gate.waitingCount == 1 }
        gate.close()
        await #expect(throws: CancellationError.self) { try await third.value }
        visits.letOut("a")
        try await first.value
        #expect(visits.inside == ["a"])
    }
}
