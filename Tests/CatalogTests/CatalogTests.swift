import Catalog
import TestSupport
import Testing

/// What the catalog keeps, across restarts and whatever the texts are.
struct CatalogTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func open() throws -> AdapterCatalog {
        try AdapterCatalog(path: folder.path("catalog"))
    }

    static func adapter(_ digest: String, rank: Int = 8) -> AdapterRecord {
        AdapterRecord(
            digest: digest, rank: rank, modules: 14, bytes: 5_000_000_000, packBytes: 4096,
            base: "a/base")
    }

    static func alias(_ name: String, _ digest: String? = nil) -> AliasRecord {
        var alias = AliasRecord(
            name: name, source: "hf:a/\(name)", created: 1_700_000_000.123_456_7)
        alias.digest = digest
        return alias
    }

    /// All fields set.
    static func full(_ text: String) -> (AliasRecord, AdapterRecord) {
        var alias = AliasRecord(name: text, source: text, created: 0.1)
        alias.revision = text
        alias.digest = text
        alias.pinned = true
        alias.updated = 4e11
        alias.fault = text
        let adapter = AdapterRecord(
            digest: text, rank: 512, modules: 1, bytes: 1 << 60, packBytes: 1 << 60, base: text)
        return (alias, adapter)
    }

    static let texts = [
        "plain", "", " a  b ", "it's", "\"quoted\"", "x'; DROP TABLE alias; --", "?1", ":name",
        "%_*", "NULL", "1", "1.0", "a\nb\tc", "na\u{EF}ve", "nai\u{308}ve", "名前", "🪶",
        String(repeating: "long ", count: 2000),
    ]

    // MARK: Records

    @Test func fieldsWithoutAValueComeBackAsThat() throws {
        let catalog = try open()
        #expect(try catalog.aliases() == [])
        #expect(try catalog.adapters() == [])
        let alias = Self.alias("name")
        try catalog.put(alias)
        #expect(try catalog.aliases() == [alias])
        var adapter = Self.adapter("digest")
        adapter.base = nil
        try catalog.put(Self.alias("other", "digest"), adapter)
        #expect(try catalog.adapters() == [adapter])
        #expect(try catalog.aliases() == [alias, Self.alias("other", "digest")])
    }

    @Test(arguments: texts)
    func everyTextComesBack(_ text: String) throws {
        let (alias, adapter) = Self.full(text)
        try open().put(alias, adapter)
        let catalog = try open()
        #expect(try catalog.aliases() == [alias])
        #expect(try catalog.adapters() == [adapter])
        try catalog.remove(alias: text)
        #expect(try catalog.aliases() == [])
        #expect(try catalog.adapters() == [])
    }

    /// Names are told apart and put in order by their bytes.
    @Test func textsDoNotStandForEachOther() throws {
        let catalog = try open()
        for text in Self.texts.reversed() { try catalog.put(Self.alias(text)) }
        let sorted = Self.texts.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(try catalog.aliases().map { Array($0.name.utf8) } == sorted)
        for text in Self.texts { try catalog.remove(alias: text) }
        #expect(try catalog.aliases() == [])
    }

    @Test func everythingIsReadAtOnce() throws {
        let catalog = try open()
        #expect(try catalog.contents() == CatalogContents())
        let (alias, adapter) = Self.full("b")
        try catalog.put(alias, adapter)
        try catalog.put(Self.alias("a"))
        let contents = try catalog.contents()
        #expect(contents.aliases == [Self.alias("a"), alias] && contents.adapters == [adapter])
    }

    @Test func aNameStandsForWhatWasPutLast() throws {
        let catalog = try open()
        let (alias, adapter) = Self.full("name")
        try catalog.put(alias, adapter)
        try catalog.put(Self.alias("name"))
        #expect(try catalog.aliases() == [Self.alias("name")])
        try catalog.put(alias)
        #expect(try catalog.aliases() == [alias])
    }

    @Test func everythingIsThereAfterOpeningAgain() throws {
        var aliases: [AliasRecord] = []
        var adapters: [AdapterRecord] = []
        for number in 20..<40 {
            // Opened for each change: a database that is up to date is left as it is.
            let catalog = try open()
            let alias = Self.alias("name \(number)", "digest \(number / 2)")
            let adapter = Self.adapter("digest \(number / 2)", rank: number / 2)
            try catalog.put(alias, adapter)
            aliases.append(alias)
            if number % 2 == 0 { adapters.append(adapter) }
            #expect(try catalog.aliases() == aliases)
            #expect(try catalog.adapters() == adapters)
        }
    }

    // MARK: Names and adapters

    @Test func anAdapterGoesWithItsLastName() throws {
        let catalog = try open()
        let (first, second) = (Self.adapter("d1"), Self.adapter("d2"))
        try catalog.put(Self.alias("a", "d1"), first)
        try catalog.put(Self.alias("b", "d1"), first)
        try catalog.put(Self.alias("c", "d2"), second)
        try catalog.put(Self.alias("d"))
        try catalog.remove(alias: "a")
        #expect(try catalog.adapters() == [first, second])
        try catalog.remove(alias: "d")
        try catalog.remove(alias: "nobody")
        #expect(try catalog.adapters() == [first, second])
        try catalog.remove(alias: "b")
        #expect(try catalog.adapters() == [second])
        #expect(try catalog.aliases() == [Self.alias("c", "d2")])
    }

    @Test func anAdapterThatLostItsNameStaysUntilItIsRemoved() throws {
        let catalog = try open()
        let (first, second) = (Self.adapter("d1"), Self.adapter("d2"))
        try catalog.put(Self.alias("a", "d1"), first)
        try catalog.put(Self.alias("a", "d2"), second)
        #expect(try catalog.adapters() == [first, second])
        try catalog.remove(adapter: "d2")
        #expect(try catalog.adapters() == [first, second])
        try catalog.remove(adapter: "d1")
        try catalog.remove(adapter: "d1")
        #expect(try catalog.adapters() == [second])
    }

    @Test func aNameForAnUnknownAdapterIsRefused() throws {
        let catalog = try open()
        #expect(throws: CatalogError.self) { try catalog.put(Self.alias("a", "unknown")) }
        // Both or neither: the adapter that could be stored is not.
        let error = #expect(throws: CatalogError.self) {
            try catalog.put(Self.alias("a", "unknown"), Self.adapter("d1"))
        }
        #expect(error?.isDiskFull == false)
        #expect(try catalog.aliases() == [])
        #expect(try catalog.adapters() == [])
    }

    // MARK: Counters

    @Test func usesAddUp() throws {
        let catalog = try open()
        var (first, second) = (Self.adapter("d1"), Self.adapter("d2"))
        try catalog.put(Self.alias("a", "d1"), first)
        try catalog.put(Self.alias("b", "d2"), second)
        try catalog.add([])
        try catalog.add([
            AdapterUse(digest: "d1", hits: 5, loads: 1, lastUse: 20.5),
            AdapterUse(digest: "unknown", hits: 1, loads: 1, lastUse: 1),
            AdapterUse(digest: "d2", hits: 0, loads: 2, lastUse: 7),
        ])
        // Counted late: the last use was after this one.
        try catalog.add([AdapterUse(digest: "d1", hits: 2, loads: 0, lastUse: 10)])
        (first.hits, first.loads, first.lastUse) = (7, 1, 20.5)
        (second.loads, second.lastUse) = (2, 7)
        #expect(try catalog.adapters() == [first, second])
        #expect(try open().adapters() == [first, second])
    }

    @Test func puttingAgainKeepsTheCounters() throws {
        let catalog = try open()
        var adapter = Self.adapter("d")
        try catalog.put(Self.alias("a", "d"), adapter)
        try catalog.add([AdapterUse(digest: "d", hits: 3, loads: 2, lastUse: 9)])
        try catalog.put(Self.alias("a", "d"), adapter)
        try catalog.put(Self.alias("b", "d"), adapter)
        (adapter.hits, adapter.loads, adapter.lastUse) = (3, 2, 9)
        #expect(try catalog.adapters() == [adapter])
    }

    @Test func callsFromManyTasksLoseNothing() async throws {
        let catalog = try open()
        try catalog.put(Self.alias("a", "d"), Self.adapter("d"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for round in 0..<10 {
                        try catalog.put(Self.alias("\(task) \(round)", "d"))
                        try catalog.add([AdapterUse(digest: "d", hits: 1, loads: 2, lastUse: 3)])
                        _ = try catalog.aliases()
                    }
                }
            }
            try await group.waitForAll()
        }
        let adapter = try #require(try catalog.adapters().first)
        #expect(adapter.hits == 40 && adapter.loads == 80 && adapter.lastUse == 3)
        #expect(try catalog.aliases().count == 41)
    }
}
