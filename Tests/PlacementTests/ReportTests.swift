import JSONTree
import Placement
import Testing

struct ReportTests {
    static func report() -> ReplicaReport {
        var report = ReplicaReport()
        report.boot = "b"
        report.version = 7
        report.base = ["base", "other"]
        report.isDraining = true
        report.slotCount = 64
        report.runningCount = 3
        report.cacheUse = 0.25
        report.prefillRate = 1234.5
        report.diskLoads.count = 2
        report.diskLoads.seconds = 0.5
        report.adapters = [Scene.adapter("a", .device, bytes: 1 << 30, busy: 12.25)]
        report.adapters[0].hits = [1, 2, 3, 4]
        report.removed = ["gone"]
        return report
    }

    @Test func whatIsWrittenIsRead() throws {
        let report = Self.report()
        let text = report.json.text()
        #expect(try ReplicaReport(try JSON(parsing: text)) == report)
    }

    /// Each member gone, null, negative, huge, or of another kind.
    @Test func anythingElseIsRefused() throws {
        guard case .object(let object) = Self.report().json else { return }
        let wrong: [JSON?] = [nil, .null, -1, 1e300, "text", [1], ["a": 1], true]
        for name in object.names {
            for value in wrong {
                var changed = object
                changed[name] = value
                guard JSON.object(changed) != .object(object) else { continue }
                // Nothing traps; what is read again says the same.
                guard let report = try? ReplicaReport(.object(changed)) else { continue }
                #expect(try ReplicaReport(report.json) == report, "\(name)")
            }
            var without = object
            without[name] = nil
            #expect(throws: ReplicaReportError.self) { try ReplicaReport(.object(without)) }
        }
        #expect(throws: ReplicaReportError.self) { try ReplicaReport(.array([])) }
    }

    @Test func aJournalTellsWhatChangedSince() {
        var journal = ReplicaJournal()
        func told(_ version: Int?) -> ReplicaReport {
            var report = ReplicaReport()
            journal.fill(&report, since: version)
            return report
        }
        journal.update([Scene.adapter("a", .host), Scene.adapter("b", .disk)], gone: [])
        #expect(told(nil).adapters.count == 2 && told(nil).isWhole)
        let seen = told(nil).version
        #expect(told(seen).adapters.isEmpty && !told(seen).isWhole)
        journal.update([Scene.adapter("b", .disk)], gone: ["never there"])
        #expect(told(seen).version == seen, "nothing changed")
        journal.update([Scene.adapter("b", .host)], gone: ["digest of a"])
        #expect(told(seen).adapters.map(\.digest) == ["digest of b"])
        #expect(told(seen).removed == ["digest of a"])
        #expect(told(seen + 99).isWhole, "a version of another life")
    }

    /// A listener that follows has what a newcomer is told, whatever it missed.
    @Test(arguments: 0..<8)
    func followersAndNewcomersKnowTheSame(seed: Int) {
        var generator = Lehmer(seed: UInt64(seed + 1))
        var journal = ReplicaJournal()
        var known: [String: ReplicaReport.Adapter] = [:]
        var version: Int?
        for step in 0..<3000 {
            let name = "a\(generator.next() % 60)"
            if generator.next() % 3 == 0 {
                journal.update([], gone: ["digest of \(name)"])
            } else {
                journal.update([Scene.adapter(name, .host, busy: Double(step))], gone: [])
            }
            guard generator.next() % (step % 500 < 250 ? 4 : 400) == 0 else { continue }
            var report = ReplicaReport()
            journal.fill(&report, since: version)
            if report.isWhole { known = [:] }
            for adapter in report.adapters { known[adapter.digest] = adapter }
            for digest in report.removed { known[digest] = nil }
            version = report.version
            var whole = ReplicaReport()
            journal.fill(&whole, since: nil)
            #expect(known.values.sorted { $0.digest < $1.digest } == whole.adapters)
        }
    }
}

/// A small generator that is the same everywhere.
struct Lehmer {
    var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33)
    }
}
