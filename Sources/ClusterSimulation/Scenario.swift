/// A cluster and what is asked of it.
package struct Scenario: Sendable {
    package enum Traffic: String, Sendable, CaseIterable {
        /// The same popularity and rate all the time.
        case steady
        /// Popularity moves on by a tenth of the adapters every 20 seconds.
        case moving
        /// For 10 of every 30 seconds, half of all requests are for one adapter, another one each time.
        case bursts
        /// The rate falls to a tenth and comes back, once in the run.
        case diurnal
        /// A tenth of the replicas, at least one, dies in the middle and is back after 20 seconds.
        case loss
    }

    package var replicaCount = 8
    package var adapterCount = 10_000
    package var traffic = Traffic.steady
    /// Adapters are drawn as floor(U^(1/alpha) · count): the smaller, the fewer get most requests.
    package var alpha = 0.5
    /// The share of all slots that requests would fill if none of them waited or shared a batch.
    package var load = 0.35
    package var seconds = 90.0
    /// Before which nothing is counted.
    package var warmUp = 30.0
    package var slots = 16
    /// Adapters that a replica's memory holds; nil for a quarter more than its share of all.
    package var room: Int?
    package var requestSeconds = 0.5
    package var diskSeconds = 0.02
    package var sourceSeconds = 0.8
    package var adapterByteCount = 20_000_000
    package var routerCount = 2
    package var seed: UInt64 = 1

    package init() {}

    package var roomPerReplica: Int {
        room ?? max(8, adapterCount * 5 / 4 / max(replicaCount, 1))
    }
}

/// How requests are sent to replicas.
package enum RoutingPolicy: String, Sendable, CaseIterable {
    /// Martlet's own pick and plan.
    case martlet
    case random
    /// Where fewest requests are.
    case leastLoaded
    /// Where the adapter is loaded, there where fewest requests are: llm-d's rule.
    case preferLoaded
    /// One replica for each adapter, by rendezvous hashing.
    case oneReplica
}

/// What came of it.
package struct SimulationResult: Sendable {
    package var requestCount = 0
    package var loadCount = 0
    /// Requests that found their adapter in memory.
    package var hitCount = 0
    /// Of loads whose adapter went before anybody used it, and of second loads of the same on one replica.
    package var wastedByteCount = 0
    package var failedCount = 0
    /// Seconds from a request's arrival until it begins, in order.
    package var waits: [Double] = []
    /// Seconds that picking took, in all.
    package var pickSeconds = 0.0

    package init() {}

    package var loadsPerRequest: Double { Double(loadCount) / Double(max(1, requestCount)) }
    package var hitShare: Double { Double(hitCount) / Double(max(1, requestCount)) }

    package func wait(_ share: Double) -> Double {
        waits.isEmpty ? 0 : waits[min(waits.count - 1, Int(Double(waits.count) * share))]
    }
}
