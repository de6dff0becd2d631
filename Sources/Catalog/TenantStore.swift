internal import GRDB

/// Keys and what was used with them, across restarts, in an SQLite database of their own.
///
/// Every change is one transaction that is on the disk when the call returns. Servers of one machine may share a file. Safe to
/// call from any thread.
package final class TenantStore: Sendable {
    private let database: DatabaseQueue

    /// Opens or makes the database, and brings an older one up to date.
    ///
    /// - Throws: `CatalogError`.
    package init(path: String) throws(CatalogError) {
        do {
            var configuration = Configuration()
            configuration.busyMode = .timeout(5)
            configuration.prepareDatabase { db in
                try db.execute(sql: "PRAGMA journal_mode = WAL")
                try db.execute(sql: "PRAGMA synchronous = FULL")
            }
            database = try DatabaseQueue(path: path, configuration: configuration)
            try TenantStore.migrator.migrate(database)
        } catch {
            throw CatalogError(error, doing: "open \(path)")
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 keys and usage") { db in
            try db.execute(
                sql: """
                    CREATE TABLE apiKey (
                        name TEXT PRIMARY KEY NOT NULL,
                        hash TEXT NOT NULL UNIQUE,
                        start TEXT NOT NULL,
                        formerHash TEXT,
                        formerUntil REAL,
                        terms TEXT NOT NULL,
                        created REAL NOT NULL,
                        updated REAL NOT NULL,
                        revoked REAL
                    ) STRICT;
                    CREATE TABLE usage (
                        key TEXT NOT NULL,
                        model TEXT NOT NULL,
                        hour INTEGER NOT NULL,
                        requests INTEGER NOT NULL,
                        errors INTEGER NOT NULL,
                        promptTokens INTEGER NOT NULL,
                        cachedTokens INTEGER NOT NULL,
                        completionTokens INTEGER NOT NULL,
                        reasoningTokens INTEGER NOT NULL,
                        deviceSeconds REAL NOT NULL,
                        PRIMARY KEY (key, model, hour)
                    ) STRICT, WITHOUT ROWID;
                    CREATE INDEX usageByHour ON usage (hour);
                    """)
        }
        return migrator
    }

    /// All keys, revoked ones too, by name.
    ///
    /// - Throws: `CatalogError`.
    package func keys() throws(CatalogError) -> [KeyRecord] {
        try attempt("list keys") {
            try database.read { db in
                try Row.fetchAll(db, sql: "SELECT * FROM apiKey ORDER BY name").map {
                    try KeyRecord($0)
                }
            }
        }
    }

    /// A text that another one takes the place of once somebody has changed a key.
    ///
    /// - Throws: `CatalogError`.
    package func version() throws(CatalogError) -> String {
        try attempt("be read") {
            try database.read { db in
                // Usage changes the file all the time.
                try String.fetchOne(
                    db,
                    sql:
                        "SELECT count(*) || ' ' || count(revoked) || ' ' || total(updated) FROM apiKey"
                ) ?? ""
            }
        }
    }

    /// Adds a key.
    ///
    /// - Returns: false when there is one of that name.
    /// - Throws: `CatalogError`.
    package func add(_ key: KeyRecord) throws(CatalogError) -> Bool {
        try attempt("store the key \(key.name)") {
            try database.write { db in
                try key.insert(db, orElse: "IGNORE")
                return db.changesCount == 1
            }
        }
    }

    /// Changes a key that is not revoked.
    ///
    /// - Parameter change: what becomes of it; what it throws, nothing comes of.
    /// - Returns: the key as it is now, or nil when there is none.
    /// - Throws: `CatalogError`, and what `change` throws.
    package func update<Failure: Error>(
        _ name: String, _ change: (inout KeyRecord) throws(Failure) -> Void
    ) throws -> KeyRecord? {
        do {
            return try database.write { db in
                let row = try Row.fetchOne(
                    db, sql: "SELECT * FROM apiKey WHERE name = ? AND revoked IS NULL",
                    arguments: [name])
                guard let row else { return nil }
                var key = try KeyRecord(row)
                try change(&key)
                key.name = name
                try key.insert(db, orElse: "REPLACE")
                return key
            }
        } catch let error as Failure {
            throw error
        } catch {
            throw CatalogError(error, doing: "store the key \(name)")
        }
    }

    // MARK: Usage

    /// Adds to what was used.
    ///
    /// - Throws: `CatalogError`.
    package func add(_ usage: [UsageRecord]) throws(CatalogError) {
        guard !usage.isEmpty else { return }
        try attempt("count usage") {
            try database.write { db in
                for record in usage {
                    try db.execute(
                        sql: """
                            INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                            ON CONFLICT DO UPDATE SET
                                requests = requests + excluded.requests,
                                errors = errors + excluded.errors,
                                promptTokens = promptTokens + excluded.promptTokens,
                                cachedTokens = cachedTokens + excluded.cachedTokens,
                                completionTokens = completionTokens + excluded.completionTokens,
                                reasoningTokens = reasoningTokens + excluded.reasoningTokens,
                                deviceSeconds = deviceSeconds + excluded.deviceSeconds
                            """,
                        arguments: [
                            record.key, record.model, record.hour, record.requests, record.errors,
                            record.promptTokens, record.cachedTokens, record.completionTokens,
                            record.reasoningTokens, record.deviceSeconds,
                        ])
                }
            }
        }
    }

    /// What was used in some hours, by key, model and hour.
    ///
    /// - Parameter hours: since 1970.
    /// - Throws: `CatalogError`.
    package func usage(_ hours: Range<Int>, key: String? = nil) throws(CatalogError)
        -> [UsageRecord]
    {
        try attempt("list usage") {
            try database.read { db in
                try Row.fetchAll(
                    db,
                    sql: """
                        SELECT * FROM usage WHERE hour >= ? AND hour < ? AND (? IS NULL OR key = ?)
                        ORDER BY hour, key, model
                        """, arguments: [hours.lowerBound, hours.upperBound, key, key]
                ).map { try UsageRecord($0) }
            }
        }
    }

    private func attempt<Value>(_ doing: String, _ work: () throws -> Value) throws(CatalogError)
        -> Value
    {
        do {
            return try work()
        } catch {
            throw CatalogError(error, doing: doing)
        }
    }
}

/// A key as it is stored: never the key itself.
package struct KeyRecord: Hashable, Sendable {
    package var name: String
    /// SHA-256, as hexadecimal digits.
    package var hash: String
    /// The key's first characters, to tell keys apart by.
    package var start: String
    /// The key before it was rotated, and until when that counts too, in seconds since 1970.
    package var formerHash: String?
    package var formerUntil: Double?
    /// What it may, as JSON.
    package var terms: String
    /// Seconds since 1970.
    package var created: Double
    package var updated: Double
    package var revoked: Double?

    package init(name: String, hash: String, start: String, terms: String, created: Double) {
        self.name = name
        self.hash = hash
        self.start = start
        self.terms = terms
        self.created = created
        updated = created
    }

    fileprivate init(_ row: Row) throws {
        self.init(
            name: try row.decode(forColumn: "name"), hash: try row.decode(forColumn: "hash"),
            start: try row.decode(forColumn: "start"), terms: try row.decode(forColumn: "terms"),
            created: try row.decode(forColumn: "created"))
        formerHash = try row.decode(forColumn: "formerHash")
        formerUntil = try row.decode(forColumn: "formerUntil")
        updated = try row.decode(forColumn: "updated")
        revoked = try row.decode(forColumn: "revoked")
        try CatalogValue.check(times: [created, updated, revoked ?? 0, formerUntil ?? 0])
    }

    /// - Parameter conflict: what SQLite does where there is one of that name.
    fileprivate func insert(_ db: Database, orElse conflict: String) throws {
        try db.execute(
            sql: """
                INSERT OR \(conflict) INTO apiKey
                    (name, hash, start, formerHash, formerUntil, terms, created, updated, revoked)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                name, hash, start, formerHash, formerUntil, terms, created, updated, revoked,
            ])
    }
}

/// What a key used of a model within an hour.
package struct UsageRecord: Hashable, Sendable {
    package var key: String
    package var model: String
    /// Since 1970.
    package var hour: Int
    package var requests = 0
    /// Requests that ended with an error.
    package var errors = 0
    package var promptTokens = 0
    /// Of the prompts' tokens, those that were in the cache.
    package var cachedTokens = 0
    package var completionTokens = 0
    package var reasoningTokens = 0
    /// Of the steps' time, by the share of their rows.
    package var deviceSeconds = 0.0

    package init(key: String, model: String, hour: Int) {
        self.key = key
        self.model = model
        self.hour = hour
    }

    package mutating func add(_ other: UsageRecord) {
        requests += other.requests
        errors += other.errors
        promptTokens += other.promptTokens
        cachedTokens += other.cachedTokens
        completionTokens += other.completionTokens
        reasoningTokens += other.reasoningTokens
        deviceSeconds += other.deviceSeconds
    }

    fileprivate init(_ row: Row) throws {
        self.init(
            key: try row.decode(forColumn: "key"), model: try row.decode(forColumn: "model"),
            hour: try row.decode(forColumn: "hour"))
        requests = try row.decode(forColumn: "requests")
        errors = try row.decode(forColumn: "errors")
        promptTokens = try row.decode(forColumn: "promptTokens")
        cachedTokens = try row.decode(forColumn: "cachedTokens")
        completionTokens = try row.decode(forColumn: "completionTokens")
        reasoningTokens = try row.decode(forColumn: "reasoningTokens")
        deviceSeconds = try row.decode(forColumn: "deviceSeconds")
        try CatalogValue.check(times: [deviceSeconds])
        try CatalogValue.check(counts: [
            hour, requests, errors, promptTokens, cachedTokens, completionTokens, reasoningTokens,
        ])
    }
}
