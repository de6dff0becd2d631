package import Adapters
internal import DequeModule
internal import Tensors

/// Decides which tokens of which sequences the next step computes.
///
/// Sequences that decode come first, so that they keep their pace; beside them prompts get a part of
/// the step's token budget, without them all of it. Running ones go in the order of their admission,
/// then waiting ones, first come, first served but for `nextWaiting`, while the budget, the sequence
/// limit and the cache's blocks allow. When a running sequence needs a block and none is free, the
/// sequence admitted last gives up its blocks, goes back to the head of the queue, and is computed
/// again later. The first sequence is thus never stopped by another one, so something always finishes.
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
    private var waiting: Deque<RequestID> = []
    /// In the order of admission.
    private var running: [RequestID] = []
    /// What the next step computes: base rows first, then adapter by adapter, so that each adapter is
    /// one segment, but for those that act from some token on.
    private(set) var shares: [Share] = []
    private(set) var preemptionCount = 0
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
    var waitingAdapters: [String] { names(of: waiting) }

    subscript(id: RequestID) -> TokenSequence? { sequences[id] }

    mutating func add(_ request: EngineRequest) {
        sequences[request.id] = TokenSequence(request)
        waiting.append(request.id)
    }

    /// Forgets a sequence that finished or was cancelled.
    @discardableResult
    mutating func remove(_ id: RequestID) -> TokenSequence? {
        guard let sequence = sequences.removeValue(forKey: id) else { return nil }
        cache.release(sequence.holding)
        isBlocked = false
        running.removeAll { $0 == id }
        waiting.removeAll { $0 == id }
        return sequence
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
        sequences[id] = sequence
    }

    /// Chooses the next step's shares and reserves their blocks. There are none only when there is
    /// nothing to do.
    mutating func schedule() {
        // Not emptied: whoever has the last step's would make it a copy.
        if !admitted.isEmpty { admitted = [] }
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
                    .prefix { $0 < vocabularySize })
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
        for id in running where sequences[id]?.isPrefilling == false && isPresent(id) {
            continueSequence(id, &budget)
        }
        if !shares.isEmpty { budget = min(budget, limits.prefillTokensBesideDecode) }
        for id in running where sequences[id]?.isPrefilling == true && isPresent(id) {
            continueSequence(id, &budget)
        }
        while budget > 0, running.count < limits.maximumSequences,
            let place = nextWaiting()
        {
            guard allocate(waiting[place], &budget) else {
                if takeOffIdleAdapters() { continue }
                isBlocked = true
                break
            }
            for earlier in waiting.prefix(place) { update(earlier) { $0.passedOverCount += 1 } }
            let id = waiting.remove(at: place)
            running.append(id)
            admitted.append(id)
        }
    }

    /// Gives a running sequence its next tokens, preempting from the end of the line as needed; not
    /// if it had to give way itself.
    private mutating func continueSequence(_ id: RequestID, _ budget: inout Int) {
        // Whoever was preempted for another in this step holds no blocks any more.
        while budget > 0, sequences[id]?.holding.blocks.isEmpty == false {
            if allocate(id, &budget) { return }
            if takeOffIdleAdapters() { continue }
            guard let victim = running.last else { return }
            preempt(victim)
            shares.removeAll { $0.id == victim }
        }
    }

    /// Who is admitted next, by the place in the line: the first one, or one close behind whose
    /// adapter the step uses already, so that the adapter's weights are read once for both. Nobody is
    /// passed over more than a few times.
    private func nextWaiting() -> Int? {
        if waiting.isEmpty { return nil }
        // Whoever waited long for its adapter to come on keeps the seat free.
        if let first = waiting.first, !isPresent(first),
            (sequences[first]?.passedOverCount ?? 0) >= Scheduler.patience
        {
            return nil
        }
        let adapters = Set(shares.compactMap { sequences[$0.id]?.request.adapter?.digest })
        if !adapters.isEmpty {
            for (place, id) in waiting.prefix(Scheduler.lookahead).enumerated() {
                guard let sequence = sequences[id], isPresent(id) else { continue }
                if let digest = sequence.request.adapter?.digest, adapters.contains(digest) {
                    return place
                }
                if sequence.passedOverCount >= Scheduler.patience { break }
            }
        }
        return waiting.firstIndex { isPresent($0) }
    }

    private static let lookahead = 16
    private static let patience = 8

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
            sequence.foundPromptCount = sequence.foundPromptCount ?? sequence.holding.foundCount
        }
        let adapter = sequence.request.adapter.map(ObjectIdentifier.init)
        shares.append(Share(id: id, tokenCount: tokenCount, adapter: adapter))
        budget -= tokenCount
        return true
    }

    // MARK: Adapters on the device

    private func isPresent(_ id: RequestID) -> Bool {
        guard let present, let digest = sequences[id]?.request.adapter?.digest else { return true }
        return present.contains(digest)
    }

    /// Decides which adapters the step may use, where not all that are wanted fit the device.
    private mutating func chooseAdapters() {
        guard let memory = limits.deviceMemory else { return }
        var candidates: [DeviceSlots.Candidate] = []
        var places: [AdapterDigest: Int] = [:]
        // Those that cannot be admitted must not take the device from those that hold the blocks.
        let seats = isBlocked && !running.isEmpty ? 0 : limits.maximumSequences - running.count
        let admissible = waiting.prefix(seats)
        for id in running + admissible {
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

    private mutating func preempt(_ id: RequestID) {
        running.removeAll { $0 == id }
        waiting.prepend(id)
        preemptionCount += 1
        guard let holding = sequences[id]?.holding else { return }
        cache.release(holding)
        update(id) {
            $0.holding = BlockCache.Holding()
            $0.computedCount = 0
        }
    }

    private func names(of ids: some Sequence<RequestID>) -> [String] {
        Set(ids.compactMap { sequences[$0]?.request.adapterName }).sorted()
    }
}

/// The engine's bounds.
package struct EngineLimits: Sendable {
    /// Sequences that may run at the same time.
    package var maximumSequences: Int
    /// Token rows of one step.
    package var maximumStepTokens: Int
    /// Of these, rows of prompts while other sequences decode and wait for the step to end.
    package var prefillTokensBesideDecode: Int { max(1, maximumStepTokens / 2) }
    /// Positions of the longest sequence.
    package var maximumContext: Int
    /// Blocks of the key/value cache.
    package var blockCount: Int
    /// Requests that may wait besides those that run.
    package var maximumWaiting: Int
    /// Blocks kept at most for sequences that begin with the same tokens; 0 keeps none.
    package var keptBlockCount: Int
    /// What adapters and blocks share on the device; nil when both have room enough.
    package var deviceMemory: DeviceMemory?
    /// Rows that a step may come to with drafts; 0 drafts nothing.
    package var draftRows = 0
    /// Positions of a cache block.
    package static let blockPositions = KeyValueCache.blockPositions

    /// - Precondition: the cache holds at least one sequence of the maximum length.
    package init(
        maximumSequences: Int, maximumStepTokens: Int, maximumContext: Int, blockCount: Int,
        maximumWaiting: Int, keptBlockCount: Int = 0, deviceMemory: DeviceMemory? = nil
    ) {
        precondition(
            maximumSequences > 0 && maximumStepTokens > 0
                && (deviceMemory?.blockFloor ?? blockCount) * KeyValueCache.blockPositions
                    >= maximumContext,
            "The cache must hold at least one sequence of the maximum length.")
        self.maximumSequences = maximumSequences
        self.maximumStepTokens = maximumStepTokens
        self.maximumContext = maximumContext
        self.blockCount = blockCount
        self.maximumWaiting = maximumWaiting
        self.keptBlockCount = keptBlockCount
        self.deviceMemory = deviceMemory
    }
}

/// The device's memory, which adapters and blocks of the cache share: what one does not use, the other
/// may, down to a floor for each.
package struct DeviceMemory: Sendable, Equatable {
    package var byteCount: Int
    package var blockByteCount: Int
    /// Bytes that adapters may always have.
    package var adapterFloor: Int
    /// Blocks that sequences may always have.
    package var blockFloor: Int
    /// On a device that hands its memory out in pages: what an adapter takes is whole pages.
    package var paging: Paging?

    package struct Paging: Sendable, Equatable {
        package var pageByteCount: Int
        /// Of the table that kernels read of an adapter.
        package var tableByteCount: Int
        /// Pages side by side at most.
        package var pagesPerPiece: Int

        package init(pageByteCount: Int, tableByteCount: Int, pagesPerPiece: Int) {
            self.pageByteCount = pageByteCount
            self.tableByteCount = tableByteCount
            self.pagesPerPiece = pagesPerPiece
        }

        func parts(of adapter: DeviceAdapter) -> AdapterParts {
            adapter.parts(pageByteCount: pageByteCount, tableByteCount: tableByteCount)
        }
    }

    /// Whether an adapter has a place when nothing else is there.
    package func holds(_ adapter: DeviceAdapter) -> Bool {
        guard byteCount(of: adapter) <= maximumAdapterByteCount else { return false }
        return paging.map { paging in
            paging.parts(of: adapter).parts.allSatisfy { $0.pageCount <= paging.pagesPerPiece }
        } ?? true
    }

    /// What an adapter takes.
    package func byteCount(of adapter: DeviceAdapter) -> Int {
        paging.map { $0.parts(of: adapter).pageCount * $0.pageByteCount } ?? adapter.byteCount
    }

    /// - Precondition: both floors fit.
    package init(
        byteCount: Int, blockByteCount: Int, adapterFloor: Int, blockFloor: Int,
        paging: Paging? = nil
    ) {
        precondition(
            blockByteCount > 0 && adapterFloor >= 0 && blockFloor >= 0
                && adapterFloor + blockFloor * blockByteCount <= byteCount,
            "The device is too small for both floors.")
        self.byteCount = byteCount
        self.blockByteCount = blockByteCount
        self.adapterFloor = adapterFloor
        self.paging = paging
        self.blockFloor = blockFloor
    }

    /// Bytes of the largest adapter: it must have room whatever sequences hold.
    package var maximumAdapterByteCount: Int { adapterFloor }

    /// Bytes that adapters may have while sequences hold so many blocks.
    func adapterBudget(heldBlockCount: Int) -> Int {
        byteCount - max(blockFloor, heldBlockCount) * blockByteCount
    }

    /// Blocks that may be in use while adapters take so many bytes.
    func blockLimit(adapterByteCount: Int) -> Int {
        (byteCount - max(adapterFloor, adapterByteCount)) / blockByteCount
    }
}
