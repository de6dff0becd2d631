import AdapterSources
import AdapterStore
import Adapters
import Catalog
import Foundation
import ModelFiles
import TestSupport
import Testing

/// Who is brought into RAM, who shares the work, who stays, and who waits.
struct AdapterLibraryTests {
    @Test func leasesOfAColdAdapterShareOneRead() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let library = try await fixture.openFilled()
        let faults = fixture.faults
        faults.holdReads(true)
        defer { faults.holdReads(false) }
        var leases = try await leaseTogether(Array(repeating: "a0", count: 8), of: library) {
            try await until("all have asked") { library.entry("a0")?.leaseCount == 8 }
            faults.holdReads(false)
        }
        #expect(faults.readCount == 1)
        #expect(Set(leases.map { ObjectIdentifier($0.adapter) }).count == 1)
        #expect(try fixture.packed(leases[0].adapter) == fixture.adapters[0].pack)
        let record = library.entry("a0")?.record
        #expect(record?.hits == 8 && record?.loads == 1)
        leases.removeAll()
        try await until("all leases are given back") { library.entry("a0")?.leaseCount == 0 }
        #expect(library.entry("a0")?.tier == .host)
    }

    @Test func requestsForAnUnreadSourceShareOneFetch() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let shelf = RemoteShelf()
        let gate = Gate()
        shelf.put(fixture.adapters[0].files, in: "r")
        shelf.setFault(.slow(gate), of: "r")
        let script: ScriptedServer.Script = { shelf.reply(to: $0) }
        try await ScriptedServer.run(script) { server in
            let library = try fixture.open()
            let source = try AdapterSource("http://files.test:\(server.port)/r/")
            try await library.register(name: "a", source: source)
            let leases = try await leaseTogether(Array(repeating: "a", count: 8), of: library) {
                defer { gate.open() }
                try await until("the weights are asked for") { shelf.slowCount == 1 }
            }
            #expect(shelf.slowCount == 1 && fixture.faults.writeCount == 1)
            #expect(Set(leases.map { ObjectIdentifier($0.adapter) }).count == 1)
            #expect(try fixture.packed(leases[0].adapter) == fixture.adapters[0].pack)
            #expect(try fixture.files(in: "staging").isEmpty)
        }
    }

    /// A later version may read more of the same files, or the base's tokenizer may have changed: names go on.
    @Test func theSameFilesMayMakeAnotherAdapter() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        var files = fixture.adapters[0].files
        files["chat_template.jinja"] = Array("{{ messages }}".utf8)
        let source = try fixture.place(files, as: "a")
        fixture.settle = { text in
            var less = text
            less.chatTemplate = nil
            return less
        }
        let first: AdapterDigest
        do {
            let library = try fixture.open()
            for name in ["a", "b"] {
                try await library.put(name: name, source: source, replaces: false)
            }
            first = try await library.lease("a").adapter.digest
        }
        fixture.close()
        fixture.settle = AdapterLibrary.Configuration().settle
        // As one that is of another version is.
        let packs = fixture.faults.folder + "/packs"
        for name in try fixture.files(in: "packs") {
            try FileManager.default.removeItem(atPath: packs + "/" + name)
        }
        var again: AdapterLibrary?
        try await until("the folder is free") {
            again = try? fixture.open()
            return again != nil
        }
        let library = try #require(again)
        try await library.warm(name: "b")
        for name in ["a", "b"] {
            let lease = try await library.lease(name)
            #expect(lease.adapter.digest != first && lease.adapter.text?.chatTemplate != nil)
            #expect(library.entry(name)?.digest == lease.adapter.digest)
        }
        // Other files are another matter.
        for name in try fixture.files(in: "packs") {
            try FileManager.default.removeItem(atPath: packs + "/" + name)
        }
        try await until("nobody holds it") { library.entry("a")?.leaseCount == 0 }
        #expect(try library.demote(name: "a"))
        files["chat_template.jinja"] = Array("{{ tools }}".utf8)
        try fixture.place(files, as: "a")
        let error = await #expect(throws: LibraryError.self) { try await library.lease("a") }
        #expect(error?.code == .conflict)
    }

    @Test func leasedAndPinnedAdaptersStay() async throws {
        let fixture = try LibraryFixture(adapterCount: 4, equalSizes: true)
        fixture.hostBudget = 3 * fixture.adapters[0].byteCount
        let library = try await fixture.openFilled()
        let lease = try await library.lease("a0")
        try await library.pin(name: "a1", true)
        for name in ["a1", "a2", "a3", "a2", "a3"] {
            try await library.warm(name: name)
            try await until("nobody holds \(name)") { library.entry(name)?.leaseCount == 0 }
        }
        let tiers = library.entries.map(\.tier)
        #expect(tiers == [.host, .host, .disk, .host])
        #expect(library.tiers.hostBytes == fixture.hostBudget)
        let isDemoted = [
            try library.demote(name: "a0"), try library.demote(name: "a1"),
            try library.demote(name: "a2"),
        ]
        #expect(isDemoted == [false, false, true])
        #expect(lease.adapter.digest == fixture.adapters[0].digest)
    }

    @Test func aFullTierWaitsAndThenRefuses() async throws {
        let fixture = try LibraryFixture(adapterCount: 2, equalSizes: true)
        fixture.hostBudget = fixture.adapters[0].byteCount
        let library = try await fixture.openFilled()
        var leases = [try await library.lease("a0")]
        let refused = Task { try await library.lease("a1") }
        try await until("a request waits") { library.tiers.waitingCount == 1 }
        fixture.clock.advance(by: LibraryFixture.patience - .seconds(1))
        for _ in 0..<50 { await letOthersGoOn() }
        #expect(library.tiers.waitingCount == 1)
        fixture.clock.advance(by: .seconds(1))
        let error = await #expect(throws: LibraryError.self) { try await refused.value }
        #expect(error?.code == .noRoom)
        #expect(library.tiers.waitingCount == 0 && library.entry("a0")?.leaseCount == 1)

        let served = Task { try await library.lease("a1") }
        try await until("another request waits") { library.tiers.waitingCount == 1 }
        // Without a look at it the compiler ends the lease as soon as it has begun.
        #expect(leases[0].adapter.digest == fixture.adapters[0].digest)
        leases.removeAll()
        let lease = try await served.value
        #expect(lease.adapter.digest == fixture.adapters[1].digest)
        #expect(library.entry("a0")?.tier == .disk && library.tiers.hostCount == 1)
    }

    @Test func whatIsLargerThanTheTierIsRefused() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let library = try await fixture.openFilled()
        fixture.hostBudget = fixture.adapters[0].byteCount - 1
        // Before it is packed too: no memory is taken for it.
        let smaller = try fixture.open(1)
        let source = try fixture.place(fixture.adapters[0].files, as: "a0")
        let refusal = await #expect(throws: LibraryError.self) {
            try await smaller.put(name: "a0", source: source, replaces: false)
        }
        #expect(refusal?.code == .tooLarge && smaller.names == [])
        #expect(try fixture.files(in: "packs").isEmpty && fixture.files(in: "staging").isEmpty)
        _ = try await library.lease("a0")
    }

    @Test func whoLeavesGivesItsLeaseBack() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let library = try await fixture.openFilled()
        let faults = fixture.faults
        faults.holdReads(true)
        defer { faults.holdReads(false) }
        let task = Task { try await library.lease("a0") }
        try await until("it has asked") { library.entry("a0")?.leaseCount == 1 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        faults.holdReads(false)
        try await until("it is read for whoever comes next, and nobody holds it") {
            let entry = library.entry("a0")
            return entry?.tier == .host && entry?.leaseCount == 0
        }
    }

    @Test func aRemovedAdapterStaysForItsLeases() async throws {
        let fixture = try LibraryFixture(adapterCount: 1, equalSizes: true)
        let library = try await fixture.openFilled()
        var leases = [try await library.lease("a0")]
        try await library.remove(name: "a0")
        #expect(library.entry("a0") == nil && !fixture.isPacked(fixture.adapters[0]))
        #expect(try fixture.packed(leases[0].adapter) == fixture.adapters[0].pack)
        #expect(library.tiers.hostCount == 1)
        leases.removeAll()
        try await until("it is gone") { library.tiers.hostCount == 0 }
        #expect(library.tiers.hostBytes == 0)
    }
}
