/// A replica's adapters with the version at which each changed last, so that whoever knows an earlier
/// version is told what has changed since.
///
/// A plain value. Complexity: telling is linear in what changed.
package struct ReplicaJournal: Sendable {
    private var adapters: [String: (value: ReplicaReport.Adapter, version: Int)] = [:]
    /// Changes in order; digests may repeat, and only the last counts.
    private var log: [(version: Int, digest: String)] = []
    /// Changes up to here are not in the log.
    private var floor = 0
    package private(set) var version = 0

    package init() {}

    package var digests: [String] { Array(adapters.keys) }

    /// Takes in what has changed.
    ///
    /// - Parameter gone: digests of those that the replica has no longer.
    package mutating func update(_ changed: [ReplicaReport.Adapter], gone: [String]) {
        for adapter in changed where adapters[adapter.digest]?.value != adapter {
            version += 1
            adapters[adapter.digest] = (adapter, version)
            log.append((version, adapter.digest))
        }
        for digest in gone where adapters.removeValue(forKey: digest) != nil {
            version += 1
            log.append((version, digest))
        }
        if log.count > 2 * adapters.count + ReplicaJournal.slack { shorten() }
    }

    /// Fills in a report's version and adapters: those that changed after `version`, or all when
    /// that is too long ago, or nil.
    package func fill(_ report: inout ReplicaReport, since known: Int?) {
        report.version = version
        guard let known, known >= floor, known <= version else {
            report.isWhole = true
            report.adapters = adapters.values.map(\.value).sorted { $0.digest < $1.digest }
            return
        }
        report.isWhole = false
        var seen: Set<String> = []
        for entry in log.reversed() {
            guard entry.version > known else { break }
            guard seen.insert(entry.digest).inserted else { continue }
            if let adapter = adapters[entry.digest]?.value {
                report.adapters.append(adapter)
            } else {
                report.removed.append(entry.digest)
            }
        }
    }

    /// Changes that are kept beside those of adapters that are there.
    private static let slack = 1000

    /// Keeps the last change of each adapter that is there, and some of the newest of others.
    private mutating func shorten() {
        let cut = log.count - ReplicaJournal.slack / 2
        let old = log[..<cut].filter { adapters[$0.digest]?.version == $0.version }
        floor = max(floor, log[..<cut].last { adapters[$0.digest] == nil }?.version ?? floor)
        log = old + log[cut...]
    }
}
