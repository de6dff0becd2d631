import Adapters
import TestSupport
import Testing

/// Random events against a model that knows who is there and who is in use, and nothing of order.
struct HostTierTrafficTests {
    static let digests = (0..<12).map(AdapterDigest.numbered)

    @Test(arguments: 0..<200 as Range<UInt64>)
    func seededTrafficKeepsTheBooks(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var model = Model(
            budget: Int.random(in: 40...120, using: &generator),
            byteCounts: Self.digests.map { _ in Int.random(in: 1...60, using: &generator)
            })
        let costs = Self.digests.map { _ in
            Double.random(in: 0.01...2, using: &generator)
        }
        var tier = HostTier(budget: model.budget)
        for event in 0..<400 {
            let number = Int.random(in: Self.digests.indices, using: &generator)
            let digest = Self.digests[number]
            switch Int.random(in: 0..<12, using: &generator) {
            case 0..<5:
                let decision = tier.request(
                    digest, byteCount: model.byteCounts[number], cost: costs[number])
                let isRight = model.follow(decision, number)
                try #require(isRight, "event \(event): \(decision) for \(digest)")
            case 5..<8:
                for _ in 0..<Int.random(in: 0...model.leaseCount(number), using: &generator) {
                    tier.release(digest)
                    model.entries[number]?.leaseCount -= 1
                }
            case 8..<10 where model.isLoading(number):
                if Int.random(in: 0..<4, using: &generator) == 0 {
                    tier.failed(digest)
                    model.entries[number] = nil
                } else {
                    tier.loaded(digest)
                    model.entries[number]?.isLoaded = true
                }
            case 10:
                let isPinned = Int.random(in: 0..<4, using: &generator) == 0
                tier.pin(digest, isPinned)
                model.entries[number]?.isPinned = isPinned
            case 11:
                let isGone = tier.demote(digest)
                let isAllowed = model.demote(number)
                try #require(isGone == isAllowed, "event \(event)")
            default: break
            }
            try #require(model.flaw(of: tier) == nil, "event \(event)")
        }
        try Self.makeRoom(in: &tier, model)
    }

    /// Once nobody uses anything, all of it goes for one that needs the whole budget.
    static func makeRoom(in tier: inout HostTier, _ model: Model) throws {
        for (digest, entry) in zip(digests, model.entries) {
            guard let entry else { continue }
            tier.loaded(digest)
            tier.pin(digest, false)
            for _ in 0..<entry.leaseCount { tier.release(digest) }
        }
        let rest = Set(digests.filter { tier.holds($0) })
        let decision = tier.request(
            AdapterDigest.numbered(99), byteCount: tier.budget, cost: 1)
        guard case .load(let victims) = decision else {
            Issue.record("\(decision) where everything may go")
            return
        }
        #expect(victims.count == rest.count && Set(victims) == rest)
        #expect(tier.byteCount == tier.budget && tier.count == 1)
    }

    struct Model {
        struct Entry {
            var isLoaded = false
            var leaseCount = 1
            var isPinned = false
        }

        let budget: Int
        let byteCounts: [Int]
        /// By the adapter's number.
        var entries: [Entry?]
        var loadCount = 0
        var evictionCount = 0

        init(budget: Int, byteCounts: [Int]) {
            self.budget = budget
            self.byteCounts = byteCounts
            entries = byteCounts.map { _ in nil }
        }

        var byteCount: Int {
            zip(entries, byteCounts).reduce(0) { $0 + ($1.0 == nil ? 0 : $1.1) }
        }

        /// Who may go.
        var idle: [Int] {
            entries.indices.filter { number in
                entries[number].map { $0.isLoaded && $0.leaseCount == 0 && !$0.isPinned } ?? false
            }
        }

        func leaseCount(_ number: Int) -> Int { entries[number]?.leaseCount ?? 0 }

        func isLoading(_ number: Int) -> Bool { entries[number]?.isLoaded == false }

        /// Does what a decision says.
        ///
        /// - Returns: false when it may not say that.
        mutating func follow(_ decision: HostTier.Decision, _ number: Int) -> Bool {
            let missing = byteCount + byteCounts[number] - budget
            let isAbsent = entries[number] == nil
            let isTooLarge = byteCounts[number] > budget
            switch decision {
            case .resident, .join:
                guard entries[number]?.isLoaded == (decision == .resident) else { return false }
                entries[number]?.leaseCount += 1
                return true
            case .tooLarge:
                return isAbsent && isTooLarge
            case .wait:
                let most = idle.reduce(0) { $0 + byteCounts[$1] }
                return isAbsent && !isTooLarge && most < missing
            case .load(let victims):
                let numbers = victims.compactMap { HostTierTrafficTests.digests.firstIndex(of: $0) }
                guard isAbsent, numbers.count == victims.count,
                    mayGo(numbers, missing: missing)
                else { return false }
                for victim in numbers { entries[victim] = nil }
                entries[number] = Entry()
                loadCount += 1
                evictionCount += numbers.count
                return true
            }
        }

        /// Each of them once, none in use, and without the last it would not have been enough.
        private func mayGo(_ numbers: [Int], missing: Int) -> Bool {
            let sizes = numbers.map { byteCounts[$0] }
            return Set(numbers).count == numbers.count && Set(numbers).isSubset(of: idle)
                && sizes.reduce(0, +) >= missing
                && (numbers.isEmpty || sizes.dropLast().reduce(0, +) < missing)
        }

        /// - Returns: whether the adapter is gone.
        mutating func demote(_ number: Int) -> Bool {
            guard let entry = entries[number] else { return true }
            guard entry.isLoaded, entry.leaseCount == 0, !entry.isPinned else { return false }
            entries[number] = nil
            return true
        }

        /// Where the tier's books differ from these; nil when they do not.
        func flaw(of tier: HostTier) -> String? {
            guard tier.byteCount == byteCount, tier.byteCount <= budget else {
                return "\(tier.byteCount) bytes of \(budget), not \(byteCount)"
            }
            guard tier.count == entries.count(where: { $0 != nil }) else {
                return "\(tier.count) adapters"
            }
            guard tier.loadCount == loadCount, tier.evictionCount == evictionCount else {
                return "\(tier.loadCount) loads, \(tier.evictionCount) evictions"
            }
            guard (0...1).contains(tier.thrashing) else { return "thrashing \(tier.thrashing)" }
            for (digest, entry) in zip(HostTierTrafficTests.digests, entries)
            where tier.holds(digest) != (entry?.isLoaded ?? false)
                || tier.leaseCount(of: digest) != (entry?.leaseCount ?? 0)
            {
                return "\(digest) is held: \(tier.holds(digest))"
            }
            return nil
        }
    }
}
