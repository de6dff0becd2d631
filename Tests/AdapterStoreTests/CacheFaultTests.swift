import AdapterSources
import AdapterStore
import Adapters
import Catalog
import Foundation
import TestSupport
import Testing

/// Full disks, damaged packs and kills, one at a time.
struct CacheFaultTests {
    // MARK: Full disks

    @Test func aFullDiskCostsThePackOnly() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let adapter = fixture.adapters[0]
        let library = try fixture.open()
        let (events, stop) = library.events.listen()
        fixture.faults.plan(.packsDoNotFit(beyond: 100))
        let source = try fixture.place(adapter.files, as: "a0")
        try await library.put(name: "a0", source: source, replaces: false)
        #expect(library.entry("a0")?.tier == .source)
        let lease = try await library.lease("a0")
        #expect(try fixture.packed(lease.adapter) == adapter.pack)
        #expect(library.entry("a0")?.tier == .host)
        #expect(library.tiers.diskCount == 0 && library.tiers.diskBytes == 0)
        #expect(try fixture.files(in: "packs").isEmpty)
        #expect(try fixture.files(in: "staging").isEmpty)
        stop()
        var unstored: [AdapterDigest] = []
        for await event in events {
            if case .notStored(let digest, _) = event { unstored.append(digest) }
        }
        // When it was named, and when it was read again for the lease.
        #expect(unstored == [adapter.digest, adapter.digest])
    }

    @Test func aFullDiskRefusesChangesOfNames() async throws {
        let fixture = try LibraryFixture(adapterCount: 2, equalSizes: true)
        let library = try await fixture.openFilled()
        let source = try AdapterSource(fixture.folder.path("sources/a1"))
        try await library.register(name: "unread", source: source)
        let before = library.entries.map(\.alias)
        fixture.faults.plan(.catalogDoesNotFit)
        await #expect(throws: CatalogError.self) {
            try await library.put(name: "a0", source: source, replaces: true)
        }
        let other = fixture.adapters[1].digest
        await #expect(throws: CatalogError.self) { try await library.point(name: "a0", at: other) }
        await #expect(throws: CatalogError.self) { try await library.pin(name: "a0", true) }
        await #expect(throws: CatalogError.self) {
            try await library.register(name: "new", source: source)
        }
        await #expect(throws: CatalogError.self) { try await library.remove(name: "a0") }
        #expect(library.entries.map(\.alias) == before)
        #expect(try fixture.catalog?.aliases() == before)
        let lease = try await library.lease("a0")
        #expect(lease.adapter.digest == fixture.adapters[0].digest)
        // What a name stands for was found out, and is again after the next start.
        let unread = try await library.lease("unread")
        #expect(unread.adapter.digest == other)
        #expect(try fixture.catalog?.aliases() == before)
    }

    /// A server begins with what it is told of, whether or not that can be stored.
    @Test func aFullDiskKeepsNoServerFromStarting() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let source = try fixture.place(fixture.adapters[0].files, as: "a0")
        let library = try fixture.open()
        fixture.faults.plan(.catalogDoesNotFit)
        let failure = try await library.adopt([("a0", source)], keepsOthers: true)
        #expect(failure?.isDiskFull == true)
        fixture.faults.plan(.packsDoNotFit(beyond: 0))
        #expect(library.names == ["a0"])
        #expect(try await library.lease("a0").adapter.digest == fixture.adapters[0].digest)
    }

    // MARK: Packs that are damaged or gone

    @Test func aDamagedPackIsMadeAgain() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let adapter = fixture.adapters[0]
        let library = try await fixture.openFilled()
        try fixture.damage(adapter, at: adapter.pack.count - 1)
        let lease = try await library.lease("a0")
        #expect(try fixture.packed(lease.adapter) == adapter.pack)
        #expect(try fixture.files(in: "quarantine") == ["\(adapter.digest).pack"])
        let pack = try Data(contentsOf: URL(fileURLWithPath: fixture.packPath(adapter)))
        #expect(Array(pack) == adapter.pack)
        let isWhole = try await library.verify(name: "a0")
        #expect(isWhole && library.tiers.diskBytes == adapter.pack.count)
    }

    @Test func verifyingFindsDamageBesideALease() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let adapter = fixture.adapters[0]
        let library = try await fixture.openFilled()
        let lease = try await library.lease("a0")
        try fixture.damage(adapter, at: 3)
        let first = try await library.verify(name: "a0")
        let second = try await library.verify(name: "a0")
        #expect(!first && second)
        #expect(try fixture.files(in: "quarantine").count == 1)
        #expect(try fixture.packed(lease.adapter) == adapter.pack)
    }

    @Test func aDamagedPackWhoseSourceHasChangedIsRefused() async throws {
        let fixture = try LibraryFixture(adapterCount: 2, equalSizes: true)
        let (adapter, other) = (fixture.adapters[0], fixture.adapters[1])
        let library = try fixture.open()
        let source = try fixture.place(adapter.files, as: "a")
        try await library.put(name: "a", source: source, replaces: false)
        try fixture.damage(adapter, at: 100)
        try fixture.place(other.files, as: "a")
        for _ in 0..<2 {
            let error = await #expect(throws: LibraryError.self) { try await library.lease("a") }
            #expect(error?.code == .conflict)
        }
        #expect(library.entry("a")?.digest == adapter.digest)
        #expect(try fixture.files(in: "packs").isEmpty && library.tiers.hostCount == 0)
        try fixture.place(adapter.files, as: "a")
        let lease = try await library.lease("a")
        #expect(try fixture.packed(lease.adapter) == adapter.pack)
        #expect(fixture.isPacked(adapter))
    }

    @Test func aPackThatIsGoneIsMadeAgain() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let adapter = fixture.adapters[0]
        let library = try await fixture.openFilled()
        try FileManager.default.removeItem(atPath: fixture.packPath(adapter))
        let lease = try await library.lease("a0")
        #expect(try fixture.packed(lease.adapter) == adapter.pack)
        #expect(fixture.isPacked(adapter) && library.tiers.diskBytes == adapter.pack.count)
        #expect(try fixture.files(in: "quarantine").isEmpty)
    }

    // MARK: Kills

    static let deaths: [Faults.Plan] = [
        .diesInPack(at: 0), .diesInPack(at: 4500), .diesAfterPack, .dies(.beforeCommit),
        .dies(.afterCommit),
    ]

    @Test(arguments: deaths)
    func aKilledReplacementIsThereOrNot(_ death: Faults.Plan) async throws {
        let fixture = try LibraryFixture(adapterCount: 2, equalSizes: true)
        let library = try fixture.open()
        let (old, new) = (fixture.adapters[0], fixture.adapters[1])
        try await library.put(
            name: "a", source: try fixture.place(old.files, as: "old"), replaces: false)
        let source = try fixture.place(new.files, as: "new")
        fixture.faults.plan(death)
        await #expect(throws: (any Error).self) {
            try await library.put(name: "a", source: source, replaces: true)
        }
        #expect(fixture.faults.isDead)

        let next = try fixture.open(1)
        var expected = [old]
        if case .dies(.afterCommit) = death { expected.append(new) }
        let packs = expected.map { "\($0.digest).pack" }.sorted()
        #expect(try fixture.files(in: "packs") == packs)
        #expect(try fixture.files(in: "staging").isEmpty)
        #expect(next.names == ["a"] && next.entry("a")?.digest == expected.last?.digest)
        let lease = try await next.lease("a")
        #expect(try fixture.packed(lease.adapter) == expected.last?.pack)
    }

    @Test func aFolderHasOneLibrary() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let library = try await fixture.openFilled()
        let error = #expect(throws: LibraryError.self) { try fixture.open() }
        #expect(error?.code == .folderInUse)
        let isWhole = try await library.verify(name: "a0")
        #expect(isWhole)
    }
}
