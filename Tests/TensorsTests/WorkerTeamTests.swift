import Synchronization
import Tensors
import Testing

struct WorkerTeamTests {
    @Test(arguments: [1, 2, 3, 7])
    func everyMemberWorksOnceAPiece(_ memberCount: Int) {
        let team = WorkerTeam(memberCount: memberCount)
        let calls = Mutex([Int](repeating: 0, count: memberCount))
        for _ in 0..<500 { team.run { member in calls.withLock { $0[member] += 1 } } }
        #expect(calls.withLock { $0 } == Array(repeating: 500, count: memberCount))
    }

    @Test(arguments: [0, 1, 2, 5, 100])
    func sharesCoverEverythingOnce(_ count: Int) {
        let team = WorkerTeam(memberCount: 3)
        #expect((0..<3).flatMap { team.share(of: count, for: $0) } == Array(0..<count))
    }

    @Test(arguments: [0, 1, 2, 5, 100])
    func everyPieceIsDoneOnceByWhoeverIsFree(_ count: Int) {
        let team = WorkerTeam(memberCount: 3)
        let calls = Mutex([Int](repeating: 0, count: count))
        for _ in 0..<200 {
            team.run { member in
                for _ in 0..<3 {
                    team.spread(count, for: member) { piece in calls.withLock { $0[piece] += 1 } }
                }
                team.meet()
                team.spread(count, for: member) { piece in calls.withLock { $0[piece] += 1 } }
            }
        }
        #expect(calls.withLock { $0 } == Array(repeating: 800, count: count))
    }

    @Test func sleepersWakeUp() async throws {
        let team = WorkerTeam(memberCount: 2)
        for _ in 0..<3 {
            // Long enough for the other member to sleep.
            try await Task.sleep(for: .milliseconds(30))
            let sum = Atomic<Int>(0)
            team.run { sum.add($0 + 1, ordering: .relaxed) }
            #expect(sum.load(ordering: .relaxed) == 3)
        }
    }
}
