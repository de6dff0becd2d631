import AdapterStore
import Testing

/// What climbs that no request waits for may compute beside requests.
struct ClimbBudgetTests {
    /// An eighth of a processor, a second saved up, a quarter of a second between two beginnings: what
    /// binary fractions can count.
    static func budget() -> ClimbBudget {
        ClimbBudget(share: 0.125, burst: .seconds(1), spacing: .milliseconds(250))
    }

    /// Climbs of one length, each as soon as it may begin.
    ///
    /// - Returns: when they began.
    static func starts(
        _ count: Int, of time: Duration, in budget: inout ClimbBudget, isBusy: Bool,
        now: inout Duration
    ) -> [Duration] {
        (0..<count).map { _ in
            while true {
                let pause = budget.start(at: now, isBusy: isBusy)
                if pause <= .zero { break }
                now += pause
            }
            defer {
                now += time
                budget.charge(time, isAwaited: false, at: now, isBusy: isBusy)
            }
            return now
        }
    }

    @Test func beginsFull() {
        var budget = Self.budget()
        #expect(budget.credit == .seconds(1))
        #expect(budget.start(at: .seconds(100), isBusy: true) == .zero)
        #expect(budget.pause(at: .seconds(100), isBusy: true) == .zero)
    }

    @Test func aDebtIsPaidFromTheShare() {
        var budget = Self.budget()
        budget.charge(.seconds(2), isAwaited: false, at: .zero, isBusy: true)
        #expect(budget.credit == .seconds(-1))
        #expect(budget.pause(at: .zero, isBusy: true) == .seconds(8))
        #expect(budget.pause(at: .seconds(2), isBusy: true) == .seconds(6))
        #expect(budget.start(at: .seconds(7), isBusy: true) == .seconds(1))
        #expect(budget.start(at: .seconds(8), isBusy: true) == .zero)
        #expect(budget.credit == .zero)
    }

    @Test func noMoreIsSavedThanABurst() {
        var budget = Self.budget()
        budget.charge(.milliseconds(500), isAwaited: false, at: .zero, isBusy: true)
        #expect(budget.pause(at: .seconds(2), isBusy: true) == .zero)
        #expect(budget.credit == .milliseconds(750))
        #expect(budget.pause(at: .seconds(1000), isBusy: true) == .zero)
        #expect(budget.credit == .seconds(1))
    }

    @Test(arguments: [Duration.milliseconds(1), .milliseconds(5), .milliseconds(400), .seconds(3)])
    func takesNoMoreThanItsShareInTheLongRun(_ time: Duration) {
        var budget = ClimbBudget()
        var now = Duration.seconds(7)
        let begin = now
        let count = 1000
        _ = Self.starts(count, of: time, in: &budget, isBusy: true, now: &now)
        let taken = time * count
        let share = (now - begin) * budget.share
        #expect(taken <= share + budget.burst + time + .milliseconds(1))
        // Nor much less: it is there to be used.
        #expect(taken >= share * 0.9 - time)
    }

    @Test func anIdleEngineLeavesEverything() {
        var budget = ClimbBudget()
        var now = Duration.zero
        let starts = Self.starts(100, of: .seconds(1), in: &budget, isBusy: false, now: &now)
        #expect(starts == (0..<100).map { Duration.seconds($0) })
        #expect(budget.credit == budget.burst)
        #expect(budget.pause(at: now, isBusy: true) == .zero)
    }

    @Test func aDebtIsForgottenSoonWhileTheEngineIsIdle() {
        var budget = Self.budget()
        budget.charge(.seconds(4), isAwaited: false, at: .zero, isBusy: true)
        #expect(budget.pause(at: .zero, isBusy: true) == .seconds(24))
        #expect(budget.pause(at: .zero, isBusy: false) == .zero)
        #expect(budget.pause(at: .seconds(2), isBusy: false) == .zero)
        #expect(budget.pause(at: .seconds(2), isBusy: true) == .seconds(8))
    }

    @Test func whoWaitTogetherDoNotBeginTogether() {
        var budget = Self.budget()
        #expect(budget.start(at: .zero, isBusy: true) == .zero)
        #expect(budget.start(at: .zero, isBusy: true) == .milliseconds(250))
        #expect(budget.start(at: .milliseconds(100), isBusy: true) == .milliseconds(150))
        #expect(budget.start(at: .milliseconds(250), isBusy: true) == .zero)
        #expect(budget.start(at: .milliseconds(250), isBusy: true) == .milliseconds(250))
        // But for an engine that has nothing to do.
        #expect(budget.start(at: .milliseconds(250), isBusy: false) == .zero)
        #expect(budget.start(at: .milliseconds(250), isBusy: false) == .zero)
    }

    @Test func awaitedClimbsUseUpWhatIsSavedAndLeaveNoDebt() {
        var budget = Self.budget()
        budget.charge(.milliseconds(250), isAwaited: true, at: .zero, isBusy: true)
        #expect(budget.credit == .milliseconds(750))
        budget.charge(.seconds(5), isAwaited: true, at: .zero, isBusy: true)
        #expect(budget.credit == .zero)
        budget.charge(.seconds(1), isAwaited: false, at: .zero, isBusy: true)
        budget.charge(.seconds(5), isAwaited: true, at: .zero, isBusy: true)
        #expect(budget.credit == .seconds(-1))
    }

    /// However many requests climb meanwhile, the others get their share.
    @Test func awaitedClimbsDoNotHoldUpTheOthersForEver() {
        var budget = Self.budget()
        budget.charge(.seconds(2), isAwaited: false, at: .zero, isBusy: true)
        for step in 1...80 {
            let now = Duration.milliseconds(100 * step)
            budget.charge(.milliseconds(90), isAwaited: true, at: now, isBusy: true)
        }
        #expect(budget.pause(at: .seconds(9), isBusy: true) == .zero)
    }

    @Test func aClockThatGoesBackChangesNothing() {
        var budget = Self.budget()
        budget.charge(.seconds(2), isAwaited: false, at: .seconds(10), isBusy: true)
        #expect(budget.pause(at: .seconds(5), isBusy: true) == .seconds(8))
        #expect(budget.pause(at: .seconds(10), isBusy: true) == .seconds(8))
    }
}
