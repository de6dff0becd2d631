internal import Adapters
internal import DequeModule
internal import Tensors

/// Decides which tokens of which sequences the next step computes.
///
/// Running sequences come first, in the order they were admitted; then waiting ones, first come,
/// first served, while the step's token budget, the sequence limit and the cache's blocks allow.
/// When a running sequence needs a block and none is free, the sequence admitted last gives up its
/// blocks, goes back to the head of the queue, and is computed again later. The first sequence is
/// thus never stopped by another one, so something always finishes.
struct Scheduler {
    /// Tokens of a sequence that the step computes: from its `computedCount` on.
    struct Share: Equatable {
        var id: RequestID
        var tokenCount: Int
    }

    let limits: EngineLimits
    private(set) var cache: BlockCache
    private(set) var sequences: [RequestID: TokenSequence] = [:]
    private var waiting: Deque<RequestID> = []
    /// In the order of admission.
    private var running: [RequestID] = []
    private(set) var preemptionCount = 0

    init(limits: EngineLimits) {
        self.limits = limits
        cache = BlockCache(blockCount: limits.blockCount, keptLimit: limits.keptBlockCount)
    }

    var runningCount: Int { running.count }
    var waitingCount: Int { waiting.count }
    var isEmpty: Bool { sequences.isEmpty }
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
            adapter: sequence.request.adapter?.digest)
        sequences[id] = sequence
    }

    /// The next step's shares, blocks reserved. Empty only when there is nothing to do.
    mutating func schedule() -> [Share] {
        var budget = limits.maximumStepTokens
        var shares: [Share] = []
        var index = 0
        while index < running.count, budget > 0 {
            let id = running[index]
            guard let tokenCount = reserve(id, budget: budget) else { continue }
            shares.append(Share(id: id, tokenCount: tokenCount))
            budget -= tokenCount
            index += 1
        }
        while budget > 0, running.count < limits.maximumSequences, let id = waiting.first,
            let tokenCount = allocate(id, budget: budget)
        {
            waiting.removeFirst()
            running.append(id)
            shares.append(Share(id: id, tokenCount: tokenCount))
            budget -= tokenCount
        }
        return shares
    }

    /// Blocks for a running sequence's next tokens, preempting from the end of the line as needed.
    ///
    /// - Returns: nil when the sequence itself had to give way.
    private mutating func reserve(_ id: RequestID, budget: Int) -> Int? {
        while true {
            if let tokenCount = allocate(id, budget: budget) { return tokenCount }
            guard let victim = running.last else { return nil }
            preempt(victim)
            if victim == id { return nil }
        }
    }

    private mutating func allocate(_ id: RequestID, budget: Int) -> Int? {
        guard var sequence = sequences[id] else { return nil }
        let begins = sequence.holding.blocks.isEmpty
        if begins, sequence.mayFindBlocks {
            sequence.holding = cache.find(
                sequence.tokens, adapter: sequence.request.adapter?.digest)
            sequence.computedCount = sequence.holding.foundCount
        }
        let tokenCount = min(sequence.uncomputedCount, budget)
        let positions = KeyValueCache.blockPositions
        let needed = (sequence.computedCount + tokenCount + positions - 1) / positions
        if !begins, needed <= sequence.holding.blocks.count { return tokenCount }
        guard cache.extend(&sequence.holding, to: needed) else {
            if begins { cache.release(sequence.holding) }
            return nil
        }
        if begins { cache.count(sequence.holding) }
        sequences[id] = sequence
        return tokenCount
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
    /// Positions of the longest sequence.
    package var maximumContext: Int
    /// Blocks of the key/value cache.
    package var blockCount: Int
    /// Requests that may wait besides those that run.
    package var maximumWaiting: Int
    /// Blocks kept at most for sequences that begin with the same tokens; 0 keeps none.
    package var keptBlockCount: Int

    /// - Precondition: the cache holds at least one sequence of the maximum length.
    package init(
        maximumSequences: Int, maximumStepTokens: Int, maximumContext: Int, blockCount: Int,
        maximumWaiting: Int, keptBlockCount: Int = 0
    ) {
        precondition(
            maximumSequences > 0 && maximumStepTokens > 0
                && blockCount * KeyValueCache.blockPositions >= maximumContext,
            "The cache must hold at least one sequence of the maximum length.")
        self.maximumSequences = maximumSequences
        self.maximumStepTokens = maximumStepTokens
        self.maximumContext = maximumContext
        self.blockCount = blockCount
        self.maximumWaiting = maximumWaiting
        self.keptBlockCount = keptBlockCount
    }
}
