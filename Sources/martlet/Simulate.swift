import ArgumentParser
import ClusterSimulation
import Foundation

struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tries the router's decisions on clusters that do not exist.",
        subcommands: [Cluster.self])

    struct Cluster: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compares Martlet's routing with simpler rules on simulated replicas.",
            discussion: """
                The decisions are the router's own; replicas, clock and network are simulated. Loads per \
                request, waits and wasted bytes are counted after a warm-up.

                Example:
                  martlet simulate cluster --replicas 8 --replicas 100 --traffic moving
                """)

        @Option(help: "Replicas; may be repeated. (default: 8, 64)")
        var replicas: [Int] = []

        @Option(help: "Adapters.")
        var adapters = 10_000

        @Option(help: "steady, moving, bursts, diurnal or loss; may be repeated. (default: all)")
        var traffic: [Scenario.Traffic] = []

        @Option(
            help:
                "martlet, random, leastLoaded, preferLoaded or oneReplica; may be repeated. (default: all)"
        )
        var policy: [RoutingPolicy] = []

        @Option(help: "Popularity: adapters are drawn as floor(U^(1/alpha) · adapters).")
        var alpha = 0.5

        @Option(help: "The share of all slots that requests would fill if they did not wait.")
        var load = 0.35

        @Option(help: "Seconds of simulated time, a third of them warm-up.")
        var seconds = 90.0

        @Option(help: "What the random numbers begin with.")
        var seed: UInt64 = 1

        func validate() throws {
            guard replicas.allSatisfy({ (1...2000).contains($0) }),
                (1...100_000).contains(adapters)
            else {
                throw ValidationError("--replicas goes up to 2000, --adapters up to 100000.")
            }
            guard alpha > 0, alpha <= 10, load > 0, load <= 2, seconds >= 3, seconds <= 3600 else {
                throw ValidationError(
                    "--alpha is above 0 and up to 10, --load up to 2, --seconds from 3 to 3600.")
            }
        }

        func run() throws {
            var table = TextTable([
                "traffic", "replicas", "rule", "requests", "in memory", "loads/request",
                "wait p50", "p99", "wasted", "failed", "pick",
            ])
            for traffic in traffic.isEmpty ? Scenario.Traffic.allCases : traffic {
                for count in replicas.isEmpty ? [8, 64] : replicas {
                    for policy in policy.isEmpty ? RoutingPolicy.allCases : policy {
                        var scenario = Scenario()
                        scenario.traffic = traffic
                        scenario.replicaCount = count
                        scenario.adapterCount = adapters
                        scenario.alpha = alpha
                        scenario.load = load
                        scenario.seconds = seconds
                        scenario.warmUp = seconds / 3
                        scenario.seed = seed
                        let result = Simulation.run(scenario, policy)
                        table.add(row(scenario, policy, result))
                    }
                }
            }
            print(table.text)
        }

        private func row(
            _ scenario: Scenario, _ policy: RoutingPolicy, _ result: SimulationResult
        ) -> [String] {
            func milliseconds(_ seconds: Double) -> String {
                "\(Int((seconds * 1000).rounded())) ms"
            }
            let picks = Double(max(1, result.requestCount))
            return [
                scenario.traffic.rawValue, "\(scenario.replicaCount)", policy.rawValue,
                "\(result.requestCount)",
                "\((result.hitShare * 1000).rounded() / 10) %",
                "\((result.loadsPerRequest * 1000).rounded() / 1000)",
                milliseconds(result.wait(0.5)), milliseconds(result.wait(0.99)),
                ByteCount.text(result.wastedByteCount), "\(result.failedCount)",
                "\((result.pickSeconds / picks * 1e7).rounded() / 10) µs",
            ]
        }
    }
}

extension Scenario.Traffic: ExpressibleByArgument {}
extension RoutingPolicy: ExpressibleByArgument {}
