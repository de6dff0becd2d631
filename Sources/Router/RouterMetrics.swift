internal import Metrics
internal import Synchronization

/// The router's metrics; names are documented in docs/operating/cluster.md.
struct RouterMetrics {
    private static let last = Mutex(RouterCounts())

    /// Counters grow by what happened since the last call.
    func record(_ counts: RouterCounts, _ demand: Demand) {
        let before = RouterMetrics.last.withLock { last in
            defer { last = counts }
            return last
        }
        func count(_ name: String, _ value: Int) {
            Counter(label: name).increment(by: Int64(max(0, value)))
        }
        count("martlet_router_picks_total", counts.picked - before.picked)
        count("martlet_router_loads_total", counts.loads - before.loads)
        count("martlet_router_held_total", counts.held - before.held)
        count("martlet_router_refused_total", counts.refused - before.refused)
        Gauge(label: "martlet_router_requests_held").record(demand.held)
        Gauge(label: "martlet_router_demand").record(demand.requests)
        Gauge(label: "martlet_router_hot_bytes").record(demand.hotByteCount)
        Gauge(label: "martlet_router_replicas_ready").record(demand.readyCount)
    }
}
