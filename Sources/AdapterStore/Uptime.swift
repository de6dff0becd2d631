/// Time that goes on evenly.
enum Uptime {
    private static let start = ContinuousClock.now

    /// Since somebody first asked.
    static var now: Duration { ContinuousClock.now - start }
}
