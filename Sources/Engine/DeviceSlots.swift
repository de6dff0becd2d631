internal import Adapters

/// Which adapters are on the device, and which of those that sequences want are in a step.
///
/// Whatever fits stays. When the adapters of all sequences do not fit together, they take turns: an
/// adapter's claim grows with every step that it is left out, those whose sequences still wait for
/// their first token are a good way ahead, and one that has just come on stays for a few steps. So
/// nobody starves, first tokens hardly wait, and adapters do not change with every step.
///
/// A plain value that knows bytes and steps, not where adapters are.
struct DeviceSlots {
    /// An adapter that some sequence wants in the next step.
    struct Candidate: Equatable {
        var digest: AdapterDigest
        var byteCount: Int
        /// A sequence of it has no token yet.
        var isUrgent: Bool
    }

    private struct Slot {
        var byteCount: Int
        /// Steps, counted from the first.
        var since: Int
        var lastServed: Int
        /// Tells those apart that came at the same time.
        var number: Int
    }

    private var slots: [AdapterDigest: Slot] = [:]
    /// Since when those have been left out that are not on the device.
    private var leftOutSince: [AdapterDigest: Int] = [:]
    private var step = 0
    private(set) var byteCount = 0
    private(set) var activationCount = 0
    /// How often one was taken off.
    private(set) var removalCount = 0

    /// How far ahead urgent adapters are, and how long one stays at least, in steps.
    private static let urgency = 16
    private static let stay = 4

    var count: Int { slots.count }
    /// Those on the device; a copy costs nothing until they change.
    private(set) var digests: Set<AdapterDigest> = []

    func holds(_ digest: AdapterDigest) -> Bool { slots[digest] != nil }

    /// Begins a step: brings on what is to be in it, and takes off what has to go for that.
    ///
    /// - Parameters:
    ///   - candidates: each adapter once; among equal claims the first goes first.
    ///   - budget: bytes of all adapters on the device.
    /// - Returns: those that may be computed in this step. At least one, unless there are none: an
    ///   adapter that is larger than the budget is on the device alone.
    mutating func begin(_ candidates: [Candidate], budget: Int) -> Set<AdapterDigest> {
        step += 1
        let chosen = choose(candidates, budget: budget)
        let missing = candidates.filter { chosen.contains($0.digest) && !holds($0.digest) }
        makeRoom(for: missing.reduce(0) { $0 + $1.byteCount }, budget: budget, keeping: chosen)
        for candidate in missing {
            activationCount += 1
            slots[candidate.digest] = Slot(
                byteCount: candidate.byteCount, since: step, lastServed: step,
                number: activationCount)
            byteCount += candidate.byteCount
            digests.insert(candidate.digest)
        }
        var leftOut: [AdapterDigest: Int] = [:]
        for candidate in candidates {
            if chosen.contains(candidate.digest) {
                slots[candidate.digest]?.lastServed = step
            } else {
                leftOut[candidate.digest] = leftOutSince[candidate.digest] ?? step
            }
        }
        leftOutSince = leftOut
        return chosen
    }

    /// Takes off adapters that are not among `keeping` until all take no more than so many bytes.
    ///
    /// - Returns: whether any went.
    mutating func shrink(to budget: Int, keeping: Set<AdapterDigest>) -> Bool {
        let before = slots.count
        makeRoom(for: 0, budget: budget, keeping: keeping)
        return slots.count < before
    }

    private func choose(_ candidates: [Candidate], budget: Int) -> Set<AdapterDigest> {
        if candidates.reduce(0, { $0 + $1.byteCount }) <= budget {
            return Set(candidates.map(\.digest))
        }
        let claims = candidates.map { claim(of: $0) }
        let order = candidates.indices.sorted { (claims[$0], $1) > (claims[$1], $0) }
        var chosen: Set<AdapterDigest> = []
        var total = 0
        var isFull = false
        for candidate in order.map({ candidates[$0] }) {
            guard chosen.isEmpty || total + candidate.byteCount <= budget else {
                isFull = true
                continue
            }
            // Nobody comes on past one that does not fit, or a large one would wait for ever.
            if isFull, !holds(candidate.digest) { continue }
            chosen.insert(candidate.digest)
            total += candidate.byteCount
        }
        return chosen
    }

    private func claim(of candidate: Candidate) -> Int {
        let urgent = candidate.isUrgent ? DeviceSlots.urgency : 0
        guard let slot = slots[candidate.digest] else {
            return urgent + step - (leftOutSince[candidate.digest] ?? step)
        }
        if step - slot.since < DeviceSlots.stay { return .max }
        // One that was served in the last step has no claim; one that nobody wanted for long has.
        let left = leftOutSince[candidate.digest].map { step - $0 } ?? 0
        return urgent + left
    }

    /// The least recently served go first.
    private mutating func makeRoom(
        for needed: Int, budget: Int, keeping: Set<AdapterDigest>
    ) {
        guard byteCount + needed > budget else { return }
        let idle = slots.filter { !keeping.contains($0.key) }
        for (digest, slot) in idle.sorted(by: {
            ($0.value.lastServed, $0.value.number) < ($1.value.lastServed, $1.value.number)
        }) {
            guard byteCount + needed > budget else { return }
            slots[digest] = nil
            removalCount += 1
            digests.remove(digest)
            byteCount -= slot.byteCount
        }
    }
}
