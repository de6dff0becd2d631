package import Adapters
package import Catalog
internal import Foundation

/// A name and what is known of what it stands for.
package struct AdapterEntry: Sendable {
    package enum Tier: String, Sendable {
        case source, disk, host
    }

    package var alias: AliasRecord
    package var digest: AdapterDigest?
    package var record: AdapterRecord?
    package var tier = Tier.source
    package var leaseCount = 0
    /// Whether somebody took it out of RAM who wants it to stay out until it is asked for.
    package var isPutAside = false
    /// Whose request gave it its name; nil when an operator did.
    package var client: String? { alias.client }

    package var name: String { alias.name }

    /// How much it is used, as far as is known: its hits, which count half after each day without one.
    func popularity(at now: Double) -> Double {
        guard let record else { return 0 }
        return Double(record.hits) * exp2(-max(0, now - record.lastUse) / 86_400)
    }

    init(alias: AliasRecord, digest: AdapterDigest?) {
        self.alias = alias
        self.digest = digest
    }
}

/// Names and what is known of what they stand for, at one moment.
struct LibraryView: Sendable {
    let names: NameTable
    let adapters: [AdapterDigest: AdapterRecord]
    let host: HostTier
    let uses: [AdapterDigest: AdapterLibrary.Use]
    let putAside: Set<AdapterDigest>

    /// Does not know what is on the disk.
    func entry(_ name: String) -> AdapterEntry? {
        guard let known = names[name] else { return nil }
        var entry = AdapterEntry(alias: known.alias, digest: known.digest)
        guard let digest = known.digest else { return entry }
        entry.record = adapters[digest]
        if let use = uses[digest] { entry.record?.add(use) }
        if host.holds(digest) { entry.tier = .host }
        entry.leaseCount = host.leaseCount(of: digest)
        entry.isPutAside = putAside.contains(digest)
        return entry
    }
}

extension AdapterRecord {
    mutating func add(_ use: AdapterLibrary.Use) {
        hits += use.hits
        loads += use.loads
        lastUse = max(lastUse, use.lastUse)
    }
}
