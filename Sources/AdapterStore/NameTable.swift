package import Adapters
package import Catalog

/// Names and what they stand for, to be found by either without looking through all of them.
///
/// A plain value. A copy costs nothing until one of the two changes.
package struct NameTable: Sendable {
    package struct Entry: Sendable {
        package let alias: AliasRecord
        /// What it stands for; nil until its source has been read.
        package let digest: AdapterDigest?

        init(_ alias: AliasRecord) {
            self.alias = alias
            digest = alias.digest.flatMap { AdapterDigest($0) }
        }
    }

    /// Who stands for one adapter.
    private struct Holders {
        var names: Set<String> = []
        var pinnedCount = 0
        /// Of names that are pinned or were pointed at it.
        var keepingCount = 0
    }

    private var entries: [String: Entry] = [:]
    private var holders: [AdapterDigest: Holders] = [:]
    /// Names that requests gave, by who sent them.
    package private(set) var namesOfClients: [String: Set<String>] = [:]
    /// All names, in order.
    package private(set) var sorted: [String] = []
    /// What names stand for.
    package private(set) var named: Set<AdapterDigest> = []
    /// What has to stay on the disk: what pinned names stand for, and names that were pointed at it by
    /// its digest, so that it cannot be had from their source.
    package private(set) var kept: Set<AdapterDigest> = []
    /// Adapters that names came or ceased to stand for since somebody asked.
    private var touched: Set<AdapterDigest> = []

    package init() {}

    package init(_ aliases: some Sequence<AliasRecord>) {
        for alias in aliases {
            let entry = Entry(alias)
            if let previous = entries.updateValue(entry, forKey: alias.name) { unlink(previous) }
            link(entry)
        }
        sorted = entries.keys.sorted()
    }

    package var count: Int { entries.count }

    /// Adapters that names came or ceased to stand for since the last call.
    package mutating func takeTouched() -> Set<AdapterDigest> {
        defer { touched = [] }
        return touched
    }

    package subscript(_ name: String) -> Entry? { entries[name] }

    package func isNamed(_ digest: AdapterDigest) -> Bool { named.contains(digest) }

    package func names(of digest: AdapterDigest) -> Set<String> { holders[digest]?.names ?? [] }

    /// Whether a pinned name stands for it.
    package func isPinned(_ digest: AdapterDigest) -> Bool {
        holders[digest].map { $0.pinnedCount > 0 } ?? false
    }

    /// A name that stands for an adapter: the one that is given, if it does.
    package func alias(of digest: AdapterDigest, preferring name: String) -> AliasRecord? {
        if let entry = entries[name], entry.digest == digest { return entry.alias }
        return holders[digest]?.names.first.flatMap { entries[$0]?.alias }
    }

    /// Names that stand for an adapter.
    package func aliases(of digest: AdapterDigest) -> [AliasRecord] {
        (holders[digest]?.names.sorted() ?? []).compactMap { entries[$0]?.alias }
    }

    /// Makes a name stand for something.
    ///
    /// - Returns: what it stood for before.
    @discardableResult
    package mutating func put(_ alias: AliasRecord) -> Entry? {
        let entry = Entry(alias)
        let previous = entries.updateValue(entry, forKey: alias.name)
        if let previous {
            unlink(previous)
        } else {
            sorted.insert(alias.name, at: place(of: alias.name))
        }
        link(entry)
        return previous
    }

    /// - Returns: what it stood for.
    @discardableResult
    package mutating func remove(_ name: String) -> Entry? {
        guard let entry = entries.removeValue(forKey: name) else { return nil }
        sorted.remove(at: place(of: name))
        unlink(entry)
        return entry
    }

    /// Where a name stands in the order, or would.
    private func place(of name: String) -> Int {
        var (low, high) = (0, sorted.count)
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func link(_ entry: Entry) {
        if let client = entry.alias.client {
            namesOfClients[client, default: []].insert(entry.alias.name)
        }
        guard let digest = entry.digest else { return }
        touched.insert(digest)
        holders[digest, default: Holders()].names.insert(entry.alias.name)
        named.insert(digest)
        if entry.alias.pinned { holders[digest]?.pinnedCount += 1 }
        if entry.alias.keepsItsPack {
            holders[digest]?.keepingCount += 1
            kept.insert(digest)
        }
    }

    private mutating func unlink(_ entry: Entry) {
        if let client = entry.alias.client {
            namesOfClients[client]?.remove(entry.alias.name)
            if namesOfClients[client]?.isEmpty == true { namesOfClients[client] = nil }
        }
        guard let digest = entry.digest else { return }
        touched.insert(digest)
        holders[digest]?.names.remove(entry.alias.name)
        if entry.alias.pinned { holders[digest]?.pinnedCount -= 1 }
        if entry.alias.keepsItsPack { holders[digest]?.keepingCount -= 1 }
        if holders[digest]?.keepingCount == 0 { kept.remove(digest) }
        if holders[digest]?.names.isEmpty == true {
            holders[digest] = nil
            named.remove(digest)
        }
    }
}

extension AliasRecord {
    /// How the revision of a name begins that stands for a digest whatever its source holds.
    static let pointed = "pointed at "

    var isPointed: Bool { revision.hasPrefix(AliasRecord.pointed) }

    var keepsItsPack: Bool { pinned || isPointed }
}
