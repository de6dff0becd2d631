internal import Foundation
internal import Tensors

/// Lets requests under way keep the processors: while the engine has any, climbs that nobody waits for
/// take no more than a `ClimbBudget`.
///
/// Nothing is held while such a climb waits to begin, so a request for the same adapter goes its own
/// way. One that is on its way pauses only as long as no request waits for work on an adapter: it might
/// be in the way of any.
package final class ClimbThrottle: @unchecked Sendable {
    // Safety: `budget`, `hurryCount` and `isOver` are touched only while `condition` is locked.

    /// Whether nobody waits for what this task does. Tasks that it makes inherit it.
    @TaskLocal static var isBackground: Bool = false

    /// Whether the engine has requests.
    private let isBusy: @Sendable () -> Bool
    private let clock: @Sendable () -> Duration
    private let notePause: @Sendable (Duration) -> Void
    private let condition = NSCondition()
    private var budget: ClimbBudget
    /// Requests that wait for work on an adapter, or for its turn.
    private var hurryCount = 0
    private var isOver = false

    /// - Parameters:
    ///   - isBusy: must not call back.
    ///   - clock: time since whenever.
    ///   - notePause: told how long each climb was held back.
    package init(
        budget: ClimbBudget = ClimbBudget(), isBusy: @escaping @Sendable () -> Bool,
        clock: @escaping @Sendable () -> Duration,
        notePause: @escaping @Sendable (Duration) -> Void = { _ in }
    ) {
        self.budget = budget
        self.isBusy = isBusy
        self.clock = clock
        self.notePause = notePause
    }

    /// How often somebody who pauses looks whether the engine has become idle.
    private static let glance = Duration.milliseconds(50)

    private func locked<Result>(_ body: () -> Result) -> Result {
        condition.lock()
        defer { condition.unlock() }
        return body()
    }

    /// Does work that nobody waits for, as soon as the budget lets it begin.
    ///
    /// - Throws: what the work throws, and `CancellationError`.
    package func background<Value: Sendable>(
        _ work: @Sendable () async throws -> Value
    ) async throws -> Value {
        var paused = Duration.zero
        while true {
            let start = clock()
            let pause = restUntilStart(at: start)
            guard pause > .zero else { break }
            try await Task.sleep(for: min(pause, ClimbThrottle.glance))
            paused += clock() - start
        }
        note(paused: paused)
        return try await ClimbThrottle.$isBackground.withValue(true) { try await work() }
    }

    /// Tells how long a climb was held back, if it was.
    func note(paused: Duration) {
        if paused > .zero { notePause(paused) }
    }

    private func restUntilStart(at now: Duration) -> Duration {
        let hasRequests = isBusy()
        return locked { isOver ? .zero : budget.start(at: now, isBusy: hasRequests) }
    }

    /// Waits for work on an adapter. Nobody pauses meanwhile, unless nobody waits for this either.
    package func hurrying<Value>(
        _ work: () async throws -> Value
    ) async rethrows -> Value {
        guard !ClimbThrottle.isBackground else { return try await work() }
        hurry()
        defer { calm() }
        return try await work()
    }

    /// Whether nobody pauses.
    package var isHurried: Bool { locked { hurryCount > 0 } }

    private func hurry() {
        locked {
            hurryCount += 1
            condition.broadcast()
        }
    }

    private func calm() { locked { hurryCount -= 1 } }

    /// Nobody pauses any more.
    package func end() {
        locked {
            isOver = true
            condition.broadcast()
        }
    }

    package func charge(_ time: Duration, isAwaited: Bool) {
        let hasRequests = isBusy()
        locked { budget.charge(time, isAwaited: isAwaited, at: clock(), isBusy: hasRequests) }
    }

    /// Holds the thread until the budget allows more, or a request hurries.
    ///
    /// - Returns: how long it was held.
    package func pause() -> Duration {
        condition.lock()
        defer { condition.unlock() }
        var paused = Duration.zero
        while hurryCount == 0, !isOver {
            let start = clock()
            let rest = min(budget.pause(at: start, isBusy: isBusy()), ClimbThrottle.glance)
            guard rest > .zero else { break }
            _ = condition.wait(until: Date(timeIntervalSinceNow: rest / .seconds(1)))
            paused += clock() - start
        }
        return paused
    }
}

/// Charges what one thread computes for a climb, piece by piece.
struct ClimbMeter {
    private let throttle: ClimbThrottle
    private let isBackground: Bool
    private var mark = ThreadTime.now
    private var paused = Duration.zero

    init(_ throttle: ClimbThrottle, isBackground: Bool) {
        self.throttle = throttle
        self.isBackground = isBackground
    }

    /// Between two pieces: holds the thread when the budget is used up and nobody waits.
    mutating func pace() {
        charge()
        if isBackground { paused += throttle.pause() }
    }

    /// After the last piece.
    mutating func stop() {
        charge()
        throttle.note(paused: paused)
    }

    private mutating func charge() {
        let now = ThreadTime.now
        throttle.charge(now - mark, isAwaited: !isBackground)
        mark = now
    }
}
