import Adapters
import TestSupport
import Testing

private let a = AdapterDigest.numbered(0xA)
private let b = AdapterDigest.numbered(0xB)
private let c = AdapterDigest.numbered(0xC)
private let d = AdapterDigest.numbered(0xD)

/// What the tier decides for a request, and who goes when room is needed.
struct HostTierTests {
    // MARK: Loads and leases

    @Test func aLoadHoldsItsBytesFromTheBeginning() {
        var tier = HostTier(budget: 10)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .load(evicting: []))
        #expect(tier.byteCount == 6 && tier.count == 1 && tier.leaseCount(of: a) == 1)
        #expect(!tier.holds(a))
        tier.loaded(a)
        #expect(tier.holds(a))
        #expect(tier.request(a, byteCount: 6, cost: 1) == .resident)
        #expect(tier.byteCount == 6 && tier.count == 1 && tier.leaseCount(of: a) == 2)
        #expect(tier.loadCount == 1 && tier.evictionCount == 0)
    }

    @Test func othersJoinWhoeverBringsIt() {
        var tier = HostTier(budget: 10)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .load(evicting: []))
        #expect(tier.request(a, byteCount: 6, cost: 1) == .join)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .join)
        #expect(tier.byteCount == 6 && tier.loadCount == 1)
        tier.loaded(a)
        for left in [2, 1, 0] {
            tier.release(a)
            #expect(tier.leaseCount(of: a) == left && tier.holds(a))
        }
    }

    @Test func aFailureTakesTheReservationAndTheLeasesOfWhoJoined() {
        var tier = HostTier(budget: 10)
        #expect(tier.request(a, byteCount: 10, cost: 1) == .load(evicting: []))
        #expect(tier.request(a, byteCount: 10, cost: 1) == .join)
        #expect(tier.request(b, byteCount: 1, cost: 1) == .wait)
        tier.failed(a)
        #expect(tier.byteCount == 0 && tier.count == 0 && tier.leaseCount(of: a) == 0)
        #expect(!tier.holds(a))
        #expect(tier.request(b, byteCount: 10, cost: 1) == .load(evicting: []))
        tier.failed(b)
        // Who joined the load that failed has no part in the next one.
        #expect(tier.request(a, byteCount: 10, cost: 1) == .load(evicting: []))
        #expect(tier.leaseCount(of: a) == 1)
    }

    @Test func whatExceedsTheBudgetIsTooLargeAndNothingElse() {
        var tier = HostTier(budget: 10)
        tier.visit(b, byteCount: 3)
        #expect(tier.request(a, byteCount: 11, cost: 1) == .tooLarge)
        #expect(tier.byteCount == 3 && tier.count == 1 && tier.leaseCount(of: a) == 0)
        #expect(tier.request(a, byteCount: 10, cost: 1) == .load(evicting: [b]))
        #expect(tier.byteCount == 10 && !tier.holds(b) && tier.evictionCount == 1)
        var none = HostTier(budget: 0)
        #expect(none.request(a, byteCount: 1, cost: 1) == .tooLarge)
    }

    @Test func whatIsLoadingOrLeasedStays() {
        var tier = HostTier(budget: 10)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .load(evicting: []))
        // Whoever wanted it has gone, but its bytes are still being read.
        tier.release(a)
        #expect(tier.request(b, byteCount: 6, cost: 1) == .wait)
        tier.loaded(a)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .resident)
        #expect(tier.request(b, byteCount: 6, cost: 1) == .wait)
        #expect(tier.byteCount == 6 && tier.count == 1 && tier.leaseCount(of: b) == 0)
        tier.release(a)
        #expect(tier.request(b, byteCount: 6, cost: 1) == .load(evicting: [a]))
        #expect(tier.byteCount == 6 && tier.count == 1 && !tier.holds(a))
    }

    @Test func nobodyGoesForARequestThatWaitsAllTheSame() {
        var tier = HostTier(budget: 10)
        tier.visit(c, byteCount: 2)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .load(evicting: []))
        tier.loaded(a)
        #expect(tier.request(b, byteCount: 6, cost: 1) == .wait)
        #expect(tier.holds(c) && tier.byteCount == 8)
    }

    @Test func whatIsPinnedStays() {
        var tier = HostTier(budget: 2)
        tier.visit(a)
        tier.visit(b, times: 3)
        tier.pin(a, true)
        // The pinned one would be the first to go.
        #expect(tier.request(c, byteCount: 1, cost: 1) == .load(evicting: [b]))
        #expect(tier.request(d, byteCount: 1, cost: 1) == .wait)
        tier.pin(a, false)
        #expect(tier.request(d, byteCount: 1, cost: 1) == .load(evicting: [a]))
    }

    @Test func demotionIsForWhatNobodyUses() {
        var tier = HostTier(budget: 10)
        let isAbsent = tier.demote(a)
        #expect(isAbsent)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .load(evicting: []))
        tier.release(a)
        let isGoneWhileLoading = tier.demote(a)
        #expect(!isGoneWhileLoading)
        tier.loaded(a)
        #expect(tier.request(a, byteCount: 6, cost: 1) == .resident)
        let isGoneWhileLeased = tier.demote(a)
        #expect(!isGoneWhileLeased && tier.holds(a))
        tier.release(a)
        let isGone = tier.demote(a)
        #expect(isGone && tier.byteCount == 0 && tier.count == 0 && !tier.holds(a))
    }

    // MARK: Who goes

    struct Resident: Sendable {
        var digest: AdapterDigest
        var byteCount = 1
        var cost = 1.0
        var useCount = 1
    }

    /// Adapters that fill the tier and that nobody uses, and who goes for so many bytes.
    struct Rivalry: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var residents: [Resident]
        var byteCount: Int
        var victims: [AdapterDigest]

        init(
            _ testDescription: String, _ residents: [Resident], for byteCount: Int,
            victims: [AdapterDigest]
        ) {
            self.testDescription = testDescription
            self.residents = residents
            self.byteCount = byteCount
            self.victims = victims
        }
    }

    static let used = [
        Resident(digest: a, useCount: 3), Resident(digest: b), Resident(digest: c, useCount: 2),
    ]
    static let sized = [
        Resident(digest: a), Resident(digest: b, byteCount: 4), Resident(digest: c, byteCount: 2),
    ]

    @Test(arguments: [
        Rivalry("least used", used, for: 1, victims: [b]),
        Rivalry("least used, then next", used, for: 2, victims: [b, c]),
        Rivalry("all, in order", used, for: 3, victims: [b, c, a]),
        Rivalry(
            "least costly",
            [
                Resident(digest: a, cost: 4), Resident(digest: b), Resident(digest: c, cost: 2),
            ], for: 1, victims: [b]),
        Rivalry("largest", sized, for: 1, victims: [b]),
        Rivalry("as many as it takes", sized, for: 4, victims: [b]),
        Rivalry("one more", sized, for: 5, victims: [b, c]),
        Rivalry(
            "small but cheap",
            [Resident(digest: a, byteCount: 8, cost: 4), Resident(digest: b, cost: 0.25)],
            for: 1, victims: [b]),
        Rivalry(
            "large, but used so much more",
            [Resident(digest: a, byteCount: 8, useCount: 16), Resident(digest: b)],
            for: 1, victims: [b]),
        Rivalry(
            "used more, but not as much as it is larger",
            [Resident(digest: a, byteCount: 8, useCount: 4), Resident(digest: b)],
            for: 1, victims: [a]),
    ])
    func theOneThatIsWorthLeastForItsSizeGoes(_ rivalry: Rivalry) {
        var tier = HostTier(budget: rivalry.residents.reduce(0) { $0 + $1.byteCount })
        for one in rivalry.residents {
            let decision = tier.visit(
                one.digest, byteCount: one.byteCount, cost: one.cost, times: one.useCount)
            #expect(decision == .load(evicting: []))
        }
        #expect(
            tier.request(d, byteCount: rivalry.byteCount, cost: 1)
                == .load(evicting: rivalry.victims))
        #expect(tier.byteCount <= tier.budget && tier.evictionCount == rivalry.victims.count)
    }

    /// The clock is the priority of the last one that went, and new uses count from there.
    @Test func ofThoseUsedAsOftenTheEarlierGoes() {
        var tier = HostTier(budget: 3)
        tier.visit(a)  // 1
        tier.visit(b)  // 1
        tier.visit(c, cost: 0.5)  // 0.5
        #expect(tier.visit(d) == .load(evicting: [c]))  // 0.5 + 1
        tier.visit(a)  // 0.5 + 2
        #expect(tier.visit(c) == .load(evicting: [b]))  // 1 + 1
        #expect(tier.visit(b) == .load(evicting: [d]))  // 1.5 + 1
        #expect(tier.visit(d) == .load(evicting: [c]))
    }

    @Test func whoeverIsNextGoesForOneInUse() {
        var tier = HostTier(budget: 3)
        tier.visit(a)
        tier.visit(b, times: 3)
        tier.visit(c, times: 4)
        #expect(tier.request(a, byteCount: 1, cost: 1) == .resident)
        #expect(tier.visit(d) == .load(evicting: [b]))
        tier.release(a)
        #expect(tier.visit(b) == .load(evicting: [a]))
    }

    /// A newcomer is worth one more than the one it replaced, until that is more than 19 / 2.
    @Test func anOldFavouriteGoesInTheEnd() {
        var tier = HostTier(budget: 2)
        tier.visit(a, cost: 0.5, times: 19)
        for number in 101...110 {
            let victims = number == 101 ? [] : [AdapterDigest.numbered(number - 1)]
            #expect(tier.visit(AdapterDigest.numbered(number)) == .load(evicting: victims))
        }
        #expect(tier.holds(a))
        #expect(tier.visit(AdapterDigest.numbered(111)) == .load(evicting: [a]))
    }

    /// Nothing else tells them apart; and the same events give the same decisions in every process.
    @Test func equalsGoInTheOrderOfTheirLastUse() {
        var tier = HostTier(budget: 8)
        let equals = (100..<108).map(AdapterDigest.numbered)
        for digest in equals { tier.visit(digest) }
        #expect(tier.visit(a, byteCount: 8) == .load(evicting: equals))
    }

    // MARK: Thrashing

    /// Nine in turn where eight fit: the one that goes is the next one that is missed.
    @Test func turnsLongerThanTheBudgetThrash() {
        var tier = HostTier(budget: 8)
        for _ in 0..<200 {
            for number in 0..<9 { tier.visit(AdapterDigest.numbered(number)) }
        }
        #expect(tier.thrashing > 0.95 && tier.thrashing <= 1)
    }

    @Test func whatFitsDoesNotThrash() {
        var tier = HostTier(budget: 9)
        for _ in 0..<200 {
            for number in 0..<9 { tier.visit(AdapterDigest.numbered(number)) }
        }
        #expect(tier.thrashing == 0 && tier.loadCount == 9 && tier.evictionCount == 0)
    }

    @Test func whatNeverReturnsDoesNotThrash() {
        var tier = HostTier(budget: 8)
        for number in 0..<500 { tier.visit(AdapterDigest.numbered(number)) }
        #expect(tier.thrashing == 0 && tier.loadCount == 500 && tier.evictionCount == 492)
    }
}

extension HostTier {
    /// Requests that come and go one after another, the first of which may bring the adapter.
    ///
    /// - Returns: what was decided for the first.
    @discardableResult
    fileprivate mutating func visit(
        _ digest: AdapterDigest, byteCount: Int = 1, cost: Double = 1, times: Int = 1
    ) -> Decision {
        let first = request(digest, byteCount: byteCount, cost: cost)
        if case .load = first { loaded(digest) }
        guard leaseCount(of: digest) > 0 else { return first }
        release(digest)
        for _ in 1..<times {
            _ = request(digest, byteCount: byteCount, cost: cost)
            release(digest)
        }
        return first
    }
}
