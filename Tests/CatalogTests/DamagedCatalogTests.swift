import Catalog
import Foundation
import TestSupport
import Testing

/// Files that are no catalog, or not a whole one: an error or what can be read, never a crash.
struct DamagedCatalogTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The bytes of a catalog with some names.
    private func whole() throws -> [UInt8] {
        try fill(folder.path("whole"))
        return try bytes("whole")
    }

    /// A catalog that is closed when this returns, so that all of it is in the one file.
    private func fill(_ path: String) throws {
        let catalog = try AdapterCatalog(path: path)
        let adapter = CatalogTests.adapter(String(repeating: "d", count: 64))
        for number in 0..<20 {
            try catalog.put(CatalogTests.alias("name \(number)", adapter.digest), adapter)
        }
    }

    private func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.url.appendingPathComponent(name)))
    }

    /// - Returns: whether it could be opened and read.
    private func canRead(_ bytes: [UInt8], as name: String) throws -> Bool {
        let path = try folder.write(bytes, to: name)
        guard let catalog = try? AdapterCatalog(path: path) else { return false }
        return (try? catalog.aliases()) != nil && (try? catalog.adapters()) != nil
    }

    static func random(_ count: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: UInt64(count))
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    @Test(arguments: [
        Array("a few words that are no database\n".utf8), random(100), random(5000),
        Array(repeating: 0, count: 4096), Array("SQLite format 3\0".utf8) + random(4080),
    ])
    func garbageIsRefused(_ bytes: [UInt8]) throws {
        let path = try folder.write(bytes, to: "catalog")
        let error = #expect(throws: CatalogError.self) { try AdapterCatalog(path: path) }
        #expect(error?.isDiskFull == false && error?.description.contains(path) == true)
        // Whoever looks into it finds what was there.
        #expect(try self.bytes("catalog") == bytes)
    }

    @Test func whatCannotBeAFileIsRefused() throws {
        for name in ["", "gone/catalog"] {
            #expect(throws: CatalogError.self) { try AdapterCatalog(path: folder.path(name)) }
        }
    }

    @Test func aDamagedFileNeverCrashes() throws {
        let whole = try whole()
        var generator = SeededGenerator(seed: 31)
        for round in 0..<200 {
            var bytes = whole
            bytes[Int.random(in: bytes.indices, using: &generator)] ^=
                UInt8.random(in: 1...255, using: &generator)
            _ = try canRead(bytes, as: "flipped \(round)")
        }
        let isRead = try canRead(whole, as: "unchanged")
        #expect(isRead)
    }

    @Test func aFileCutAnywhereNeverCrashes() throws {
        let whole = try whole()
        for count in stride(from: 16, to: whole.count, by: 511) {
            _ = try canRead(Array(whole[..<count]), as: "cut at \(count)")
        }
    }

    /// SQLite does not check types when it reads: one byte makes a rank a text, and so it says.
    @Test func aRankThatIsNoNumberIsRefused() throws {
        var bytes = try whole()
        // A record's header: a text of 64 bytes, the digest, and two numbers of one byte.
        let pattern: [UInt8] = [0x81, 0x0D, 0x01, 0x01]
        let places = bytes.indices.dropLast(3).filter { bytes[$0..<$0 + 4].elementsEqual(pattern) }
        try #require(places.count == 1)
        bytes[places[0] + 2] = 0x0F  // A text of one byte.
        let isRead = try canRead(bytes, as: "text")
        #expect(!isRead)
    }
}
