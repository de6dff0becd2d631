internal import Adapters
internal import Tensors
package import Transformer

/// The engine as a plain value: commands in, outputs out, no threads, no clock, no text.
package struct EngineCore {
    package enum Command: Sendable {
        case submit(EngineRequest)
        case cancel(RequestID)
    }

    /// What a step has to say to a request.
    package struct Output: Sendable {
        package var id: RequestID
        package var event: EngineEvent
    }

    private let model: DecoderModel
    private var scheduler: Scheduler
    private var sampler: Sampler
    /// Counts of the last step, for metrics.
    package private(set) var report = StepReport()

    package init(model: DecoderModel, limits: EngineLimits) {
        self.model = model
        scheduler = Scheduler(limits: limits)
        sampler = Sampler(
            kernels: model.kernels, vocabularySize: model.vocabularySize)
    }

    package var limits: EngineLimits { scheduler.limits }
    package var isIdle: Bool { scheduler.isEmpty }

    package var status: EngineStatus {
        EngineStatus(
            runningCount: scheduler.runningCount, waitingCount: scheduler.waitingCount,
            runningAdapters: scheduler.runningAdapters, waitingAdapters: scheduler.waitingAdapters,
            blockCount: scheduler.cache.blockCount,
            freeBlockCount: scheduler.cache.availableCount,
            keptBlockCount: scheduler.cache.keptCount,
            foundTokenCount: scheduler.cache.foundCount,
            preemptionCount: scheduler.preemptionCount)
    }

    /// Takes a request in or drops one. A prompt must not be empty and must fit the context.
    package mutating func apply(_ command: Command) {
        switch command {
        case .submit(let request):
            precondition(
                !request.prompt.isEmpty && request.prompt.count <= limits.maximumContext,
                "The prompt does not fit.")
            scheduler.add(request)
        case .cancel(let id):
            scheduler.remove(id)
        }
    }

    /// One forward pass over whatever the scheduler picks.
    ///
    /// - Returns: the events of all requests that moved, in no particular order of requests.
    package mutating func step() -> [Output] {
        let shares = ordered(scheduler.schedule())
        guard !shares.isEmpty else { return [] }
        var batch = Batch()
        for share in shares {
            guard let sequence = scheduler[share.id] else { continue }
            let range = sequence.computedCount..<sequence.computedCount + share.tokenCount
            batch.append(
                tokens: sequence.tokens[range], firstPosition: range.lowerBound,
                blocks: sequence.holding.blocks, adapter: sequence.request.adapter)
        }
        model.forward(batch)
        report = StepReport(batch: batch, sequenceCount: shares.count)
        let wanted = wantedRows(of: shares)
        for share in shares {
            scheduler.advance(share.id, by: share.tokenCount)
        }
        return outputs(for: wanted)
    }

    /// Base rows first, then adapter by adapter, so that each adapter is one segment.
    private func ordered(_ shares: [Scheduler.Share]) -> [Scheduler.Share] {
        var groups: [ObjectIdentifier?: [Scheduler.Share]] = [:]
        var order: [ObjectIdentifier?] = [nil]
        for share in shares {
            let key = scheduler[share.id]?.request.adapter.map { ObjectIdentifier($0) }
            if groups[key] == nil, key != nil { order.append(key) }
            groups[key, default: []].append(share)
        }
        return order.flatMap { groups[$0] ?? [] }
    }

    // MARK: Rows that need logits

    /// A row of the batch whose logits are wanted: to score the prompt's next token, or to choose
    /// the next one.
    private struct WantedRow {
        var id: RequestID
        var row: Int
        /// The prompt token to score; nil to choose a token.
        var promptToken: Int32?
    }

    private func wantedRows(of shares: [Scheduler.Share]) -> [WantedRow] {
        var wanted: [WantedRow] = []
        var firstRow = 0
        for share in shares {
            guard let sequence = scheduler[share.id] else { continue }
            for offset in 0..<share.tokenCount {
                let position = sequence.computedCount + offset
                if sequence.wantsScore(after: position) {
                    wanted.append(
                        WantedRow(
                            id: share.id, row: firstRow + offset,
                            promptToken: sequence.tokens[position + 1]))
                } else if position + 1 == sequence.tokens.count {
                    wanted.append(WantedRow(id: share.id, row: firstRow + offset))
                }
            }
            firstRow += share.tokenCount
        }
        return wanted
    }

    private mutating func outputs(for wanted: [WantedRow]) -> [Output] {
        var outputs: [Output] = []
        for start in stride(from: 0, to: wanted.count, by: DecoderModel.maximumLogitRows) {
            let some = wanted[start..<min(start + DecoderModel.maximumLogitRows, wanted.count)]
            let (logits, summaries) = model.logits(of: some.map(\.row))
            for (index, row) in some.enumerated() {
                if let output = output(for: row, logits, index, summaries[index]) {
                    outputs.append(output)
                }
            }
        }
        return outputs
    }

    private mutating func output(
        for wanted: WantedRow, _ logits: Matrix, _ index: Int, _ summary: LogitSummary
    ) -> Output? {
        guard let sequence = scheduler[wanted.id] else { return nil }
        let parameters = sequence.request.parameters
        guard summary.maximum.isFinite, summary.logSumExp.isFinite else {
            scheduler.remove(wanted.id)
            return Output(id: wanted.id, event: .failed(.notFinite))
        }
        if let token = wanted.promptToken {
            let scores = sampler.scores(
                logits, row: index, summary: summary, token: token,
                count: parameters.promptLogprobCount ?? 0)
            scheduler.update(wanted.id) { $0.promptScores.append(scores) }
            return nil
        }
        var event = EngineEvent.Step()
        if sequence.completionCount == 0, parameters.promptLogprobCount != nil {
            event.promptScores = sequence.promptScores
        }
        if sequence.wantsToken {
            let token = sampler.sample(logits, row: index, summary: summary, for: sequence)
            event.token = token
            if let count = parameters.logprobCount {
                event.scores = sampler.scores(
                    logits, row: index, summary: summary, token: token, count: count)
            }
            scheduler.update(wanted.id) { $0.append(token) }
            event.finish = finish(of: sequence, after: token)
        } else {
            event.finish = .length
        }
        if event.finish != nil { scheduler.remove(wanted.id) }
        return Output(id: wanted.id, event: .step(event))
    }

    private func finish(of sequence: TokenSequence, after token: Int32) -> FinishReason? {
        let parameters = sequence.request.parameters
        if parameters.endTokens.contains(token) { return .endToken(token) }
        let isLong =
            sequence.completionCount + 1 >= parameters.maximumTokens
            || sequence.tokens.count + 1 >= limits.maximumContext
        return isLong ? .length : nil
    }
}

/// What happens to a request.
package enum EngineEvent: Sendable {
    case step(Step)
    /// The last event of a request that cannot be completed.
    case failed(EngineFailure)

    package struct Step: Sendable {
        /// Scores of the prompt's tokens from the second on, once, with the first event.
        package var promptScores: [TokenScores]?
        /// Nil only when the request asks for no tokens.
        package var token: Int32?
        package var scores: TokenScores?
        /// Set with the last event.
        package var finish: FinishReason?

        package init() {}
    }
}

package enum EngineFailure: Error, Sendable {
    /// The model's output was not a number: its weights or the adapter's are broken.
    case notFinite
    /// The engine is stopping.
    case stopped
}

/// What one step computed.
package struct StepReport: Sendable {
    package var tokenCount = 0
    package var sequenceCount = 0
    package var adapterCount = 0

    package init() {}

    init(batch: Batch, sequenceCount: Int) {
        tokenCount = batch.rowCount
        self.sequenceCount = sequenceCount
        adapterCount = Set(batch.segments.map { ObjectIdentifier($0.adapter) }).count
    }
}

/// Where the engine stands.
package struct EngineStatus: Sendable {
    package var runningCount = 0
    package var waitingCount = 0
    package var runningAdapters: [String] = []
    package var waitingAdapters: [String] = []
    package var blockCount = 0
    /// Blocks that a sequence may get, kept ones included.
    package var freeBlockCount = 0
    /// Blocks that nobody holds and that are kept for sequences that begin with the same tokens.
    package var keptBlockCount = 0
    /// Prompt tokens that were found in the cache so far.
    package var foundTokenCount = 0
    package var preemptionCount = 0

    package init(
        runningCount: Int, waitingCount: Int, runningAdapters: [String], waitingAdapters: [String],
        blockCount: Int, freeBlockCount: Int, keptBlockCount: Int, foundTokenCount: Int,
        preemptionCount: Int
    ) {
        self.runningCount = runningCount
        self.waitingCount = waitingCount
        self.runningAdapters = runningAdapters
        self.waitingAdapters = waitingAdapters
        self.blockCount = blockCount
        self.freeBlockCount = freeBlockCount
        self.keptBlockCount = keptBlockCount
        self.foundTokenCount = foundTokenCount
        self.preemptionCount = preemptionCount
    }

    package init() {}
}
