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
                team.meet(member)
                team.spread(count, for: member) { piece in calls.withLock { $0[piece] += 1 } }
            }
        }
        #expect(calls.withLock { $0 } == Array(repeating: 800, count: count))
    }

    /// Many more threads than processors: nobody may be needed at the same time as somebody else.
    @Test(arguments: [1, 2, 3, 4, 5, 8, 13, 16, 33, 64])
    func whatIsWrittenBeforeAMeetingIsReadAfterIt(_ memberCount: Int) {
        let team = WorkerTeam(memberCount: memberCount)
        // Plain memory: only the meeting orders its writes and reads.
        let places = Matrix(rowCount: memberCount, columnCount: 1)
        let wrong = Atomic<Int>(0)
        for run in 0..<3 {
            team.run { member in
                for meeting in 0..<8 {
                    let number = Float(8 * run + meeting + 1)
                    places[row: member, column: 0] = number
                    team.meet(member)
                    for other in 0..<memberCount where places[row: other, column: 0] != number {
                        wrong.add(1, ordering: .relaxed)
                    }
                    team.meet(member)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        // Those inside, and the end of each run.
        #expect(team.meetingCount == (memberCount > 1 ? 3 * 17 : 0))
    }

    @Test(arguments: [2, 9, 33, 64])
    func everyPieceIsDoneOnceInALargeTeam(_ memberCount: Int) {
        let team = WorkerTeam(memberCount: memberCount)
        for count in [1, memberCount - 1, memberCount, 3 * memberCount + 1] {
            let calls = Mutex([Int](repeating: 0, count: count))
            team.run { member in
                for _ in 0..<4 {
                    team.spread(count, for: member) { piece in calls.withLock { $0[piece] += 1 } }
                }
            }
            #expect(calls.withLock { $0 } == Array(repeating: 4, count: count))
        }
    }

    /// Lines that a member writes or fetches where all members meet, and counters that it looks at for
    /// one product, grow with the logarithm of the team and not at all.
    @Test(arguments: [
        (1, 0, 0), (2, 1, 1), (3, 2, 2), (8, 3, 7), (64, 6, 7), (128, 7, 7), (192, 8, 7),
    ])
    func aMembersTrafficDoesNotGrowWithTheTeam(_ memberCount: Int, _ rounds: Int, _ helped: Int) {
        #expect(WorkerTeam.roundCount(memberCount: memberCount) == rounds)
        #expect(WorkerTeam.helpedCount(memberCount: memberCount) == helped)
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
