/// How much of a processor climbs take that no request waits for, while the engine has requests.
///
/// A bucket of computing time that fills slowly. Whoever climbs is charged what it has computed, when
/// that is known, so the credit may go below zero; then climbs that nobody waits for pause until it is
/// paid. A plain value: times in, pauses out.
package struct ClimbBudget: Sendable {
    /// Of one processor.
    package let share: Double
    /// What may be saved up: a few loads.
    package let burst: Duration
    /// From the beginning of one climb to that of the next, so that those who wait together do not
    /// begin together: none of them is charged yet.
    package let spacing: Duration

    /// What may be computed at once; below zero, what is owed.
    package private(set) var credit: Duration
    /// When the credit was right.
    private var refilled: Duration?
    private var nextStart: Duration?

    package init(
        share: Double = 0.05, burst: Duration = .milliseconds(30),
        spacing: Duration = .milliseconds(10)
    ) {
        precondition(share > 0, "A budget of nothing would never be paid.")
        self.share = share
        self.burst = burst
        self.spacing = spacing
        credit = burst
    }

    /// Asks to begin a climb that nobody waits for.
    ///
    /// - Returns: how long to wait before the next question; zero when it has begun.
    package mutating func start(at now: Duration, isBusy: Bool) -> Duration {
        var rest = pause(at: now, isBusy: isBusy)
        if isBusy, let nextStart { rest = max(rest, nextStart - now) }
        if rest <= .zero { nextStart = now + spacing }
        return max(rest, .zero)
    }

    /// How long to pause in the middle of one: not at all while the engine is idle.
    package mutating func pause(at now: Duration, isBusy: Bool) -> Duration {
        refill(until: now, isBusy: isBusy)
        guard isBusy, credit < .zero else { return .zero }
        return max(credit / -share, .microseconds(1))
    }

    /// Takes what a climb has computed.
    ///
    /// - Parameter isAwaited: by a request. Such climbs use up what is saved but leave no debt:
    ///   beside many of them the others would never go on.
    package mutating func charge(_ time: Duration, isAwaited: Bool, at now: Duration, isBusy: Bool)
    {
        refill(until: now, isBusy: isBusy)
        guard isBusy else { return }
        credit = isAwaited ? max(credit - time, min(credit, .zero)) : credit - time
    }

    /// The engine counts as busy, or idle, since it was asked last. An idle one leaves all of a
    /// processor.
    private mutating func refill(until now: Duration, isBusy: Bool) {
        let last = refilled ?? now
        let elapsed = max(now - last, .zero)
        refilled = max(now, last)
        credit = min(burst, credit + elapsed * (isBusy ? share : 1))
    }
}
