internal import GRDB

/// What is known of adapters, across restarts: names and what they stand for, in an SQLite database.
///
/// Every change is one transaction that is on the disk when the call returns, so a process that is
/// killed at any instant leaves all of it or nothing. Safe to call from any thread.
package final class AdapterCatalog: Sendable {
    /// Where tests make a change fail.
    package enum Moment: Sendable, CaseIterable {
        case beforeCommit, afterCommit
    }

    /// What a test's hook throws as a full disk.
    package struct NoSpace: Error {
        package init() {}
    }

    private let database: DatabaseQueue
    private let hook: @Sendable (Moment) throws -> Void

    /// Opens or makes the database, and brings an older one up to date.
    ///
    /// - Parameter hook: called in every change; what it throws, the change fails with.
    /// - Throws: `CatalogError`.
    package init(
        path: String, hook: @escaping @Sendable (Moment) throws -> Void = { _ in }
    ) throws(CatalogError) {
        self.hook = hook
        do {
            database = try AdapterCatalog.open(path)
            try AdapterCatalog.migrator.migrate(database)
        } catch {
            throw CatalogError(error, doing: "open \(path)")
        }
    }

    private static func open(_ path: String) throws -> DatabaseQueue {
        do {
            return try open(path, isShared: true)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR {
            return try open(path, isShared: false)
        }
    }

    /// - Parameter isShared: whether other processes may look into it meanwhile, for which it takes a
    ///   file of shared memory. A full disk has no room for that.
    private static func open(_ path: String, isShared: Bool) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            if !isShared { try db.execute(sql: "PRAGMA locking_mode = EXCLUSIVE") }
            try db.execute(sql: "PRAGMA journal_mode = WAL")
            try db.execute(sql: "PRAGMA synchronous = FULL")
        }
        return try DatabaseQueue(path: path, configuration: configuration)
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 aliases and adapters") { db in
            try db.execute(
                sql: """
                    CREATE TABLE adapter (
                        digest TEXT PRIMARY KEY NOT NULL,
                        rank INTEGER NOT NULL,
                        modules INTEGER NOT NULL,
                        bytes INTEGER NOT NULL,
                        packBytes INTEGER NOT NULL,
                        base TEXT,
                        hits INTEGER NOT NULL DEFAULT 0,
                        loads INTEGER NOT NULL DEFAULT 0,
                        lastUse REAL NOT NULL DEFAULT 0
                    ) STRICT;
                    CREATE TABLE alias (
                        name TEXT PRIMARY KEY NOT NULL,
                        source TEXT NOT NULL,
                        revision TEXT NOT NULL,
                        digest TEXT REFERENCES adapter (digest),
                        pinned INTEGER NOT NULL DEFAULT 0,
                        created REAL NOT NULL,
                        updated REAL NOT NULL,
                        fault TEXT,
                        served INTEGER NOT NULL DEFAULT 1
                    ) STRICT;
                    CREATE INDEX aliasByDigest ON alias (digest);
                    """)
        }
        migrator.registerMigration("2 names of clients") { db in
            try db.execute(sql: "ALTER TABLE alias ADD COLUMN client TEXT")
        }
        migrator.registerMigration("3 texts of adapters") { db in
            try db.execute(sql: "ALTER TABLE adapter ADD COLUMN text TEXT")
        }
        return migrator
    }

    /// Everything, as it is at one moment.
    ///
    /// - Throws: `CatalogError`.
    package func contents() throws(CatalogError) -> CatalogContents {
        try read("be read") { db in
            CatalogContents(
                aliases: try AdapterCatalog.allAliases(db),
                adapters: try AdapterCatalog.allAdapters(db))
        }
    }

    // MARK: Aliases

    /// All names.
    ///
    /// - Throws: `CatalogError`.
    package func aliases() throws(CatalogError) -> [AliasRecord] {
        try read("list names") { try AdapterCatalog.allAliases($0) }
    }

    private static func allAliases(_ db: Database) throws -> [AliasRecord] {
        try Row.fetchAll(db, sql: "SELECT * FROM alias ORDER BY name").map { try AliasRecord($0) }
    }

    /// Makes a name stand for something, whatever it stood for before.
    ///
    /// - Throws: `CatalogError`.
    package func put(_ alias: AliasRecord) throws(CatalogError) { try put([alias]) }

    /// The same for many names, all of them or none.
    ///
    /// - Throws: `CatalogError`.
    package func put(_ aliases: [AliasRecord]) throws(CatalogError) {
        guard let first = aliases.first else { return }
        try write("store \(first.name)") { db in for alias in aliases { try alias.upsert(db) } }
    }

    /// Stores an adapter and makes a name stand for it, both or neither.
    ///
    /// - Throws: `CatalogError`.
    package func put(_ alias: AliasRecord, _ adapter: AdapterRecord) throws(CatalogError) {
        try write("store \(alias.name)") { db in
            try adapter.insert(db)
            try alias.upsert(db)
        }
    }

    /// Forgets a name, and its adapter unless another name stands for it.
    ///
    /// - Throws: `CatalogError`.
    package func remove(alias name: String) throws(CatalogError) {
        try write("remove \(name)") { db in
            let digest = try String?.fetchOne(
                db, sql: "SELECT digest FROM alias WHERE name = ?", arguments: [name])
            try db.execute(sql: "DELETE FROM alias WHERE name = ?", arguments: [name])
            try AdapterCatalog.removeUnnamed(digest ?? nil, db)
        }
    }

    /// Forgets an adapter unless a name stands for it.
    ///
    /// - Throws: `CatalogError`.
    package func remove(adapter digest: String) throws(CatalogError) {
        try write("remove \(digest)") { try AdapterCatalog.removeUnnamed(digest, $0) }
    }

    private static func removeUnnamed(_ digest: String?, _ db: Database) throws {
        guard let digest else { return }
        try db.execute(
            sql: "DELETE FROM adapter WHERE digest = ? AND NOT EXISTS "
                + "(SELECT 1 FROM alias WHERE alias.digest = adapter.digest)",
            arguments: [digest])
    }

    // MARK: Adapters

    /// All adapters that some name stands for, or stood for.
    ///
    /// - Throws: `CatalogError`.
    package func adapters() throws(CatalogError) -> [AdapterRecord] {
        try read("list adapters") { try AdapterCatalog.allAdapters($0) }
    }

    private static func allAdapters(_ db: Database) throws -> [AdapterRecord] {
        try Row.fetchAll(db, sql: "SELECT * FROM adapter ORDER BY digest").map {
            try AdapterRecord($0)
        }
    }

    /// Adds to the counters of some adapters.
    ///
    /// - Throws: `CatalogError`.
    package func add(_ uses: [AdapterUse]) throws(CatalogError) {
        guard !uses.isEmpty else { return }
        try write("count uses") { db in
            for use in uses {
                try db.execute(
                    sql: "UPDATE adapter SET hits = hits + ?, loads = loads + ?, "
                        + "lastUse = max(lastUse, ?) WHERE digest = ?",
                    arguments: [use.hits, use.loads, use.lastUse, use.digest])
            }
        }
    }

    // MARK: Transactions

    private func read<Value>(
        _ doing: String, _ body: (Database) throws -> Value
    ) throws(CatalogError) -> Value {
        do {
            return try database.read(body)
        } catch {
            throw CatalogError(error, doing: doing)
        }
    }

    private func write(
        _ doing: String, _ body: (Database) throws -> Void
    ) throws(CatalogError) {
        do {
            try database.write { db in
                try body(db)
                try hook(.beforeCommit)
            }
            try hook(.afterCommit)
        } catch {
            throw CatalogError(error, doing: doing)
        }
    }
}

/// A catalog that could not be read or written.
package struct CatalogError: Error, CustomStringConvertible {
    package let description: String
    /// Whether there was no room on the disk.
    package let isDiskFull: Bool
    /// Whether what is in it is not a catalog, or not this version's.
    package let isDamaged: Bool

    init(_ error: any Error, doing: String) {
        description = "the adapter catalog cannot \(doing): \(error)"
        let code = (error as? DatabaseError)?.resultCode
        isDiskFull = code == .SQLITE_FULL || error is AdapterCatalog.NoSpace
        isDamaged =
            code == .SQLITE_CORRUPT || code == .SQLITE_NOTADB || code == .SQLITE_ERROR
            || !(error is DatabaseError) && !isDiskFull
    }
}

extension AliasRecord {
    /// SQLite does not hold what it reads to the types it was told, so a damaged file may have any.
    fileprivate init(_ row: Row) throws {
        self.init(
            name: try row.decode(forColumn: "name"), source: try row.decode(forColumn: "source"),
            created: try row.decode(forColumn: "created"))
        revision = try row.decode(forColumn: "revision")
        digest = try row.decode(forColumn: "digest")
        pinned = try row.decode(forColumn: "pinned")
        updated = try row.decode(forColumn: "updated")
        fault = try row.decode(forColumn: "fault")
        served = try row.decode(forColumn: "served")
        client = try row.decode(forColumn: "client")
        try CatalogValue.check(times: [created, updated])
    }

    fileprivate func upsert(_ db: Database) throws {
        try db.execute(
            sql: """
                INSERT OR REPLACE INTO alias
                    (name, source, revision, digest, pinned, created, updated, fault, served, client)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                name, source, revision, digest, pinned, created, updated, fault, served,
                client,
            ])
    }
}

extension AdapterRecord {
    fileprivate init(_ row: Row) throws {
        self.init(
            digest: try row.decode(forColumn: "digest"), rank: try row.decode(forColumn: "rank"),
            modules: try row.decode(forColumn: "modules"),
            bytes: try row.decode(forColumn: "bytes"),
            packBytes: try row.decode(forColumn: "packBytes"),
            base: try row.decode(forColumn: "base"), text: try row.decode(forColumn: "text"))
        hits = try row.decode(forColumn: "hits")
        loads = try row.decode(forColumn: "loads")
        lastUse = try row.decode(forColumn: "lastUse")
        try CatalogValue.check(times: [lastUse])
        try CatalogValue.check(counts: [rank, modules, bytes, packBytes, hits, loads])
    }

    /// Keeps the counters of one that is known.
    fileprivate func insert(_ db: Database) throws {
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO adapter (digest, rank, modules, bytes, packBytes, base, text)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [digest, rank, modules, bytes, packBytes, base, text])
    }
}

/// What a damaged file may hold in place of a number.
enum CatalogValue {
    struct Impossible: Error {}

    static func check(times: [Double]) throws {
        guard times.allSatisfy({ abs($0) < 1e15 }) else { throw Impossible() }
    }

    static func check(counts: [Int]) throws {
        guard counts.allSatisfy({ (0...1 << 60).contains($0) }) else { throw Impossible() }
    }
}
