/// What could not be had a moment ago, so that a flood of requests for one name asks its source once.
///
/// A plain value, bounded in time and number.
package struct RecentFailures: Sendable {
    private struct Failure {
        var error: any Error
        var end: Duration
    }

    /// How long one is remembered.
    package let lifetime: Duration
    package let limit: Int
    private var failures: [String: Failure] = [:]

    package init(lifetime: Duration = .seconds(10), limit: Int = 1000) {
        self.lifetime = lifetime
        self.limit = limit
    }

    package var count: Int { failures.count }

    /// Why a name could not be had; nil when it may be tried.
    package func error(of name: String, at now: Duration) -> (any Error)? {
        guard let failure = failures[name], now < failure.end else { return nil }
        return failure.error
    }

    /// Remembers one; when there are too many, those that end first are forgotten.
    package mutating func note(_ error: any Error, of name: String, at now: Duration) {
        guard limit > 0 else { return }
        if failures.count >= limit, failures[name] == nil {
            failures = failures.filter { now < $0.value.end }
        }
        if failures.count >= limit, failures[name] == nil,
            let first = failures.min(by: { $0.value.end < $1.value.end })?.key
        {
            failures[first] = nil
        }
        failures[name] = Failure(error: error, end: now + lifetime)
    }
}
