/// A name and what it stands for.
package struct AliasRecord: Hashable, Sendable {
    package var name: String
    /// Canonical text of the source.
    package var source: String
    /// Of the source, when the digest was found; empty before.
    package var revision: String
    /// Nil until the source has been read once.
    package var digest: String?
    package var pinned: Bool
    /// Seconds since 1970.
    package var created: Double
    package var updated: Double
    /// Why it cannot be served; nil when it can.
    package var fault: String?
    /// False for a name that a server was told of once and is not served now: what it stood for is
    /// remembered, so that its source need not be read again.
    package var served: Bool
    /// Whose request gave the name; nil when an operator did, who alone takes it back.
    package var client: String?

    package init(name: String, source: String, created: Double) {
        self.name = name
        self.source = source
        revision = ""
        pinned = false
        served = true
        self.created = created
        updated = created
    }
}

/// An adapter by its content.
package struct AdapterRecord: Hashable, Sendable {
    package var digest: String
    package var rank: Int
    /// Projections that it changes.
    package var modules: Int
    /// In memory.
    package var bytes: Int
    /// On the disk.
    package var packBytes: Int
    /// What it says it was trained on.
    package var base: String?
    /// What it says beside its weights, in short and as JSON; nil for nothing.
    package var text: String?
    package var hits: Int
    package var loads: Int
    /// Seconds since 1970; 0 for never.
    package var lastUse: Double

    package init(
        digest: String, rank: Int, modules: Int, bytes: Int, packBytes: Int, base: String?,
        text: String? = nil
    ) {
        self.digest = digest
        self.rank = rank
        self.modules = modules
        self.bytes = bytes
        self.packBytes = packBytes
        self.base = base
        self.text = text
        hits = 0
        loads = 0
        lastUse = 0
    }
}

/// What happened to an adapter since it was last counted.
package struct AdapterUse: Hashable, Sendable {
    package var digest: String
    package var hits: Int
    package var loads: Int
    /// Seconds since 1970.
    package var lastUse: Double

    package init(digest: String, hits: Int, loads: Int, lastUse: Double) {
        self.digest = digest
        self.hits = hits
        self.loads = loads
        self.lastUse = lastUse
    }
}

/// What a catalog holds.
package struct CatalogContents: Hashable, Sendable {
    /// In the order of their names.
    package var aliases: [AliasRecord]
    package var adapters: [AdapterRecord]

    package init(aliases: [AliasRecord] = [], adapters: [AdapterRecord] = []) {
        self.aliases = aliases
        self.adapters = adapters
    }
}
