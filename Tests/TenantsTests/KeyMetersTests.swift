import Catalog
import JSONTree
import OpenAIWire
import Synchronization
import Tenants
import Testing

/// What keys may use, by a clock that the test moves.
struct KeyMetersTests {
    private final class Clock: Sendable {
        let seconds = Mutex(1000.0)
        let hour = Mutex(500_000)

        func pass(_ time: Double) { seconds.withLock { $0 += time } }
    }

    private static func holder(_ json: JSON) throws -> KeyHolder {
        KeyHolder(name: "acme", terms: try KeyTerms(json))
    }

    private static func meters(_ ledger: UsageLedger) -> (KeyMeters, Clock) {
        let clock = Clock()
        let meters = KeyMeters(
            ledger: ledger, now: { clock.seconds.withLock { $0 } },
            hour: { clock.hour.withLock { $0 } })
        return (meters, clock)
    }

    private static func value(_ meters: KeyMeters, _ holder: KeyHolder, _ name: String) -> String? {
        meters.headers(holder).first { $0.name == "x-ratelimit-" + name }?.value
    }

    @Test func requestsAMinute() throws {
        let (meters, clock) = Self.meters(UsageLedger(store: nil))
        let holder = try Self.holder(["rpm_limit": 6])
        for left in (0..<6).reversed() {
            _ = try meters.begin(holder)
            #expect(Self.value(meters, holder, "remaining-requests") == "\(left)")
        }
        let refusal = #expect(throws: APIError.self) { _ = try meters.begin(holder) }
        #expect(refusal?.status == 429 && refusal?.code == "rate_limit_exceeded")
        #expect(refusal?.retryAfter == 10)
        #expect(Self.value(meters, holder, "reset-requests") == "1m0s")
        // Whoever waits as long as it is told gets in.
        clock.pass(9.9)
        #expect(throws: APIError.self) { _ = try meters.begin(holder) }
        clock.pass(0.1)
        _ = try meters.begin(holder)
        clock.pass(-500)
        #expect(throws: APIError.self) { _ = try meters.begin(holder) }
        clock.pass(10_000)
        #expect(Self.value(meters, holder, "remaining-requests") == "6")
        #expect(Self.value(meters, holder, "reset-requests") == "0s")
    }

    /// Tokens are reserved, then settled by what came of them; a long answer leaves a debt.
    @Test func tokensAMinute() throws {
        let (meters, clock) = Self.meters(UsageLedger(store: nil))
        let holder = try Self.holder(["tpm_limit": 600])
        let first = try meters.begin(holder)
        try first.reserve(500)
        #expect(Self.value(meters, holder, "remaining-tokens") == "100")
        let second = try meters.begin(holder)
        let refusal = #expect(throws: APIError.self) { try second.reserve(200) }
        #expect(refusal?.retryAfter == 10)
        first.end(tokens: 20)
        first.end(tokens: 9999)
        #expect(Self.value(meters, holder, "remaining-tokens") == "580")
        try second.reserve(200)
        second.end(tokens: 1180)
        #expect(Self.value(meters, holder, "remaining-tokens") == "0")
        #expect(Self.value(meters, holder, "reset-tokens") == "2m0s")
        // More than a minute's is let in by a full bucket, so that no request has to wait for ever.
        let third = try meters.begin(holder)
        #expect(throws: APIError.self) { try third.reserve(5000) }
        clock.pass(120)
        try third.reserve(5000)
    }

    @Test func requestsAtTheSameTime() throws {
        let (meters, _) = Self.meters(UsageLedger(store: nil))
        let holder = try Self.holder(["max_parallel_requests": 2])
        var turns = [try meters.begin(holder), try meters.begin(holder)]
        #expect(throws: APIError.self) { _ = try meters.begin(holder) }
        turns[0].end(tokens: 5)
        turns.append(try meters.begin(holder))
        #expect(throws: APIError.self) { _ = try meters.begin(holder) }
        // One that is let go of has ended.
        turns = []
        _ = [try meters.begin(holder), try meters.begin(holder)]
    }

    /// A budget counts what the ledger has of its window, so a restart or a clock that jumps gives nothing back.
    @Test func budgets() throws {
        let store = try TenantStore(path: ":memory:")
        let ledger = UsageLedger(store: store)
        let (meters, clock) = Self.meters(ledger)
        let holder = try Self.holder(["token_budget": 100, "budget_duration": "2h"])
        func spend(_ meters: KeyMeters, _ reserved: Int, _ used: Int) throws {
            let turn = try meters.begin(holder)
            try turn.reserve(reserved)
            turn.end(tokens: used)
            var record = UsageRecord(key: "acme", model: "m", hour: clock.hour.withLock { $0 })
            record.completionTokens = used
            ledger.add(record)
        }
        try spend(meters, 80, 60)
        #expect(throws: APIError.self) { try spend(meters, 41, 1) }
        try spend(meters, 40, 10)
        // Another process, or this one after a restart.
        let (again, _) = Self.meters(ledger)
        #expect(throws: APIError.self) { try spend(again, 31, 1) }
        try spend(again, 30, 0)
        clock.hour.withLock { $0 += 2 }
        try spend(meters, 100, 90)
        clock.hour.withLock { $0 -= 2 }
        #expect(throws: APIError.self) { try spend(meters, 31, 1) }
        clock.hour.withLock { $0 += 2 }
        #expect(throws: APIError.self) { try spend(meters, 11, 1) }
    }

    /// What was set aside in one window gives nothing back in the next, nor where a budget came meanwhile.
    @Test func reservationsEndWithTheirWindow() throws {
        let (meters, clock) = Self.meters(UsageLedger(store: try TenantStore(path: ":memory:")))
        let holder = try Self.holder(["token_budget": 100, "budget_duration": "1h"])
        let free = try Self.holder([:])
        let (early, open) = (try meters.begin(holder), try meters.begin(free))
        try early.reserve(100)
        try open.reserve(5000)
        clock.hour.withLock { $0 += 1 }
        let next = try meters.begin(holder)
        try next.reserve(40)
        early.end(tokens: 0)
        open.end(tokens: 0)
        #expect(throws: APIError.self) { try next.reserve(61) }
        try next.reserve(60)
    }

    /// A request of before a limit was made does not give back what others have used of it.
    @Test func limitsThatComeMeanwhile() throws {
        let (meters, _) = Self.meters(UsageLedger(store: nil))
        let (free, limited) = (try Self.holder([:]), try Self.holder(["tpm_limit": 100]))
        let old = try meters.begin(free)
        let new = try meters.begin(limited)
        try new.reserve(90)
        old.end(tokens: 0)
        #expect(Self.value(meters, limited, "remaining-tokens") == "10")
    }

    @Test(arguments: [
        (0.0, "0s"), (0.0001, "1ms"), (0.1201, "121ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"),
        (3600, "1h0m0s"), (86_400, "24h0m0s"),
    ])
    func resetsAreWrittenAsOpenAIDoes(seconds: Double, text: String) throws {
        let (meters, _) = Self.meters(UsageLedger(store: nil))
        // A limit of a token a second, of which as many are missing.
        let holder = try Self.holder(["tpm_limit": 60])
        let turn = try meters.begin(holder)
        guard seconds.rounded() == seconds else { return }
        turn.end(tokens: Int(seconds))
        #expect(Self.value(meters, holder, "reset-tokens") == text)
    }
}
