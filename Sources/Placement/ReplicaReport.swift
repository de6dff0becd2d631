/// What a replica says of itself: `GET /admin/state`, whole or as what has changed.
///
/// Counters only grow while the boot is the same, so whoever misses messages, or comes later, computes
/// the same rates as everybody else.
package struct ReplicaReport: Sendable, Equatable {
    /// One adapter that the replica has on the device, in RAM or on its disk.
    package struct Adapter: Sendable, Equatable {
        package var digest = ""
        /// Names that stand for it there, in order.
        package var names: [String] = []
        package var tier = AdapterTier.disk
        package var byteCount = 0
        package var rank = 0
        /// Requests for it.
        package var requestCount = 0
        /// Tokens of their prompts and answers.
        package var tokenCount = 0
        /// Requests by the tier where they found it, `AdapterTier.rawValue` the index.
        package var hits = [0, 0, 0, 0]
        /// Seconds that bringing it into RAM took, in all.
        package var loadSeconds = 0.0
        /// Seconds of its requests, queue and computing, in all: their rate is how many are there at once.
        package var busySeconds = 0.0

        package init() {}
    }

    /// What it took to bring adapters into RAM.
    package struct LoadCost: Sendable, Equatable {
        package var count = 0
        package var seconds = 0.0
        package var byteCount = 0

        package init() {}
    }

    /// Changes with every start of the process.
    package var boot = ""
    /// Grows with every change, within a boot.
    package var version = 0
    /// Martlet's.
    package var release = ""
    /// Names of the base, its own first.
    package var base: [String] = []
    package var isDraining = false
    /// Requests that may run at once.
    package var slotCount = 0
    package var runningCount = 0
    package var waitingCount = 0
    /// Tokens of waiting and running requests' prompts that nobody has computed.
    package var waitingTokenCount = 0
    /// The share of the key/value cache that is in use, 0 to 1.
    package var cacheUse = 0.0
    /// Tokens a second, as measured in steps that had such; 0 until there were some.
    package var prefillRate = 0.0
    package var decodeRate = 0.0
    /// Requests that ended, and their seconds, queue and computing.
    package var finishedCount = 0
    package var finishedSeconds = 0.0
    package var hostByteCount = 0
    package var hostBudget = 0
    /// By the tier that they were brought from.
    package var diskLoads = LoadCost()
    package var sourceLoads = LoadCost()
    /// Whether `adapters` are all; otherwise those that changed.
    package var isWhole = true
    package var adapters: [Adapter] = []
    /// Digests of those that the replica has no longer.
    package var removed: [String] = []

    package init() {}
}
