internal import Adapters
internal import Metrics

/// The library's metrics; names are documented in docs/operating/adapters.md.
struct LibraryMetrics: Sendable {
    /// Parts of the way up, and what is waited on it.
    enum Part: String, Sendable, CaseIterable {
        case fetch, pack, write, load, pause
    }

    private let hits = Counter(label: "martlet_adapter_hits_total")
    private let misses = Counter(label: "martlet_adapter_misses_total")
    private let evictions = Counter(label: "martlet_adapter_evictions_total")
    private let damaged = Counter(label: "martlet_adapter_packs_damaged_total")
    private let unstored = Counter(label: "martlet_adapter_packs_not_stored_total")
    private let waiters = Gauge(label: "martlet_adapter_requests_waiting")
    private let hostBytes = Gauge(label: "martlet_adapter_bytes_host")
    private let diskBytes = Gauge(label: "martlet_adapter_bytes_disk")
    private let hostCount = Gauge(label: "martlet_adapters_host")
    private let diskCount = Gauge(label: "martlet_adapters_disk")
    private let names = Gauge(label: "martlet_adapters")
    private let thrashing = Gauge(label: "martlet_adapter_thrashing")

    func count(_ decision: HostTier.Decision) {
        switch decision {
        case .resident, .join: hits.increment()
        case .load(let victims):
            misses.increment()
            evicted(victims.count)
        case .wait, .tooLarge: break
        }
    }

    private let parts = Dictionary(
        uniqueKeysWithValues: Part.allCases.map {
            ($0, Recorder(label: "martlet_adapter_\($0.rawValue)_seconds"))
        })

    func record(_ part: Part, seconds: Double) { parts[part]?.record(seconds) }

    func evicted(_ count: Int) { evictions.increment(by: count) }
    func waiting(_ count: Int) { waiters.record(count) }
    func quarantined() { damaged.increment() }
    func notStored() { unstored.increment() }

    func record(
        hostBytes: Int, hostCount: Int, diskBytes: Int, diskCount: Int, names: Int,
        thrashing: Double
    ) {
        self.hostBytes.record(hostBytes)
        self.hostCount.record(hostCount)
        self.diskBytes.record(diskBytes)
        self.diskCount.record(diskCount)
        self.names.record(names)
        self.thrashing.record(thrashing)
    }
}
