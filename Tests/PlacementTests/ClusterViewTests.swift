import Placement
import Testing

/// Replicas that say what a test wants.
struct Scene {
    var view: ClusterView
    var now = 100.0
    var reports: [String: ReplicaReport] = [:]

    init(_ names: [String], rules: PlacementRules = PlacementRules(), slots: Int = 16) {
        view = ClusterView(rules: rules)
        view.setReplicas(names)
        for name in names {
            var report = ReplicaReport()
            report.boot = "boot of \(name)"
            report.base = ["base"]
            report.slotCount = slots
            report.hostBudget = 1000
            report.finishedCount = 10
            report.finishedSeconds = 10
            say(name, report)
        }
    }

    mutating func say(_ name: String, _ report: ReplicaReport) {
        reports[name] = report
        guard let place = view.place(of: name) else { return }
        view.hear(report, from: place, at: now)
    }

    /// A change to what a replica said last.
    mutating func change(_ name: String, _ change: (inout ReplicaReport) -> Void) {
        var report = reports[name] ?? ReplicaReport()
        report.version += 1
        report.isWhole = false
        report.adapters = []
        report.removed = []
        change(&report)
        say(name, report)
    }

    static func adapter(
        _ name: String, _ tier: AdapterTier, bytes: Int = 10, busy: Double = 0
    ) -> ReplicaReport.Adapter {
        var adapter = ReplicaReport.Adapter()
        adapter.digest = "digest of \(name)"
        adapter.names = [name]
        adapter.tier = tier
        adapter.byteCount = bytes
        adapter.busySeconds = busy
        return adapter
    }

    func pick(_ name: String?, allowed: Set<String>? = nil) -> [String]? {
        var request = ClusterView.Request(adapter: name)
        request.allowed = allowed
        return view.pick(request, at: now)?.places.compactMap { view.replicas[$0]?.name }
    }

    mutating func send(_ name: String?) -> String? {
        let request = ClusterView.Request(adapter: name)
        guard let place = view.pick(request, at: now)?.places.first else { return nil }
        view.note(request, sentTo: place, at: now)
        return view.replicas[place]?.name
    }
}

let three = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]

struct PickTests {
    @Test func whoHasTheAdapterIsFirst() {
        for holder in three {
            var scene = Scene(three)
            scene.change(holder) { $0.adapters = [Scene.adapter("a", .host)] }
            let picked = scene.pick("a")
            #expect(picked?.first == holder)
            #expect(picked?.count == 3)
        }
    }

    @Test func aHundredAtOnceBringAColdAdapterOnce() {
        for known in [false, true] {
            var scene = Scene(three, slots: 4)
            if known {
                scene.change(three[1]) { $0.adapters = [Scene.adapter("cold", .disk)] }
            }
            let places = (0..<100).map { _ in scene.send("cold") }
            #expect(Set(places).count == 1, "\(known)")
        }
    }

    @Test func aFailedLoadIsNotWaitedForForever() {
        var scene = Scene(three)
        let first = scene.send("cold")
        scene.now += 60
        for name in three { scene.change(name) { _ in } }
        // Much work where the load was begun.
        scene.change(first ?? "") { $0.runningCount = 64 }
        #expect(scene.send("cold") != first)
    }

    @Test func anotherReplicaMustSaveMoreThanTheSpill() {
        var scene = Scene(three)
        scene.change(three[0]) { $0.adapters = [Scene.adapter("a", .host)] }
        for name in three.dropFirst() {
            scene.change(name) { $0.adapters = [Scene.adapter("a", .disk)] }
        }
        // A little more to do is no reason to bring it elsewhere.
        scene.change(three[0]) { $0.runningCount = 6 }
        #expect(scene.pick("a")?.first == three[0])
        scene.change(three[0]) {
            $0.runningCount = 16
            $0.waitingCount = 30
        }
        #expect(scene.pick("a")?.first != three[0])
        #expect(scene.pick("a")?.last == three[0])
    }

    @Test func theBaseGoesWhereLeastIsToDo() {
        var scene = Scene(three)
        scene.change(three[0]) { $0.runningCount = 10 }
        scene.change(three[2]) { $0.runningCount = 5 }
        #expect(scene.pick(nil) == [three[1], three[2], three[0]])
        // What was sent counts before the replica says so.
        let sent = (0..<30).compactMap { _ in scene.send(nil) }
        for name in three { #expect(sent.filter { $0 == name }.count >= 5, "\(name)") }
    }

    @Test func drainingSilentAndLostReplicasAreLeftOut() {
        var scene = Scene(three)
        scene.change(three[0]) { $0.isDraining = true }
        scene.view.lose(scene.view.place(of: three[1]) ?? -1)
        #expect(scene.pick("a") == [three[2]])
        scene.now += 11
        #expect(scene.pick("a") == nil)
        scene.change(three[1]) { $0.adapters = [] }
        #expect(scene.pick("a") == [three[1]])
    }

    @Test func aSilentReplicaIsAvoidedBeforeItIsLost() {
        var scene = Scene(three)
        scene.change(three[0]) { $0.adapters = [Scene.adapter("a", .host)] }
        scene.now += 4
        for name in three.dropFirst() { scene.change(name) { _ in } }
        #expect(scene.pick("a")?.first != three[0])
        #expect(scene.pick("a")?.last == three[0])
    }

    @Test func theGatewaysSubsetIsKept() {
        let scene = Scene(three)
        #expect(scene.pick("a", allowed: [three[2]]) == [three[2]])
        #expect(scene.pick("a", allowed: ["10.9.9.9:80"]) == nil)
        #expect(scene.pick("a", allowed: []) == nil)
    }

    @Test func aTextGoesWhereItsBeginningWasComputed() {
        var scene = Scene(three)
        for name in three {
            scene.change(name) {
                $0.adapters = [Scene.adapter("a", .host)]
                $0.prefillRate = 1000
            }
        }
        let text = Array(repeating: UInt8(ascii: "x"), count: 5000)
        var request = ClusterView.Request(adapter: "a")
        request.prefix = PrefixTable.hashes(of: text, salt: "a")
        #expect(request.prefix.count == 9)
        for place in 0..<3 {
            scene.view.note(request, sentTo: place, at: scene.now)
            scene.now += 1
            for name in three { scene.change(name) { _ in } }
            #expect(scene.view.pick(request, at: scene.now)?.places.first == place)
        }
        request.prefix = PrefixTable.hashes(of: text, salt: "another")
        #expect(PrefixTable.hashes(of: text, salt: "a") != request.prefix)
    }

    /// A name that is replaced stands for another digest; the order in which both are told does not matter.
    @Test(arguments: [false, true])
    func aReplacedNameIsWhereItsNewAdapterIs(isOldFirst: Bool) {
        var scene = Scene(three)
        scene.change(three[0]) { $0.adapters = [Scene.adapter("a", .host)] }
        var old = Scene.adapter("a", .disk)
        old.names = []
        var new = Scene.adapter("a", .host)
        new.digest = "another"
        scene.change(three[0]) { $0.adapters = isOldFirst ? [old, new] : [new, old] }
        #expect(scene.view.adapter("a")?.tiers.contains(.host) == true)
        scene.change(three[0]) { $0.removed = ["another"] }
        #expect(scene.view.adapter("a")?.tiers.contains(.host) == false)
    }

    @Test func aNewBootHasNothing() {
        var scene = Scene(three)
        scene.change(three[0]) { $0.adapters = [Scene.adapter("a", .host)] }
        scene.change(three[0]) {
            $0.boot = "another"
            $0.isWhole = true
            $0.version = 0
        }
        #expect(scene.view.adapter("a")?.tiers == [.source, .source, .source])
    }

    @Test func namesFromRequestsDoNotPileUp() {
        var scene = Scene(three)
        for number in 0..<30_000 { _ = scene.send("name \(number)") }
        #expect(scene.view.adapters.count <= 10_000)
        scene.now += 120
        for name in three { scene.change(name) { _ in } }
        _ = scene.view.replan(at: scene.now)
        #expect(scene.view.adapters.count < 100)
        // While some are hot, the rest of the table still goes.
        for round in 0..<3 {
            for number in 0..<9000 { _ = scene.send("other \(round) \(number)") }
            scene.now += 120
            for name in three {
                scene.change(name) {
                    $0.adapters = (0..<50).map {
                        Scene.adapter("hot \($0)", .host, busy: Double(round + 1) * 500)
                    }
                }
            }
            let wanted = scene.view.replan(held: ["held": 3], at: scene.now)
            #expect(wanted.allSatisfy { $0.key.hasPrefix("hot") || $0.key == "held" })
            #expect(scene.view.adapters.count < 100)
        }
    }

    /// 200 replicas and 10,000 adapters, each on three of them.
    @Test func pickingIsLinearInReplicas() {
        let names = (0..<200).map { "10.0.\($0 / 100).\($0 % 100):80" }
        var scene = Scene(names)
        for (place, name) in names.enumerated() {
            scene.change(name) {
                $0.adapters = (0..<150).map {
                    Scene.adapter("a\((place * 50 + $0) % 10_000)", .host)
                }
            }
        }
        #expect(scene.view.adapters.count == 10_000)
        let holders = scene.view.adapter("a77")?.tiers.enumerated().filter { $1 == .host }
            .map { scene.view.replicas[$0.offset]?.name ?? "" }
        #expect(holders?.contains(scene.pick("a77")?.first ?? "") == true)
    }
}
