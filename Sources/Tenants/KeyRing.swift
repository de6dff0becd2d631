package import Catalog
internal import Foundation
package import JSONTree
package import OpenAIWire
internal import Synchronization

/// The keys that count now: those of a file, and those that operators make while the server runs.
package final class KeyRing: Sendable {
    /// What a key is.
    package enum Answer: Sendable, Equatable {
        case holder(KeyHolder)
        case unknown
        case expired
        case blocked
    }

    /// A key that operators made.
    package struct Entry: Sendable, Equatable {
        package var record: KeyRecord
        /// Nil when they cannot be read: then the key is of no use.
        package var terms: KeyTerms?
    }

    private struct State {
        var file: APIKeys?
        var entries: [String: Entry] = [:]
        /// Names, by the hashes of their keys.
        var names: [String: String] = [:]
        var version: String?
    }

    private let state: Mutex<State>
    /// So that what is read is not older than what is changed meanwhile.
    private let changing = Mutex(())
    private let store: TenantStore?

    /// - Throws: `CatalogError`; `APIKeysError` as `replace(file:)`.
    package init(file: APIKeys?, store: TenantStore? = nil) throws {
        state = Mutex(State())
        self.store = store
        try refresh()
        try replace(file: file)
    }

    /// Puts the keys of a file in the place of those of the file before.
    ///
    /// - Throws: `APIKeysError` for a name that a key made by operators has: one name, one account.
    package func replace(file: APIKeys?) throws(APIKeysError) {
        try state.withLock { state throws(APIKeysError) in
            let names = file?.holders.values.map(\.name) ?? []
            if let name = names.sorted().first(where: { state.entries[$0] != nil }) {
                throw APIKeysError(
                    "the name \(name) belongs to a key of `martlet keys` already; give this one another"
                )
            }
            state.file = file
        }
    }

    /// Whether somebody may make keys.
    package var hasAdmin: Bool {
        state.withLock { state in
            state.file?.holders.values.contains { $0.isAdmin } ?? false
                || state.entries.values.contains {
                    $0.terms?.role == .admin && $0.record.revoked == nil
                }
        }
    }

    /// Takes over what other processes have changed.
    ///
    /// - Throws: `CatalogError`.
    package func refresh() throws(CatalogError) {
        guard let store else { return }
        try changing.withLock { _ throws(CatalogError) in try refresh(store) }
    }

    private func refresh(_ store: TenantStore) throws(CatalogError) {
        let version = try store.version()
        guard state.withLock({ $0.version != version }) else { return }
        let records = try store.keys()
        state.withLock { state in
            state.version = version
            state.entries = [:]
            state.names = [:]
            for record in records { KeyRing.add(record, &state) }
        }
    }

    private static func take(_ record: KeyRecord, _ state: inout State) {
        state.names = state.names.filter { $0.value != record.name }
        add(record, &state)
    }

    private static func add(_ record: KeyRecord, _ state: inout State) {
        state.entries[record.name] = Entry(record: record, terms: terms(of: record))
        for hash in [record.hash, record.formerHash].compactMap({ $0 }) {
            state.names[hash] = record.name
        }
    }

    private static func terms(of record: KeyRecord) -> KeyTerms? {
        (try? JSON(parsing: Array(record.terms.utf8))).flatMap { try? KeyTerms($0) }
    }

    /// - Parameter now: in seconds since 1970.
    package func answer(to key: String, at now: Double) -> Answer {
        let bytes = APIKeys.hash(key)
        let hash = KeyRing.text(bytes)
        return state.withLock { state in
            if let holder = state.file?.holders[bytes] { return .holder(holder) }
            guard let name = state.names[hash], let entry = state.entries[name],
                entry.record.revoked == nil
            else { return .unknown }
            if entry.record.hash != hash, now >= entry.record.formerUntil ?? 0 {
                return .unknown
            }
            guard let terms = entry.terms else { return .blocked }
            if terms.isBlocked { return .blocked }
            if let end = terms.expires, now >= Double(end) { return .expired }
            return .holder(KeyHolder(name: name, terms: terms))
        }
    }

    // MARK: What operators do

    /// Those that operators made, by name.
    package var entries: [Entry] {
        state.withLock { $0.entries.values.sorted { $0.record.name < $1.record.name } }
    }

    /// - Throws: `APIError` when there is none.
    package func entry(_ name: String) throws(APIError) -> Entry {
        guard let entry = state.withLock({ $0.entries[name] }) else { throw .noKey(name) }
        return entry
    }

    /// Makes a key.
    ///
    /// - Returns: the key too, which nobody can ask for again.
    /// - Throws: `APIError`, `CatalogError`.
    package func create(
        _ name: String, _ terms: KeyTerms, at now: Double
    ) throws -> (entry: Entry, key: String) {
        let store = try writable()
        guard (1...100).contains(name.utf8.count), name.utf8.allSatisfy(KeyRing.isNameByte) else {
            throw APIError.invalid(
                "name", "A key's name has 1 to 100 letters, digits, and . _ - @ characters.")
        }
        let isTaken = state.withLock { state in
            state.file?.holders.values.contains { $0.name == name } ?? false
        }
        let key = KeyRing.newKey()
        let record = KeyRecord(
            name: name, hash: KeyRing.text(APIKeys.hash(key)), start: String(key.prefix(8)),
            terms: terms.json.text(), created: now)
        try changing.withLock { _ in
            guard try !isTaken && store.add(record) else {
                throw APIError(
                    status: 409, code: "key_exists",
                    message: "There is a key named \(name) already, or there was one.",
                    parameter: "name")
            }
            state.withLock { KeyRing.take(record, &$0) }
        }
        return (try entry(name), key)
    }

    /// Changes what a key may.
    ///
    /// - Throws: `APIError`, `CatalogError`.
    package func change(_ name: String, by patch: JSON, at now: Double) throws -> Entry {
        try update(name, at: now) { record throws(APIError) in
            let old = KeyRing.terms(of: record) ?? KeyTerms()
            record.terms = try old.changed(by: patch).json.text()
        }
    }

    /// Puts a new key in the place of one, which counts for a while longer.
    ///
    /// - Throws: `APIError`, `CatalogError`.
    package func rotate(
        _ name: String, grace: Int, at now: Double
    ) throws -> (entry: Entry, key: String) {
        let key = KeyRing.newKey()
        let entry = try update(name, at: now) { record in
            record.formerHash = grace > 0 ? record.hash : nil
            record.formerUntil = grace > 0 ? now + Double(grace) : nil
            record.hash = KeyRing.text(APIKeys.hash(key))
            record.start = String(key.prefix(8))
        }
        return (entry, key)
    }

    /// Ends a key for good.
    ///
    /// - Throws: `APIError`, `CatalogError`.
    package func revoke(_ name: String, at now: Double) throws -> Entry {
        try update(name, at: now) { $0.revoked = now }
    }

    private func update(
        _ name: String, at now: Double, _ change: (inout KeyRecord) throws(APIError) -> Void
    ) throws -> Entry {
        let store = try writable()
        try changing.withLock { _ in
            let record = try store.update(name) { record throws(APIError) in
                try change(&record)
                record.updated = now
            }
            guard let record else { throw APIError.noKey(name) }
            state.withLock { KeyRing.take(record, &$0) }
        }
        return try entry(name)
    }

    private func writable() throws(APIError) -> TenantStore {
        guard let store else {
            throw APIError(
                status: 409, code: "no_tenant_store",
                message:
                    "This server has no place to keep keys: start it with --tenants FILE.")
        }
        return store
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "._-@".utf8.contains(byte)
        }
    }

    /// 256 random bits.
    private static func newKey() -> String {
        let random = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
        let text = Data(random).base64EncodedString()
        return "mk-"
            + String(
                text.filter { $0 != "=" }.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
    }

    private static func text(_ hash: [UInt8]) -> String {
        hash.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension APIError {
    fileprivate static func noKey(_ name: String) -> APIError {
        APIError(
            status: 404, code: "key_not_found", message: "There is no key \"\(name.prefix(100))\".")
    }
}
