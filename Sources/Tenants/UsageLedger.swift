package import Catalog
internal import Synchronization

/// What keys used, by model and hour. It is on the disk a moment later.
package final class UsageLedger: Sendable {
    private struct Place: Hashable {
        let key: String
        let model: String
        let hour: Int
    }

    private let pending = Mutex<[Place: UsageRecord]>([:])
    private let store: TenantStore?
    /// One at a time, so that nothing is stored twice.
    private let storing = Mutex(())

    /// - Parameter store: nil to keep it in memory.
    package init(store: TenantStore?) { self.store = store }

    package func add(_ record: UsageRecord) {
        let place = Place(key: record.key, model: record.model, hour: record.hour)
        pending.withLock { pending in
            pending[
                place, default: UsageRecord(key: place.key, model: place.model, hour: place.hour)
            ]
            .add(record)
            // In memory alone, what is oldest goes.
            if store == nil, pending.count > UsageLedger.mostRecords {
                let oldest = pending.keys.map(\.hour).min()
                pending = pending.filter { $0.key.hour != oldest || $0.key == place }
            }
        }
    }

    private static let mostRecords = 50_000

    /// Stores what is not stored yet. What cannot be is kept for the next time.
    ///
    /// - Throws: `CatalogError`.
    package func flush() throws(CatalogError) {
        guard let store else { return }
        try storing.withLock { _ throws(CatalogError) in
            let records = pending.withLock { pending in
                defer { pending = [:] }
                return Array(pending.values)
            }
            do throws(CatalogError) {
                try store.add(records)
            } catch {
                for record in records { add(record) }
                throw error
            }
        }
    }

    /// What was used in some hours since 1970.
    ///
    /// - Throws: `CatalogError`.
    package func usage(_ hours: Range<Int>, key: String? = nil) throws(CatalogError)
        -> [UsageRecord]
    {
        try flush()
        if let store { return try store.usage(hours, key: key) }
        return pending.withLock { pending in
            pending.values.filter { hours.contains($0.hour) && (key == nil || $0.key == key) }
        }.sorted { ($0.hour, $0.key, $0.model) < ($1.hour, $1.key, $1.model) }
    }

    /// A key's tokens in some hours, as far as they can be read.
    func tokens(of key: String, _ hours: Range<Int>) -> Int {
        // What cannot be stored now counts all the same.
        let waiting = pending.withLock { pending in
            pending.values.filter { $0.key == key && hours.contains($0.hour) }
        }
        let stored = (try? store?.usage(hours, key: key)) ?? []
        return (stored + waiting).reduce(0) { $0 + $1.promptTokens + $1.completionTokens }
    }
}
