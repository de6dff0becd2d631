internal import Adapters
internal import Tensors

/// Decides which tokens of which sequences the next step computes.
///
/// Sequences that decode come first, so that they keep their pace; beside them prompts get a part of
/// the step's token budget, without them all of it. Running ones go in the order of their admission,
/// then waiting ones as `WaitingLine` has them, while the budget, the sequence
/// limit and the cache's blocks allow. Where nobody has a seat left, one whose owner has had more steps aside for one whose
/// owner has had less, and keeps its blocks as long as nobody needs them.
///
/// When a running sequence needs a block and none is free, those that stepped aside give up theirs, then the
/// running one that is least entitled to it: that goes back to the head of the queue, and is computed
/// again later. Among one owner's sequences the first is thus never stopped by another one, and of several owners'
/// each that loses its blocks may stay twice as long the next time, so something always finishes.
struct Scheduler {
    /// Tokens of a sequence that the step computes: from its `computedCount` on.
    struct Share {
        let id: RequestID
        let tokenCount: Int
        /// Tokens that may come after them, which the step computes as well.
        fileprivate(set) var draft: [Int32] = []
        /// Where it begins.
        fileprivate(set) var firstDraft = 0
        fileprivate let adapter: ObjectIdentifier?
        /// Among the adapters of the step; 0 for the base.
        fileprivate var adapterPlace = 0
    }

    let limits: EngineLimits
    private let vocabularySize: Int
    private(set) var cache: BlockCache
    private(set) var sequences: [RequestID: TokenSequence] = [:]
    private var waiting = WaitingLine()
    private var fairShares = FairShares()
    private var priorityCounts: [Int: Int] = [:]
    /// Since several owners had requests.
    private var stepsSinceShared = Scheduler.memory
    /// Whether the step is for owners alone who had nothing in the last ones.
    private(set) var lastWasNewcomers = false
    /// In the order of admission.
    private var running: [RequestID] = []
    /// What the next step computes: base rows first, then adapter by adapter, so that each adapter is
    /// one segment, but for those that act from some token on.
    private(set) var shares: [Share] = []
    private(set) var preemptionCount = 0
    /// How often a sequence stepped aside for another owner's.
    private(set) var yieldCount = 0
    /// Who came from the waiting line into the step.
    private(set) var admitted: [RequestID] = []
    private(set) var slots = DeviceSlots()
    /// The adapters of the step that is being scheduled; nil for all.
    private var present: Set<AdapterDigest>?
    /// Whoever is next in line needs blocks that nobody has given back since.
    private var isBlocked = false

    init(limits: EngineLimits, vocabularySize: Int) {
        self.limits = limits
        self.vocabularySize = vocabularySize
        cache = BlockCache(blockCount: limits.blockCount, keptLimit: limits.keptBlockCount)
    }

    /// The model has been told which blocks nobody has any more.
    mutating func forgetReleasedBlocks() { cache.forgetReleased() }

    var runningCount: Int { running.count }
    var waitingCount: Int { waiting.count }
    var isEmpty: Bool { sequences.isEmpty }
    /// Tokens of prompts that no step has computed.
    var waitingTokenCount: Int {
        sequences.values.reduce(0) { $0 + max(0, $1.request.prompt.count - $1.computedCount) }
    }
    var runningAdapters: [String] { names(of: running) }
    var waitingAdapters: [String] { names(of: waiting.ids) }

    subscript(id: RequestID) -> TokenSequence? { sequences[id] }

    mutating func add(_ request: EngineRequest) {
        let lane = fairShares.enter(request.flow, request.adapter?.digest)
        let sequence = TokenSequence(request, lane: lane)
        sequences[request.id] = sequence
        priorityCounts[request.flow.priority, default: 0] += 1
        waiting.append(entry(of: sequence))
    }

    /// Forgets a sequence that finished or was cancelled.
    @discardableResult
    mutating func remove(_ id: RequestID) -> TokenSequence? {
        guard let sequence = sequences.removeValue(forKey: id) else { return nil }
        cache.release(sequence.holding)
        isBlocked = false
        running.removeAll { $0 == id }
        waiting.remove(id)
        fairShares.leave(sequence.lane)
        let priority = sequence.request.flow.priority
        priorityCounts[priority, default: 1] -= 1
        if priorityCounts[priority] == 0 { priorityCounts[priority] = nil }
        return sequence
    }

    private func entry(of sequence: TokenSequence) -> WaitingLine.Entry {
        WaitingLine.Entry(
            id: sequence.id, lane: sequence.lane, priority: sequence.request.flow.priority,
            digest: sequence.request.adapter?.digest)
    }

    mutating func update(_ id: RequestID, _ change: (inout TokenSequence) -> Void) {
        guard var sequence = sequences.removeValue(forKey: id) else { return }
        change(&sequence)
        sequences[id] = sequence
    }

    /// Notes that a step has computed a sequence's next tokens.
    mutating func advance(_ id: RequestID, by tokenCount: Int) {
        guard var sequence = sequences.removeValue(forKey: id) else { return }
        sequence.computedCount += tokenCount
        cache.keep(
            &sequence.holding, tokens: sequence.tokens, computedCount: sequence.computedCount,
            owners: sequence.request.owners)
        sequence.seatTokenCount += tokenCount
        let cost = Double(sequence.countOutputs()) * FairShares.outputCost
        fairShares.charge(sequence.lane, cost)
        sequences[id] = sequence
    }

    /// Chooses the next step's shares and reserves their blocks. There are none only when there is
    /// nothing to do.
    ///
    /// - Parameter isAgain: whether nothing came of the last ones.
    mutating func schedule(isAgain: Bool = false) {
        // Not emptied: whoever has the last step's would make it a copy.
        if !isAgain, !admitted.isEmpty { admitted = [] }
        tryToSchedule()
        // Adapters that came on for sequences without blocks leave the step to those that hold them.
        if shares.isEmpty, isBlocked { tryToSchedule() }
        addDrafts()
        sortByAdapter()
    }

    /// Lets sequences that decode draft what comes next, where a few rows more cost little: in small steps.
    private mutating func addDrafts() {
        guard !shares.isEmpty, limits.draftRows > 0 else { return }
        let rowCount = min(limits.draftRows, limits.maximumStepTokens)
        let most = (rowCount - shares.count) / shares.count
        guard most > 0, shares.allSatisfy({ sequences[$0.id]?.isDecoding == true }) else { return }
        for index in shares.indices {
            let id = shares[index].id
            guard var sequence = sequences.removeValue(forKey: id) else { continue }
            defer { sequences[id] = sequence }
            let draft = Array(
                sequence.draft(most: most, maximumContext: limits.maximumContext)
                    .prefix {
                        $0 < sequence.request.adapter?.vocabularySize ?? vocabularySize
                    })
            guard !draft.isEmpty else { continue }
            let positions = KeyValueCache.blockPositions
            let needed = (sequence.computedCount + 1 + draft.count + positions - 1) / positions
            // Nobody gives way to a draft.
            guard cache.extend(&sequence.holding, to: needed) else { continue }
            sequence.draftedCount += draft.count
            shares[index].draft = draft
            shares[index].firstDraft = sequence.computedCount + 1
        }
    }

    /// Takes the shares of some adapters out of the step; what they have reserved stays theirs.
    mutating func leaveOut(_ digests: Set<AdapterDigest>) {
        shares.removeAll { share in
            guard let adapter = sequences[share.id]?.request.adapter else { return false }
            return digests.contains(adapter.digest)
        }
    }

    private mutating func sortByAdapter() {
        var last = 0
        for index in shares.indices {
            guard let adapter = shares[index].adapter else { continue }
            let before = shares[..<index].first { $0.adapter == adapter }
            if before == nil { last += 1 }
            shares[index].adapterPlace = before?.adapterPlace ?? last
        }
        shares.sort { $0.adapterPlace < $1.adapterPlace }
    }

    private mutating func tryToSchedule() {
        shares.removeAll(keepingCapacity: true)
        var budget = limits.maximumStepTokens
        chooseAdapters()
        admitNewcomers(&budget)
        if !shares.isEmpty { return }
        for id in running where sequences[id]?.isPrefilling == false && isPresent(id) {
            continueSequence(id, &budget)
        }
        if !shares.isEmpty { budget = min(budget, prefillTokensBesideDecode) }
        for id in inTurn(running.filter { sequences[$0]?.isPrefilling == true && isPresent($0) }) {
            continueSequence(id, &budget)
        }
        while budget > 0, let place = nextWaiting(), admit(waiting.entries[place], &budget) {}
    }

    /// Gives a waiting sequence a seat and its first tokens.
    ///
    /// - Returns: false when there is no seat or no room for it.
    private mutating func admit(_ entry: WaitingLine.Entry, _ budget: inout Int) -> Bool {
        guard running.count < limits.maximumSequences || makeRoom(for: entry) else { return false }
        while !allocate(entry.id, &budget) {
            guard takeOffIdleAdapters() || takeBlocks(for: entry) else {
                isBlocked = true
                return false
            }
        }
        waiting.take(entry.id, fairShares)
        update(entry.id) { $0.seatTokenCount = 0 }
        running.append(entry.id)
        admitted.append(entry.id)
        return true
    }

    /// Gives a running sequence its next tokens, preempting others as needed; not if it had to give way itself.
    private mutating func continueSequence(_ id: RequestID, _ budget: inout Int) {
        // Whoever was preempted for another in this step holds no blocks any more.
        while budget > 0, sequences[id]?.holding.blocks.isEmpty == false {
            if allocate(id, &budget) { return }
            if takeOffIdleAdapters() || takeBlocks() { continue }
            guard let victim = inTurn(running).last else { return }
            running.removeAll { $0 == victim }
            shares.removeAll { $0.id == victim }
            loseBlocks(victim)
            if let sequence = sequences[victim] { waiting.prepend(entry(of: sequence)) }
        }
    }

    private func nextWaiting() -> Int? {
        if waiting.isEmpty { return nil }
        // Nobody steps aside for others of the same owner.
        if running.count >= limits.maximumSequences, fairShares.activeCount == 1,
            !hasPriorities
        {
            return nil
        }
        return waiting.next(
            fairShares, using: Set(shares.compactMap { sequences[$0.id]?.request.adapter?.digest }),
            isPresent: isPresent)
    }

    /// Gives a sequence its next tokens, as far as the budget goes, and reserves their blocks.
    ///
    /// - Returns: false when there are not enough blocks.
    private mutating func allocate(_ id: RequestID, _ budget: inout Int) -> Bool {
        guard var sequence = sequences.removeValue(forKey: id) else { return false }
        defer { sequences[id] = sequence }
        let begins = sequence.holding.blocks.isEmpty
        if begins, sequence.mayFindBlocks {
            sequence.holding = cache.find(sequence.tokens, owners: sequence.request.owners)
            sequence.computedCount = sequence.holding.foundCount
        }
        let tokenCount = min(sequence.uncomputedCount, budget)
        let positions = KeyValueCache.blockPositions
        let needed = (sequence.computedCount + tokenCount + positions - 1) / positions
        guard cache.extend(&sequence.holding, to: needed) else {
            if begins {
                cache.release(sequence.holding)
                sequence.holding = BlockCache.Holding()
                sequence.computedCount = 0
            }
            return false
        }
        if begins {
            sequence.reserveRoom(maximumContext: limits.maximumContext)
            cache.count(sequence.holding)
            if sequence.foundPromptCount == nil {
                sequence.foundPromptCount = sequence.holding.foundCount
                let count = sequence.promptCount - sequence.holding.foundCount
                fairShares.charge(sequence.lane, Double(count) * FairShares.promptCost)
            }
        }
        let adapter = sequence.request.adapter.map(ObjectIdentifier.init)
        shares.append(Share(id: id, tokenCount: tokenCount, adapter: adapter))
        budget -= tokenCount
        return true
    }

    // MARK: Adapters on the device

    private func isPresent(_ id: RequestID) -> Bool {
        isPresent(sequences[id]?.request.adapter?.digest)
    }

    private func isPresent(_ digest: AdapterDigest?) -> Bool {
        guard let present, let digest else { return true }
        return present.contains(digest)
    }

    /// Decides which adapters the step may use, where not all that are wanted fit the device.
    private mutating func chooseAdapters() {
        guard let memory = limits.deviceMemory else { return }
        var candidates: [DeviceSlots.Candidate] = []
        var places: [AdapterDigest: Int] = [:]
        // Those that cannot be admitted must not take the device from those that hold the blocks.
        var seats = isBlocked && !running.isEmpty ? 0 : limits.maximumSequences - running.count
        // Somebody may step aside for the first.
        if !isBlocked, fairShares.activeCount > 1 || hasPriorities { seats = max(seats, 1) }
        let admissible =
            seats < waiting.count ? inTurn(waiting.ids).prefix(seats) : waiting.ids[...]
        // Whoever is next must come onto the device, however many stand before it.
        let next = waiting.next(fairShares, using: []) { _ in true }
        let first = seats > 0 ? next.map { [waiting.entries[$0].id] } ?? [] : []
        for id in running + first + admissible {
            guard let sequence = sequences[id], let adapter = sequence.request.adapter else {
                continue
            }
            let isUrgent = sequence.completionCount == 0
            if let place = places[adapter.digest] {
                candidates[place].isUrgent = candidates[place].isUrgent || isUrgent
            } else {
                places[adapter.digest] = candidates.count
                candidates.append(
                    DeviceSlots.Candidate(
                        digest: adapter.digest, byteCount: memory.byteCount(of: adapter),
                        isUrgent: isUrgent))
            }
        }
        present = slots.begin(
            candidates, budget: memory.adapterBudget(heldBlockCount: cache.heldCount))
        cache.restrict(to: memory.blockLimit(adapterByteCount: slots.byteCount))
    }

    /// Idle adapters give way to sequences that need blocks.
    ///
    /// - Returns: whether there is more room than before.
    private mutating func takeOffIdleAdapters() -> Bool {
        guard let memory = limits.deviceMemory, let present else { return false }
        let before = cache.limit
        while cache.limit == before, before < cache.blockCount,
            slots.byteCount > memory.adapterFloor,
            slots.shrink(to: slots.byteCount - 1, keeping: present)
        {
            cache.restrict(to: memory.blockLimit(adapterByteCount: slots.byteCount))
        }
        return cache.limit > before
    }

    // MARK: Several owners

    /// Owners who have nothing in the step, and have had no more than anybody else, get one for their prompts alone: it is
    /// theirs by right, and others' rows would only make it longer. Everybody else gets at least every other step.
    private mutating func admitNewcomers(_ budget: inout Int) {
        stepsSinceShared =
            fairShares.activeCount > 1 ? 0 : min(stepsSinceShared + 1, Scheduler.memory)
        defer { lastWasNewcomers = !shares.isEmpty }
        guard fairShares.activeCount > 1, !lastWasNewcomers, !running.isEmpty else { return }
        let lanes = running.compactMap { sequences[$0]?.lane }
        let owners = Set(lanes.map { fairShares.owner(of: $0) })
        let least = lanes.map { fairShares.served($0).owner }.min() ?? 0
        while budget > 0, let place = nextWaiting() {
            let entry = waiting.entries[place]
            guard !owners.contains(fairShares.owner(of: entry.lane)),
                fairShares.served(entry.lane).owner <= least, admit(entry, &budget)
            else { break }
        }
    }

    /// Rows of prompts beside rows that decode: fewer while others are about, who may have to wait for the step to end.
    private var prefillTokensBesideDecode: Int {
        stepsSinceShared < Scheduler.memory
            ? max(16, limits.maximumStepTokens / 4) : limits.prefillTokensBesideDecode
    }

    /// Steps after which nobody reckons with several owners any more.
    private static let memory = 256

    /// Whether some requests are more urgent than others.
    private var hasPriorities: Bool { priorityCounts.count > 1 }

    /// Whoever is more entitled to the step comes first: the more urgent, then those whose owner has had less, then as they
    /// stood.
    private func inTurn(_ ids: [RequestID]) -> [RequestID] {
        guard ids.count > 1, fairShares.activeCount > 1 || hasPriorities else { return ids }
        let standings = ids.enumerated().map { place, id in
            let sequence = sequences[id]
            return (
                id: id, priority: sequence?.request.flow.priority ?? 0,
                served: sequence.map { fairShares.served($0.lane).owner } ?? 0, place: place
            )
        }
        return standings.sorted {
            ($0.priority, $0.served, $0.place) < ($1.priority, $1.served, $1.place)
        }.map(\.id)
    }

    /// Lets a running sequence step aside for one that is more urgent or whose owner has had less. It keeps its blocks.
    ///
    /// - Returns: whether there is a seat now.
    private mutating func makeRoom(for entry: WaitingLine.Entry) -> Bool {
        let owner = fairShares.owner(of: entry.lane)
        let runsNothing = !running.contains {
            sequences[$0].map { fairShares.owner(of: $0.lane) } == owner
        }
        let lead = runsNothing ? 0 : Scheduler.margin
        let served = fairShares.served(entry.lane).owner
        let yielding = running.filter { id in
            guard let other = sequences[id] else { return false }
            let priority = other.request.flow.priority
            guard priority == entry.priority else { return priority > entry.priority }
            // As long as blocks are kept, stepping aside costs nothing.
            let isFree = runsNothing && other.leastSeatTokens == TokenSequence.leastSeatTokens
            return other.seatTokenCount >= (isFree ? 1 : other.leastSeatTokens)
                && fairShares.owner(of: other.lane) != owner
                && fairShares.served(other.lane).owner >= served + lead
        }
        guard let victim = inTurn(yielding).last, let sequence = sequences[victim],
            hasBlocks(for: entry, besides: sequence)
        else { return false }
        running.removeAll { $0 == victim }
        shares.removeAll { $0.id == victim }
        waiting.prepend(self.entry(of: sequence))
        yieldCount += 1
        return true
    }

    /// Whether all known tokens of a sequence have room, once those that step aside for it have given up their blocks.
    ///
    /// - Parameter victim: who is about to step aside.
    private func hasBlocks(for entry: WaitingLine.Entry, besides victim: TokenSequence) -> Bool {
        guard let sequence = sequences[entry.id] else { return false }
        let positions = KeyValueCache.blockPositions
        let needed =
            (sequence.tokens.count + positions) / positions - sequence.holding.blocks.count
        var available = cache.availableCount
        if needed <= available { return true }
        let isAlone = running.count == 1
        if isAlone || yieldsBlocks(victim, to: entry) { available += victim.holding.blocks.count }
        for other in waiting.ids where other != entry.id && needed > available {
            guard let other = sequences[other], !other.holding.blocks.isEmpty else { continue }
            if isAlone || yieldsBlocks(other, to: entry) { available += other.holding.blocks.count }
        }
        return needed <= available
    }

    /// Whether a sequence that stepped aside is to give up its blocks for one that is admitted beside others.
    private func yieldsBlocks(_ other: TokenSequence, to entry: WaitingLine.Entry) -> Bool {
        (other.request.flow.priority, fairShares.served(other.lane).owner)
            > (entry.priority, fairShares.served(entry.lane).owner)
    }

    /// Takes the blocks of a sequence that stepped aside, for a running one or for the one that is admitted next.
    ///
    /// - Returns: whether there was one.
    private mutating func takeBlocks(for entry: WaitingLine.Entry? = nil) -> Bool {
        guard yieldCount > 0 else { return false }
        var holders = waiting.ids.filter {
            $0 != entry?.id && sequences[$0]?.holding.blocks.isEmpty == false
        }
        if let entry, !running.isEmpty {
            holders.removeAll { id in
                sequences[id].map { !yieldsBlocks($0, to: entry) } ?? true
            }
        }
        guard let victim = inTurn(holders).last else { return false }
        loseBlocks(victim)
        return true
    }

    private mutating func loseBlocks(_ id: RequestID) {
        guard let holding = sequences[id]?.holding else { return }
        preemptionCount += 1
        cache.release(holding)
        update(id) {
            $0.holding = BlockCache.Holding()
            $0.computedCount = 0
            // Whatever is computed again is to be worth it.
            $0.leastSeatTokens = min(2 * $0.leastSeatTokens, 1 << 20)
        }
    }

    /// By how much an owner that has seats must be behind to get one of another's.
    private static let margin = 128.0

    private func names(of ids: some Sequence<RequestID>) -> [String] {
        Set(ids.compactMap { sequences[$0]?.request.adapterName }).sorted()
    }
}
