internal import Foundation
package import OpenAIWire
internal import Synchronization

/// How much of what they may the holders of keys have used.
///
/// Requests and tokens a minute are buckets that fill up steadily, by a clock that does not jump. A request's tokens are
/// reserved when it begins, as the prompt's and `max_tokens`, and settled by what it came to when it ends: a bucket may
/// owe tokens. Budgets are what the ledger says of windows that follow each other since 1970.
package final class KeyMeters: Sendable {
    private struct Meter {
        var requests = Bucket()
        var tokens = Bucket()
        var running = 0
        var window: Range<Int>?
        var spent = 0
    }

    /// Tokens that a bucket lacks until it is full; they come back by the minute.
    private struct Bucket {
        var missing = 0.0
        var time = 0.0

        /// - Parameter limit: nil for no limit.
        mutating func fill(_ limit: Int?, at now: Double) {
            if let limit { missing = max(0, missing - max(0, now - time) * Double(limit) / 60) }
            time = now
        }

        func wait(for count: Int, _ limit: Int) -> Double {
            max(0, missing + Double(min(count, limit)) - Double(limit)) * 60 / Double(limit)
        }
    }

    private let meters = Mutex<[String: Meter]>([:])
    private let ledger: UsageLedger
    private let now: @Sendable () -> Double
    private let hour: @Sendable () -> Int

    /// - Parameters:
    ///   - now: seconds, since any time.
    ///   - hour: since 1970.
    package init(
        ledger: UsageLedger, now: @escaping @Sendable () -> Double = KeyMeters.seconds,
        hour: @escaping @Sendable () -> Int = { Int(Date().timeIntervalSince1970 / 3600) }
    ) {
        self.ledger = ledger
        self.now = now
        self.hour = hour
    }

    private static let origin = ContinuousClock.now
    package static let seconds: @Sendable () -> Double = {
        (ContinuousClock.now - origin) / .seconds(1)
    }

    /// Lets a request begin.
    ///
    /// - Returns: what counts it as running until it is let go.
    /// - Throws: `APIError` when the key has used up what it may.
    package func begin(_ holder: KeyHolder) throws(APIError) -> Turn {
        let refusal: APIError? = change(holder) { meter in
            if let limit = holder.terms.parallelLimit, meter.running >= limit {
                return .limit("\(limit) requests at the same time", wait: 1)
            }
            if let limit = holder.terms.requestLimit {
                let wait = meter.requests.wait(for: 1, limit)
                if wait > 0 { return .limit("\(limit) requests a minute", wait: wait) }
                meter.requests.missing += 1
            }
            meter.running += 1
            return nil
        }
        if let refusal { throw refusal }
        return Turn(meters: self, holder: holder)
    }

    /// What a request has set aside, and of which window's budget.
    private struct Reservation {
        var tokens = 0
        var window: Range<Int>?
        var isOver = false
    }

    /// A request on its way.
    package final class Turn: Sendable {
        package let holder: KeyHolder
        private let meters: KeyMeters
        private let state = Mutex(Reservation())

        fileprivate init(meters: KeyMeters, holder: KeyHolder) {
            self.meters = meters
            self.holder = holder
        }

        deinit { end(tokens: 0) }

        /// Sets aside what the request may come to.
        ///
        /// - Throws: `APIError` when the key has not as much.
        package func reserve(_ tokens: Int) throws(APIError) {
            let window = try meters.reserve(tokens, holder)
            state.withLock {
                $0.tokens += tokens
                $0.window = window
            }
        }

        /// The request has ended; only the first call counts.
        package func end(tokens: Int) {
            let before: Reservation? = state.withLock { state in
                guard !state.isOver else { return nil }
                state.isOver = true
                return state
            }
            if let before { meters.end(holder, before, used: tokens) }
        }
    }

    /// - Returns: the window whose budget it is taken from.
    private func reserve(_ tokens: Int, _ holder: KeyHolder) throws(APIError) -> Range<Int>? {
        let (refusal, window): (APIError?, Range<Int>?) = change(holder) { meter in
            if let limit = holder.terms.tokenLimit {
                let wait = meter.tokens.wait(for: tokens, limit)
                if wait > 0 { return (.limit("\(limit) tokens a minute", wait: wait), nil) }
            }
            if let budget = holder.terms.budget, meter.spent + tokens > budget.tokens {
                let end = Double(meter.window?.upperBound ?? 0) * 3600
                let wait = max(1, end - Date().timeIntervalSince1970)
                return (
                    .limit("\(budget.tokens) tokens within \(budget.hours) hours", wait: wait), nil
                )
            }
            meter.tokens.missing += Double(tokens)
            meter.spent += tokens
            return (nil, meter.window)
        }
        guard let refusal else { return window }
        // What is not begun is not counted either.
        change(holder) { $0.requests.missing = max(0, $0.requests.missing - 1) }
        throw refusal
    }

    private func end(_ holder: KeyHolder, _ reservation: Reservation, used: Int) {
        change(holder) { meter in
            meter.running -= 1
            meter.tokens.missing += Double(used - reservation.tokens)
            // What was set aside in another window is none of this one's.
            let isSame = meter.window == reservation.window
            meter.spent += used - (isSame ? reservation.tokens : 0)
        }
    }

    @discardableResult
    private func change<Value: Sendable>(
        _ holder: KeyHolder, _ body: (inout Meter) -> Value
    ) -> Value {
        let window = holder.terms.budget.map { budget in
            let first = hour() / budget.hours * budget.hours
            return first..<first + budget.hours
        }
        // Not while others wait: the ledger may have to be read.
        let isNew = window != nil && meters.withLock { $0[holder.name]?.window != window }
        let spent = isNew ? window.map { ledger.tokens(of: holder.name, $0) } : nil
        let now = now()
        return meters.withLock { meters in
            var meter = meters.removeValue(forKey: holder.name) ?? Meter()
            defer { meters[holder.name] = meter }
            meter.requests.fill(holder.terms.requestLimit, at: now)
            meter.tokens.fill(holder.terms.tokenLimit, at: now)
            if let window, let spent, window != meter.window {
                meter.window = window
                meter.spent = spent
            }
            return body(&meter)
        }
    }

    /// What is left, as the headers that OpenAI's clients know.
    package func headers(_ holder: KeyHolder) -> [(name: String, value: String)] {
        let terms = holder.terms
        guard terms.requestLimit != nil || terms.tokenLimit != nil else { return [] }
        return change(holder) { meter in
            var headers: [(name: String, value: String)] = []
            func add(_ what: String, _ limit: Int, _ bucket: inout Bucket) {
                let left = max(0, Int(Double(limit) - bucket.missing))
                let reset = bucket.missing * 60 / Double(limit)
                headers.append(("x-ratelimit-limit-\(what)", "\(limit)"))
                headers.append(("x-ratelimit-remaining-\(what)", "\(left)"))
                headers.append(("x-ratelimit-reset-\(what)", KeyMeters.duration(reset)))
            }
            if let limit = terms.requestLimit { add("requests", limit, &meter.requests) }
            if let limit = terms.tokenLimit { add("tokens", limit, &meter.tokens) }
            return headers
        }
    }

    /// As OpenAI writes them: `120ms`, `1s`, `6m0s`.
    static func duration(_ seconds: Double) -> String {
        if seconds <= 0 { return "0s" }
        if seconds < 1 { return "\(max(1, Int((seconds * 1000).rounded(.up))))ms" }
        let whole = Int(seconds.rounded(.up))
        let (hours, minutes) = (whole / 3600, whole % 3600 / 60)
        return (hours > 0 ? "\(hours)h" : "") + (whole >= 60 ? "\(minutes)m" : "")
            + "\(whole % 60)s"
    }
}

extension APIError {
    fileprivate static func limit(_ what: String, wait: Double) -> APIError {
        APIError(
            status: 429, type: "rate_limit_error", code: "rate_limit_exceeded",
            message: "The key may use \(what), and has. Try again later.",
            retryAfter: max(1, Int(min(wait, 1e9).rounded(.up))))
    }
}
