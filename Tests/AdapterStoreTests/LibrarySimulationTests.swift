import Foundation
import TestSupport
import Testing

/// Requests, changes, faults and kills in any order, on tiers that hold a third of the adapters: names
/// stand for what they must, no byte is counted wrongly, and every completion is the one that its
/// adapter has alone.
struct LibrarySimulationTests {
    /// `MARTLET_SIMULATION_SEED=N` replays one.
    static let seeds: [UInt64] = {
        let seed = ProcessInfo.processInfo.environment["MARTLET_SIMULATION_SEED"]
        return seed.flatMap { UInt64($0) }.map { [$0] } ?? Array(0..<12)
    }()

    @Test(arguments: seeds)
    func nothingIsMixedUpOrLost(seed: UInt64) async throws {
        let shelf = RemoteShelf()
        let script: ScriptedServer.Script = { shelf.reply(to: $0) }
        try await ScriptedServer.run(script) { server in
            let simulation = try LibrarySimulation(seed: seed, shelf: shelf, port: server.port)
            do {
                try await simulation.run(eventCount: 100)
            } catch {
                let last = simulation.trail.suffix(12).joined(separator: "\n")
                Issue.record("seed \(seed): \(error)\nafter\n\(last)")
            }
        }
    }

    /// The simulation sees which adapter a completion is of.
    @Test func completionsTellAdaptersApart() throws {
        let fixture = try LibraryFixture(
            adapterCount: LibrarySimulation.adapterCount, equalSizes: false)
        for prompt in Reference.prompts.indices {
            let completions = try fixture.adapters.map {
                try Reference.completion(of: $0, prompt: prompt, on: fixture.engine)
            }
            #expect(Set(completions).count == fixture.adapters.count)
        }
    }
}
