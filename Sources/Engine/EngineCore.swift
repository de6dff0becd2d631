internal import Adapters
package import StepModels
internal import Tensors

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

    private let model: any StepModel
    /// The same, where tokens can be drawn on its device.
    private let drawing: (any DrawingModel)?
    private var scheduler: Scheduler
    /// One for each member of the team.
    private let choosers: [Chooser]
    /// The step's rows, whose logits are wanted and what for, and what came of them: in the same memory
    /// step after step.
    private var batch = Batch()
    private var wantedRows: [Int] = []
    private var wants: [Want] = []
    private var promptTokenCount = 0
    /// Wanted rows that can be read now, and those that can then.
    private var due: [Int] = []
    private var followUps: [Int] = []
    /// Whether the first of the next rows goes on with a draft that came true.
    private var continues = false
    private var outputs: [Output] = []
    /// Adapters that had been taken off the device when the model was last told.
    private var removalCount = 0
    /// Counts of the last step, for metrics.
    package private(set) var report = StepReport()

    package init(model: any StepModel, limits: EngineLimits) {
        self.model = model
        drawing = model as? any DrawingModel
        // One that another core has used begins anew.
        model.free((0..<Int32(limits.blockCount)).map { $0 })
        scheduler = Scheduler(limits: limits, vocabularySize: model.vocabularySize)
        choosers = (0..<model.memberCount).map { _ in
            Chooser(
                sampler: Sampler(kernels: model.kernels, vocabularySize: model.vocabularySize))
        }
    }

    /// Why the device cannot go on: every request has failed, and every one that comes will.
    package private(set) var failure: StepFailure?

    package var limits: EngineLimits { scheduler.limits }
    package var isIdle: Bool { scheduler.isEmpty }

    package var status: EngineStatus {
        EngineStatus(
            runningCount: scheduler.runningCount, waitingCount: scheduler.waitingCount,
            waitingTokenCount: scheduler.waitingTokenCount,
            runningAdapters: scheduler.runningAdapters, waitingAdapters: scheduler.waitingAdapters,
            blockCount: scheduler.cache.blockCount,
            freeBlockCount: scheduler.cache.availableCount,
            keptBlockCount: scheduler.cache.keptCount,
            cacheByteCount: model.cacheByteCount(blockCount: scheduler.cache.touchedCount),
            foundTokenCount: scheduler.cache.foundCount,
            preemptionCount: scheduler.preemptionCount,
            deviceAdapters: scheduler.slots.digests,
            deviceAdapterByteCount: scheduler.slots.byteCount,
            activationCount: scheduler.slots.activationCount, deviceUsage: model.deviceUsage)
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
        report = StepReport()
        outputs.removeAll(keepingCapacity: true)
        guard failure == nil else { return fail(.deviceLost) { _ in true } }
        do throws(StepFailure) {
            try compute()
        } catch {
            batch.removeAll()
            guard let digest = error.adapter else {
                failure = error
                return outputs + fail(.deviceLost) { _ in true }
            }
            return outputs + fail(.adapterRefused) { $0.request.adapter?.digest == digest }
        }
        return outputs
    }

    /// Says whose work the last step's time was, by rows.
    ///
    /// - Parameter outputs: the step's.
    package mutating func attribute(_ seconds: Double, to outputs: inout [Output]) {
        let count = scheduler.shares.reduce(0) { $0 + $1.tokenCount + $1.draft.count }
        guard count > 0 else { return }
        let neighbourCount = scheduler.shares.count - 1
        for share in scheduler.shares {
            let part = seconds * Double(share.tokenCount + share.draft.count) / Double(count)
            for index in outputs.indices where outputs[index].id == share.id {
                guard case .step(var step) = outputs[index].event else { continue }
                step.deviceSeconds += part
                step.stepCount += 1
                step.neighbourCount += neighbourCount
                outputs[index].event = .step(step)
            }
            scheduler.update(share.id) {
                $0.deviceSeconds += part
                $0.stepCount += 1
                $0.neighbourCount += neighbourCount
            }
        }
    }

    /// Ends some requests.
    private mutating func fail(
        _ failure: EngineFailure, where isAffected: (TokenSequence) -> Bool
    ) -> [Output] {
        let ids = scheduler.sequences.filter { isAffected($0.value) }.map(\.key)
        return ids.map { id in
            scheduler.remove(id)
            return Output(id: id, event: .failed(failure))
        }
    }

    private mutating func compute() throws(StepFailure) {
        scheduler.schedule()
        guard !scheduler.shares.isEmpty else { return }
        if !scheduler.cache.released.isEmpty {
            model.free(scheduler.cache.released)
            scheduler.forgetReleasedBlocks()
        }
        if scheduler.slots.removalCount != removalCount {
            removalCount = scheduler.slots.removalCount
            model.keep(scheduler.slots.digests)
        }
        try leaveOutComingAdapters()
        if scheduler.shares.isEmpty, scheduler.lastWasNewcomers {
            // Their adapters are on their way: others need not wait for that.
            scheduler.schedule(isAgain: true)
            try leaveOutComingAdapters()
        }
        report.admitted = scheduler.admitted
        guard !scheduler.shares.isEmpty else { return try model.waitForAdapter() }
        fillBatch()
        report = StepReport(
            batch: batch, promptTokenCount: promptTokenCount,
            sequenceCount: scheduler.shares.count, admitted: scheduler.admitted)
        let rows = try model.forward(batch, wanting: wantedRows)
        for share in scheduler.shares { scheduler.advance(share.id, by: share.tokenCount) }
        continues = false
        for start in stride(from: 0, to: wants.count, by: mostLogitRows) {
            try answer(start..<min(start + mostLogitRows, wants.count), rows)
        }
        noteDrafts()
        // What sequences hold is theirs alone again.
        batch.removeAll()
    }

    /// Adapters that are on their way onto the device do not hold up a step: their sequences are in one that
    /// comes when they are there.
    private mutating func leaveOutComingAdapters() throws(StepFailure) {
        var adapters: [DeviceAdapter] = []
        for share in scheduler.shares {
            guard let adapter = scheduler[share.id]?.request.adapter, adapter !== adapters.last
            else { continue }
            adapters.append(adapter)
        }
        guard !adapters.isEmpty else { return }
        let coming = try model.bring(adapters)
        if !coming.isEmpty { scheduler.leaveOut(coming) }
    }

    // MARK: Rows that need logits

    /// What the logits of a row are wanted for.
    private struct Want {
        var id: RequestID
        /// The prompt token to score; nil to choose a token.
        var promptToken: Int32?
        /// Whether its hidden state goes into its prompt's vector, and no more is wanted of it.
        var isPooled = false
        /// Whether the row is of a draft, and says something only if that comes true.
        var isDraft = false
        /// What the next row takes for the token that is chosen here.
        var draft: Int32?

        func comesTrue(with choice: Choice) -> Bool { draft != nil && draft == choice.token }
    }

    private mutating func fillBatch() {
        wants.removeAll(keepingCapacity: true)
        wantedRows.removeAll(keepingCapacity: true)
        promptTokenCount = 0
        for share in scheduler.shares {
            guard let sequence = scheduler[share.id] else { continue }
            let range = sequence.computedCount..<sequence.computedCount + share.tokenCount
            promptTokenCount += max(
                0, min(range.upperBound, sequence.request.prompt.count) - range.lowerBound)
            for position in range where sequence.request.parameters.pooling != nil {
                guard sequence.pools(position) || position + 1 == sequence.tokens.count else {
                    continue
                }
                wants.append(Want(id: share.id, isPooled: true))
                wantedRows.append(batch.rowCount + position - range.lowerBound)
            }
            for position in range where sequence.request.parameters.pooling == nil {
                let promptToken =
                    sequence.wantsScore(after: position) ? sequence.tokens[position + 1] : nil
                guard promptToken != nil || position + 1 == sequence.tokens.count else { continue }
                wants.append(Want(id: share.id, promptToken: promptToken))
                wantedRows.append(batch.rowCount + position - range.lowerBound)
            }
            guard !share.draft.isEmpty else {
                append(sequence.tokens[range], at: range.lowerBound, of: sequence)
                continue
            }
            wants[wants.count - 1].draft = share.draft[0]
            for place in share.draft.indices {
                let next = place + 1 < share.draft.count ? share.draft[place + 1] : nil
                wants.append(Want(id: share.id, isDraft: true, draft: next))
                wantedRows.append(batch.rowCount + range.count + place)
            }
            append(sequence.tokens[range] + share.draft, at: range.lowerBound, of: sequence)
        }
    }

    private mutating func append(
        _ tokens: ArraySlice<Int32>, at position: Int, of sequence: TokenSequence
    ) {
        batch.append(
            tokens: tokens, firstPosition: position, blocks: sequence.holding.blocks,
            adapter: sequence.request.adapter, adapterStart: sequence.request.adapterStart)
    }

    /// Computes the logits of some of the wanted rows, and adds what comes of them to the outputs.
    ///
    /// Rows of drafts come after those before them: each is read once the token before it is known.
    private mutating func answer(
        _ range: Range<Int>, _ rows: WantedRows
    ) throws(StepFailure) {
        if wants[range].contains(where: \.isPooled) {
            try pool(range, rows)
            if wants[range].allSatisfy(\.isPooled) { return }
        }
        let peaksOnly = wantsPeaksOnly(range)
        if !peaksOnly, let drawing, isDrawn(range) {
            return try draw(range, rows, by: drawing)
        }
        let (logits, peaks) = try model.logits(of: range, in: rows, peaksOnly: peaksOnly)
        due.removeAll(keepingCapacity: true)
        for number in range
        where !wants[number].isPooled
            && (!wants[number].isDraft || continues && number == range.lowerBound)
        {
            due.append(number)
        }
        continues = false
        while !due.isEmpty {
            choose(from: range.lowerBound, logits, peaks, onOneThread: peaksOnly)
            followUps.removeAll(keepingCapacity: true)
            var place = 0
            for chooser in choosers {
                for choice in chooser.choices {
                    let number = due[place]
                    place += 1
                    if let output = output(for: wants[number], choice) { outputs.append(output) }
                    guard wants[number].comesTrue(with: choice) else { continue }
                    report.acceptedCount += 1
                    // It may have ended.
                    guard scheduler[wants[number].id] != nil else { continue }
                    if number + 1 < range.upperBound {
                        followUps.append(number + 1)
                    } else {
                        continues = true
                    }
                }
            }
            swap(&due, &followUps)
        }
    }

    /// Whether the tokens of all these rows are drawn by their logits as they are, and no more is wanted of them.
    private func isDrawn(_ range: Range<Int>) -> Bool {
        wants[range].allSatisfy { want in
            guard !want.isPooled, !want.isDraft, want.draft == nil, want.promptToken == nil,
                let sequence = scheduler[want.id]
            else { return false }
            return !sequence.wantsToken
                || sequence.request.parameters.logprobCount == nil
                    && (Sampler.needsPeakOnly(sequence) || Sampler.drawsUnchanged(sequence))
        }
    }

    /// Answers rows whose weights stay on the device but for those that drawing looks at.
    private mutating func draw(
        _ range: Range<Int>, _ rows: WantedRows, by model: any DrawingModel
    ) throws(StepFailure) {
        let inverses = range.map { number -> Float in
            guard let sequence = scheduler[wants[number].id], sequence.wantsToken,
                Sampler.drawsUnchanged(sequence)
            else { return 0 }
            return Sampler.inverseTemperature(sequence)
        }
        let (sums, peaks) = try model.weigh(range, in: rows, inverseTemperatures: inverses)
        let (sampler, size) = (choosers[0].sampler, KernelSet.sumBlock)
        var tokens = peaks.map { Int32($0.column) }
        var open = inverses.indices.filter { inverses[$0] > 0 && peaks[$0].maximum.isFinite }
        for round in Sampler.floors.indices where !open.isEmpty {
            var blocks: [WeightBlock] = []
            for row in open {
                guard let sequence = scheduler[wants[range.lowerBound + row].id] else { continue }
                sampler.setSums(sums, row: row)
                blocks += sampler.blocks(for: sequence, round: round).map {
                    WeightBlock(row: row, block: $0)
                }
            }
            let weights = try model.weights(of: blocks)
            var next = 0
            open.removeAll { row in
                guard let sequence = scheduler[wants[range.lowerBound + row].id] else {
                    return true
                }
                sampler.setSums(sums, row: row)
                while next < blocks.count, blocks[next].row == row {
                    sampler.setWeights(
                        weights[next * size..<(next + 1) * size], block: blocks[next].block)
                    next += 1
                }
                guard let token = sampler.draw(for: sequence, round: round) else { return false }
                tokens[row] = token
                return true
            }
        }
        for (row, number) in range.enumerated() {
            let wantsToken = scheduler[wants[number].id]?.wantsToken ?? false
            let choice = Choice(
                token: wantsToken ? tokens[row] : nil, isValid: peaks[row].maximum.isFinite)
            if let output = output(for: wants[number], choice) { outputs.append(output) }
        }
    }

    /// Adds the hidden states of some wanted rows to their prompts' vectors, and ends those that are complete.
    private mutating func pool(_ range: Range<Int>, _ rows: WantedRows) throws(StepFailure) {
        let hidden = try model.hiddenStates(of: range, in: rows)
        for number in range where wants[number].isPooled {
            let id = wants[number].id
            guard scheduler[id] != nil else { continue }
            let row = hidden.row(number - range.lowerBound)
            scheduler.update(id) { $0.pool(row) }
            guard let sequence = scheduler[id], sequence.uncomputedCount == 0,
                number + 1 == wants.count || wants[number + 1].id != id
            else { continue }
            let isValid = sequence.hiddenSum.allSatisfy(\.isFinite)
            if let output = output(for: wants[number], Choice(isValid: isValid)) {
                outputs.append(output)
            }
        }
    }

    /// Says how many tokens of each draft came true.
    private mutating func noteDrafts() {
        for share in scheduler.shares where !share.draft.isEmpty {
            report.draftedCount += share.draft.count
            scheduler.update(share.id) { sequence in
                sequence.note(
                    drafted: share.draft.count,
                    accepted: max(0, sequence.computedCount - share.firstDraft))
            }
        }
    }

    /// What the logits of a wanted row come to.
    private struct Choice {
        /// The token that was asked about, or the one chosen; nil when none is wanted.
        var token: Int32?
        var scores: TokenScores?
        /// False when the logits are not numbers.
        var isValid = true
        /// The request's constraint leaves no token, or takes too much work.
        var isStuck = false
        /// It does not know yet.
        var isPending = false
    }

    /// A member's sampler, and what it has chosen so far.
    private final class Chooser {
        let sampler: Sampler
        var choices: [Choice] = []

        init(sampler: Sampler) { self.sampler = sampler }
    }

    /// Whether the largest logit of each row says it all.
    private func wantsPeaksOnly(_ range: Range<Int>) -> Bool {
        wants[range].allSatisfy { want in
            guard let sequence = scheduler[want.id], want.promptToken == nil else { return false }
            return !sequence.wantsToken
                || Sampler.needsPeakOnly(sequence)
                    && sequence.request.parameters.logprobCount == nil
        }
    }

    /// Leaves what the rows that are due come to with the choosers, in order.
    ///
    /// - Parameter first: whose logits come first.
    private func choose(
        from first: Int, _ logits: Matrix, _ peaks: [LogitPeak], onOneThread: Bool
    ) {
        for chooser in choosers { chooser.choices.removeAll(keepingCapacity: true) }
        func choose(_ place: Int, _ member: Int) {
            let (chooser, index) = (choosers[member], due[place] - first)
            chooser.choices.append(
                choice(wants[due[place]], logits, index, peaks[index], chooser))
        }
        if onOneThread || due.count == 1 {
            for place in due.indices { choose(place, 0) }
        } else {
            model.forEach(due.count) { member, place in choose(place, member) }
        }
    }

    private func choice(
        _ want: Want, _ logits: Matrix, _ index: Int, _ peak: LogitPeak, _ chooser: Chooser
    ) -> Choice {
        guard let sequence = scheduler[want.id] else { return Choice() }
        guard peak.maximum.isFinite else { return Choice(isValid: false) }
        let logits = logits.first(
            columns: sequence.request.adapter?.vocabularySize ?? model.vocabularySize)
        let parameters = sequence.request.parameters
        func scored(_ token: Int32, count: Int?) -> Choice {
            Choice(
                token: token,
                scores: count.map {
                    chooser.sampler.scores(
                        logits, row: index, peak: peak, token: token, count: $0)
                })
        }
        if let token = want.promptToken {
            return scored(token, count: parameters.promptLogprobCount ?? 0)
        }
        guard sequence.wantsToken else { return Choice() }
        switch chooser.sampler.sample(logits, row: index, peak: peak, for: sequence) {
        case .token(let token): return scored(token, count: parameters.logprobCount)
        case .stuck: return Choice(isStuck: true)
        case .pending: return Choice(isPending: true)
        }
    }

    private mutating func output(for want: Want, _ choice: Choice) -> Output? {
        guard choice.isValid, !choice.isStuck else {
            guard scheduler.remove(want.id) != nil else { return nil }
            return Output(
                id: want.id, event: .failed(choice.isStuck ? .constraintFailed : .notFinite))
        }
        guard !choice.isPending else {
            // The next step computes its last row again, to the same bits.
            scheduler.update(want.id) { $0.computedCount -= 1 }
            return nil
        }
        let maximumContext = limits.maximumContext
        var event: EngineEvent.Step?
        // In place: a sequence that is held twice would be copied for its next token.
        scheduler.update(want.id) { sequence in
            if want.promptToken != nil {
                if let scores = choice.scores { sequence.promptScores.append(scores) }
            } else {
                let comesTrue = want.comesTrue(with: choice)
                if comesTrue { sequence.acceptedCount += 1 }
                event = sequence.take(
                    choice.token, scores: choice.scores, maximumContext: maximumContext)
                // The next row is the token's.
                if comesTrue { sequence.computedCount += 1 }
            }
        }
        guard let event else { return nil }
        if event.finish != nil { scheduler.remove(want.id) }
        return Output(id: want.id, event: .step(event))
    }
}
