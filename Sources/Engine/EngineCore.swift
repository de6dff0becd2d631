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
    /// One for each member of the team.
    private let choosers: [Chooser]
    /// Counts of the last step, for metrics.
    package private(set) var report = StepReport()

    package init(model: DecoderModel, limits: EngineLimits) {
        self.model = model
        scheduler = Scheduler(limits: limits)
        choosers = (0..<model.memberCount).map { _ in
            Chooser(
                sampler: Sampler(kernels: model.kernels, vocabularySize: model.vocabularySize))
        }
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
            cacheByteCount: model.cache.residentByteCount(
                blockCount: scheduler.cache.touchedCount),
            foundTokenCount: scheduler.cache.foundCount,
            preemptionCount: scheduler.preemptionCount,
            deviceAdapterCount: scheduler.slots.count,
            deviceAdapterByteCount: scheduler.slots.byteCount,
            activationCount: scheduler.slots.activationCount)
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
        report = StepReport()
        guard !shares.isEmpty else { return [] }
        var batch = Batch(
            rowCount: shares.reduce(0) { $0 + $1.tokenCount }, runCount: shares.count)
        for share in shares {
            guard let sequence = scheduler[share.id] else { continue }
            let range = sequence.computedCount..<sequence.computedCount + share.tokenCount
            batch.append(
                tokens: sequence.tokens[range], firstPosition: range.lowerBound,
                blocks: sequence.holding.blocks, adapter: sequence.request.adapter,
                adapterStart: sequence.request.adapterStart)
        }
        let wanted = wantedRows(of: shares)
        let rows = model.forward(batch, wanting: wanted.map(\.row))
        report = StepReport(batch: batch, sequenceCount: shares.count)
        for share in shares {
            scheduler.advance(share.id, by: share.tokenCount)
        }
        return outputs(for: wanted, rows)
    }

    /// Base rows first, then adapter by adapter, so that each adapter is one segment, but for those that
    /// act from some token on.
    private func ordered(_ shares: [Scheduler.Share]) -> [Scheduler.Share] {
        var places: [ObjectIdentifier: Int] = [:]
        var keyed: [(place: Int, order: Int, share: Scheduler.Share)] = []
        keyed.reserveCapacity(shares.count)
        for share in shares {
            guard let adapter = scheduler[share.id]?.request.adapter else {
                keyed.append((0, keyed.count, share))
                continue
            }
            let key = ObjectIdentifier(adapter)
            let place = places[key] ?? places.count + 1
            places[key] = place
            keyed.append((place, keyed.count, share))
        }
        keyed.sort { ($0.place, $0.order) < ($1.place, $1.order) }
        return keyed.map(\.share)
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
        wanted.reserveCapacity(shares.count)
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

    private mutating func outputs(for wanted: [WantedRow], _ rows: WantedRows) -> [Output] {
        var outputs: [Output] = []
        outputs.reserveCapacity(wanted.count)
        for start in stride(from: 0, to: wanted.count, by: DecoderModel.maximumLogitRows) {
            let some = start..<min(start + DecoderModel.maximumLogitRows, wanted.count)
            for (row, choice) in zip(wanted[some], choose(wanted, some, rows)) {
                if let output = output(for: row, choice) { outputs.append(output) }
            }
        }
        return outputs
    }

    /// What the logits of a wanted row come to.
    private struct Choice {
        /// The token that was asked about, or the one chosen; nil when none is wanted.
        var token: Int32?
        var scores: TokenScores?
        /// False when the logits are not numbers.
        var isValid = true
    }

    /// A member's sampler, and what it has chosen so far.
    private final class Chooser {
        let sampler: Sampler
        var choices: [Choice] = []

        init(sampler: Sampler) { self.sampler = sampler }
    }

    private func choose(
        _ all: [WantedRow], _ range: Range<Int>, _ rows: WantedRows
    ) -> [Choice] {
        let wanted = Array(all[range])
        let peaksOnly = wanted.allSatisfy { row in
            guard let sequence = scheduler[row.id], row.promptToken == nil else { return false }
            return !sequence.wantsToken
                || Sampler.needsPeakOnly(sequence)
                    && sequence.request.parameters.logprobCount == nil
        }
        let (logits, peaks) = model.logits(of: range, in: rows, peaksOnly: peaksOnly)
        if peaksOnly {
            return wanted.indices.map { choice(wanted[$0], logits, $0, peaks[$0], choosers[0]) }
        }
        for chooser in choosers { chooser.choices.removeAll(keepingCapacity: true) }
        model.forEach(wanted.count) { member, index in
            let chooser = choosers[member]
            chooser.choices.append(choice(wanted[index], logits, index, peaks[index], chooser))
        }
        return choosers.flatMap(\.choices)
    }

    private func choice(
        _ wanted: WantedRow, _ logits: Matrix, _ index: Int, _ peak: LogitPeak, _ chooser: Chooser
    ) -> Choice {
        guard let sequence = scheduler[wanted.id] else { return Choice() }
        guard peak.maximum.isFinite else { return Choice(isValid: false) }
        let parameters = sequence.request.parameters
        func scored(_ token: Int32, count: Int?) -> Choice {
            Choice(
                token: token,
                scores: count.map {
                    chooser.sampler.scores(
                        logits, row: index, peak: peak, token: token, count: $0)
                })
        }
        if let token = wanted.promptToken {
            return scored(token, count: parameters.promptLogprobCount ?? 0)
        }
        guard sequence.wantsToken else { return Choice() }
        let token = chooser.sampler.sample(logits, row: index, peak: peak, for: sequence)
        return scored(token, count: parameters.logprobCount)
    }

    private mutating func output(for wanted: WantedRow, _ choice: Choice) -> Output? {
        guard choice.isValid else {
            guard scheduler.remove(wanted.id) != nil else { return nil }
            return Output(id: wanted.id, event: .failed(.notFinite))
        }
        let maximumContext = limits.maximumContext
        var event: EngineEvent.Step?
        // In place: a sequence that is held twice would be copied for its next token.
        scheduler.update(wanted.id) { sequence in
            if wanted.promptToken != nil {
                if let scores = choice.scores { sequence.promptScores.append(scores) }
            } else {
                event = sequence.take(
                    choice.token, scores: choice.scores, maximumContext: maximumContext)
            }
        }
        guard let event else { return nil }
        if event.finish != nil { scheduler.remove(wanted.id) }
        return Output(id: wanted.id, event: .step(event))
    }
}

/// What happens to a request.
package enum EngineEvent: Sendable {
    case step(Step)
    /// The last event of a request that cannot be completed.
    case failed(EngineFailure)

    package struct Step: Sendable {
        /// Tokens of the prompt that were in the cache and did not have to be computed.
        package var foundPromptCount = 0
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
    /// Physical memory that the cache takes.
    package var cacheByteCount = 0
    /// Prompt tokens that were found in the cache so far.
    package var foundTokenCount = 0
    package var preemptionCount = 0
    /// Adapters on the device, where its memory is limited.
    package var deviceAdapterCount = 0
    package var deviceAdapterByteCount = 0
    /// How often an adapter was brought onto the device.
    package var activationCount = 0

    package init(
        runningCount: Int, waitingCount: Int, runningAdapters: [String], waitingAdapters: [String],
        blockCount: Int, freeBlockCount: Int, keptBlockCount: Int, cacheByteCount: Int,
        foundTokenCount: Int, preemptionCount: Int, deviceAdapterCount: Int,
        deviceAdapterByteCount: Int, activationCount: Int
    ) {
        self.runningCount = runningCount
        self.waitingCount = waitingCount
        self.runningAdapters = runningAdapters
        self.waitingAdapters = waitingAdapters
        self.blockCount = blockCount
        self.freeBlockCount = freeBlockCount
        self.keptBlockCount = keptBlockCount
        self.cacheByteCount = cacheByteCount
        self.foundTokenCount = foundTokenCount
        self.preemptionCount = preemptionCount
        self.deviceAdapterCount = deviceAdapterCount
        self.deviceAdapterByteCount = deviceAdapterByteCount
        self.activationCount = activationCount
    }

    package init() {}
}
