import Placement
import Testing

struct PlanTests {
    /// A cluster under a steady load, and what its plan makes of it.
    struct Play {
        var scene: Scene
        var busy: [String: Double] = [:]
        var bytes = 10

        init(_ names: [String] = three) {
            scene = Scene(names)
            _ = scene.view.replan(at: scene.now)
        }

        /// - Parameter load: requests at once for each adapter; the first replica counts all of them.
        @discardableResult
        mutating func run(_ load: [String: Double], seconds: Double) -> [ClusterView.Prefetch] {
            var last: [ClusterView.Prefetch] = []
            let end = scene.now + seconds
            let names = scene.view.replicas.compactMap { $0?.name }
            while scene.now < end {
                scene.now += 2
                for name in load.keys { busy[name, default: 0] += (load[name] ?? 0) * 2 }
                let adapters = load.keys.sorted().map {
                    Scene.adapter($0, .host, bytes: bytes, busy: busy[$0] ?? 0)
                }
                scene.change(names[0]) { $0.adapters = adapters }
                for name in names.dropFirst() { scene.change(name) { _ in } }
                last = scene.view.replan(at: scene.now)
            }
            return last
        }

        func plan(_ name: String) -> [String] {
            scene.view.adapter(name)?.plan.compactMap { scene.view.replicas[$0]?.name } ?? []
        }
    }

    @Test func heatIsRequestsAtOnce() {
        var play = Play()
        play.run(["a": 2.5], seconds: 60)
        #expect(abs((play.scene.view.adapter("a")?.heat ?? 0) - 2.5) < 0.05)
    }

    @Test(arguments: [(0.3, 1), (0.65, 1), (0.75, 2), (1.5, 3), (50, 3)])
    func copiesFollowHeat(heat: Double, copies: Int) {
        var play = Play()
        play.run(["a": heat], seconds: 60)
        #expect(play.plan("a").count == copies)
    }

    @Test func copiesComeAtOnceAndGoAfterAWhile() {
        var play = Play()
        play.run(["a": 1.6], seconds: 40)
        #expect(play.plan("a").count == 3)
        play.run(["a": 0.1], seconds: 40)
        #expect(play.plan("a").count == 3)
        // It takes some seconds to cool down, too.
        play.run(["a": 0.1], seconds: 40)
        #expect(play.plan("a").count == 1)
        play.run(["a": 3], seconds: 6)
        #expect(play.plan("a").count == 3)
    }

    @Test func aWobbleMovesNothing() {
        var play = Play()
        play.run(["a": 1.5], seconds: 40)
        for _ in 0..<20 {
            play.run(["a": 1.3], seconds: 10)
            play.run(["a": 1.5], seconds: 10)
            #expect(play.plan("a").count == 3)
        }
    }

    @Test func theHottestGetTheRoomThatThereIs() {
        var play = Play()
        play.bytes = 400
        // Two fit a replica: six copies in all.
        let load = Dictionary(
            uniqueKeysWithValues: (0..<9).map { ("a\($0)", 0.6 - Double($0) * 0.05) })
        play.run(load, seconds: 60)
        for number in 0..<9 {
            #expect(play.plan("a\(number)").count == (number < 6 ? 1 : 0), "\(number)")
        }
        for name in three {
            let count = (0..<9).count { play.plan("a\($0)").contains(name) }
            #expect(count == 2, "\(name)")
        }
    }

    @Test func whatIsMissingIsToBeBroughtTheHottestFirst() {
        var play = Play()
        let missing = play.run(["a": 3, "b": 2, "c": 0.1], seconds: 60)
        let first = play.scene.view.place(of: three[0])
        #expect(missing.allSatisfy { $0.place != first })
        // First copies come with the first request; others are brought ahead.
        let keys = missing.map(\.key)
        #expect(keys == keys.sorted() && Set(keys) == ["a", "b"])
    }

    @Test func routersAgreeWithoutTalking() {
        var one = Play()
        one.run(["a": 1], seconds: 30)
        // Another one has seen nothing before.
        var other = Play()
        let load = Dictionary(
            uniqueKeysWithValues: (0..<40).map { ("a\($0)", 0.1 + Double($0 % 7) * 0.3) })
        one.run(load, seconds: 90)
        other.run(load, seconds: 90)
        for name in load.keys { #expect(one.plan(name) == other.plan(name), "\(name)") }
    }

    @Test(arguments: [3, 8, 20])
    func aReplicaThatComesOrGoesMovesItsShare(count: Int) {
        let names = (0..<count).map { "10.0.0.\($0):80" }
        var play = Play(names)
        play.bytes = 1
        let load = Dictionary(uniqueKeysWithValues: (0..<200).map { ("a\($0)", 0.3) })
        play.run(load, seconds: 20)
        let before = load.keys.map { play.plan($0) }
        var more = Play(names + ["10.0.9.9:80"])
        more.bytes = 1
        more.run(load, seconds: 20)
        let after = load.keys.map { more.plan($0) }
        let moved = zip(before, after).count { $0 != $1 }
        #expect(Double(moved) <= 200 * (1 / Double(count + 1) + 0.1))
        // And only to the one that came.
        for (old, new) in zip(before, after) where old != new { #expect(new == ["10.0.9.9:80"]) }
    }

    @Test func aReplicaThatJoinsBringsItsAdaptersFirst() {
        var play = Play(Array(three.prefix(2)))
        play.run(["a": 3, "b": 3], seconds: 30)
        play.scene.view.setReplicas(three)
        var report = play.scene.reports[three[0]] ?? ReplicaReport()
        report.boot = "new"
        report.isWhole = true
        report.adapters = []
        play.scene.say(three[2], report)
        let place = play.scene.view.place(of: three[2]) ?? -1
        #expect(!play.scene.view.isReady(place, at: play.scene.now))
        _ = play.scene.view.replan(at: play.scene.now + 2)
        #expect(play.plan("a").contains(three[2]))
        #expect(!play.scene.view.isReady(place, at: play.scene.now + 2))
        play.scene.now += 3
        play.scene.change(three[2]) {
            $0.adapters = [Scene.adapter("a", .host), Scene.adapter("b", .host)]
        }
        _ = play.scene.view.replan(at: play.scene.now)
        #expect(play.scene.view.isReady(place, at: play.scene.now))
    }

    @Test func aReplicaThatCannotBringThemIsUsedAfterAWhile() {
        var play = Play(Array(three.prefix(2)))
        play.run(["a": 3], seconds: 30)
        play.scene.view.setReplicas(three)
        play.scene.say(three[2], play.scene.reports[three[1]] ?? ReplicaReport())
        let place = play.scene.view.place(of: three[2]) ?? -1
        #expect(!play.scene.view.isReady(place, at: play.scene.now + 9))
        #expect(play.scene.view.isReady(place, at: play.scene.now + 10))
    }

    @Test func aRouterThatComesLateTakesOldCountersForNothing() {
        var scene = Scene(three)
        _ = scene.view.replan(at: scene.now)
        scene.now += 2
        var report = scene.reports[three[0]] ?? ReplicaReport()
        report.boot = "an old one"
        report.isWhole = true
        report.adapters = [Scene.adapter("a", .host, busy: 100_000)]
        scene.say(three[0], report)
        _ = scene.view.replan(at: scene.now)
        #expect(scene.view.adapter("a")?.heat == 0)
    }

    @Test func whatIsHeldIsHeat() {
        var scene = Scene(three)
        for _ in 0..<20 {
            scene.now += 2
            for name in three { scene.change(name) { _ in } }
            _ = scene.view.replan(held: ["waiting": 3], at: scene.now)
        }
        #expect((scene.view.adapter("waiting")?.heat ?? 0) > 2.5)
    }
}
