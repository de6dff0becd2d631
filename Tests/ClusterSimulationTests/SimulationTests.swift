import ClusterSimulation
import Testing

/// What docs/benchmarks.md says of larger clusters, on small ones.
struct SimulationTests {
    static func scenario(_ traffic: Scenario.Traffic) -> Scenario {
        var scenario = Scenario()
        scenario.traffic = traffic
        scenario.adapterCount = 600
        scenario.seconds = 60
        scenario.warmUp = 24
        return scenario
    }

    @Test(arguments: Scenario.Traffic.allCases)
    func martletLoadsLessThanRulesWithoutMemory(traffic: Scenario.Traffic) {
        let scenario = Self.scenario(traffic)
        let martlet = Simulation.run(scenario, .martlet)
        let random = Simulation.run(scenario, .random)
        let least = Simulation.run(scenario, .leastLoaded)
        #expect(martlet.requestCount > 1000)
        #expect(martlet.loadsPerRequest * 2 <= min(random.loadsPerRequest, least.loadsPerRequest))
        #expect(martlet.wait(0.99) <= min(random.wait(0.99), least.wait(0.99)))
    }

    @Test func hotAdaptersDoNotQueueAtOneReplica() {
        let scenario = Self.scenario(.bursts)
        let martlet = Simulation.run(scenario, .martlet)
        let one = Simulation.run(scenario, .oneReplica)
        #expect(martlet.wait(0.99) * 2 <= one.wait(0.99))
    }

    @Test func theSameSeedGivesTheSame() {
        let scenario = Self.scenario(.moving)
        let (one, other) = (Simulation.run(scenario, .martlet), Simulation.run(scenario, .martlet))
        #expect(one.waits == other.waits && one.loadCount == other.loadCount)
    }
}
