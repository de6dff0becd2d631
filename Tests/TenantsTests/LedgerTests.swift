import Catalog
import Foundation
import JSONTree
import Tenants
import Tensors
import Testing

/// A file's path that is gone with the test.
final class TemporaryPath {
    let path = NSTemporaryDirectory() + "martlet-\(UUID().uuidString)"

    init() throws {}

    deinit {
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: path + suffix)
        }
    }
}

struct LedgerTests {
    private static func record(_ key: String, _ model: String, _ hour: Int, _ tokens: Int)
        -> UsageRecord
    {
        var record = UsageRecord(key: key, model: model, hour: hour)
        record.requests = 1
        record.promptTokens = tokens
        record.completionTokens = 2 * tokens
        record.deviceSeconds = 0.25
        return record
    }

    @Test func sumsAreByKeyModelAndHour() throws {
        let file = try TemporaryPath()
        for round in 1...2 {
            let ledger = UsageLedger(store: try TenantStore(path: file.path))
            for _ in 0..<3 { ledger.add(Self.record("a", "m", 7, 10)) }
            ledger.add(Self.record("a", "m", 8, 1))
            ledger.add(Self.record("b", "m", 7, 5))
            try ledger.flush()
            ledger.add(Self.record("a", "n", 7, 1))
            let all = try ledger.usage(0..<100)
            #expect(all.map(\.key) == ["a", "a", "b", "a"])
            #expect(all.map(\.model) == ["m", "n", "m", "m"])
            #expect(all[0].requests == 3 * round && all[0].promptTokens == 30 * round)
            #expect(
                all[0].completionTokens == 60 * round
                    && all[0].deviceSeconds == 0.75 * Double(round))
            #expect(try ledger.usage(8..<9).count == 1)
            #expect(try ledger.usage(0..<100, key: "b").map(\.promptTokens) == [5 * round])
        }
    }

    /// What several tasks add while it is stored is stored once.
    @Test func nothingIsLostOrCountedTwice() async throws {
        let ledger = UsageLedger(store: try TenantStore(path: ":memory:"))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for index in 0..<200 {
                        ledger.add(Self.record("a", "m\(index % 3)", 1, 1))
                        if index % 20 == 0 { try? ledger.flush() }
                    }
                }
            }
        }
        #expect(try ledger.usage(0..<9).reduce(0) { $0 + $1.requests } == 1600)
    }

    @Test func anAuditLogGoesOnInANewFile() throws {
        let (file, moved) = (try TemporaryPath(), try TemporaryPath())
        let log = try AuditLog(path: file.path)
        log.write("one", [("text", "a\nb")])
        try FileManager.default.moveItem(atPath: file.path, toPath: moved.path)
        log.write("two", [])
        try log.reopen()
        log.write("three", [])
        func events(_ path: String) throws -> [String?] {
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
                try JSON(parsing: Array($0.utf8))["event"]?.stringValue
            }
        }
        #expect(try events(moved.path) == ["one", "two"])
        #expect(try events(file.path) == ["three"])
        let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions]
        #expect((mode as? NSNumber)?.intValue == 0o600)
        #expect(throws: FileError.self) { try AuditLog(path: "/no/such/folder/x") }
    }
}
