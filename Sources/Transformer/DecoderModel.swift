package import Adapters
package import ModelFiles
package import StepModels
package import Tensors

/// The forward pass: token rows in, hidden states and logits out.
///
/// Not thread-safe: one owner calls it, and it spreads the work over its team. A row's result
/// depends on its own sequence and adapter alone, bit for bit (see CMartletKernels.h).
package final class DecoderModel: StepModel, TeamWork {
    package let weights: ModelWeights
    package let cache: KeyValueCache
    package let kernels: KernelSet
    let team: WorkerTeam
    let workspace: Workspace
    /// By layer; nil where a layer does not rotate.
    let angles: [Matrix?]
    private let maximumRows: Int
    private let maximumContext: Int
    private var shrunk: Matrix
    private var shrunkInput: ShrunkInput
    private let adapterFormat: WeightFormat
    let scratch: [Matrix]
    /// The adapters of a pass's rows, of those that its last layer goes on with, and of the head.
    private let (adapters, lastAdapters, headAdapters): (LowRankStep, LowRankStep, LowRankStep)
    /// What the first two change of routers and experts.
    private let (expertAdapters, lastExpertAdapters): (LowRankStep, LowRankStep)
    /// What the members of the team are at.
    private var job = Job.none

    package var configuration: ModelConfiguration { weights.configuration }
    package var vocabularySize: Int { configuration.vocabularySize }

    /// - Parameters:
    ///   - adapterFormat: of every adapter that batches bring.
    ///   - cache: its format is that of activations too: the weights' own, or f32.
    ///   - maximumRows: rows of the largest batch.
    ///   - maximumContext: positions of the longest sequence.
    package init(
        weights: ModelWeights, adapterFormat: WeightFormat, cache: KeyValueCache,
        kernels: KernelSet, team: WorkerTeam,
        maximumRows: Int, maximumContext: Int
    ) {
        let c = weights.configuration
        self.weights = weights
        self.adapterFormat = adapterFormat
        self.cache = cache
        self.kernels = kernels
        self.team = team
        self.maximumRows = maximumRows
        self.maximumContext = maximumContext
        workspace = Workspace(
            weights: weights, adapterFormat: adapterFormat, format: cache.format,
            rowCount: maximumRows, memberCount: team.memberCount, kernels: kernels)
        let most = c.angles(positionCount: maximumContext)
        let windowed = c.departures.windowedRope.map {
            c.angles(positionCount: maximumContext, $0)
        }
        angles = c.layers.map { layer in
            c.departures.unrotatedLayers.contains(layer)
                ? nil : c.window(layer: layer) > 0 ? windowed ?? most : most
        }
        shrunk = Matrix(rowCount: maximumRows, columnCount: 0)
        shrunkInput = ShrunkInput(
            format: adapterFormat, activations: cache.format, rowCount: maximumRows, width: 0)
        let group = c.headCount / c.keyValueHeadCount
        let scratchCount = KernelSet.attentionScratchCount(
            rowCount: DecoderModel.attentionRows(group: group), group: group,
            headDimension: c.headDimension, positionCount: maximumContext)
        scratch = (0..<team.memberCount).map { _ in Matrix(rowCount: 1, columnCount: scratchCount) }
        adapters = LowRankStep(kernels: kernels, capacity: maximumRows)
        lastAdapters = LowRankStep(kernels: kernels, capacity: maximumRows)
        headAdapters = LowRankStep(kernels: kernels, capacity: mostLogitRows)
        let expertRows = c.departures.experts == nil ? 0 : maximumRows
        expertAdapters = LowRankStep(kernels: kernels, capacity: expertRows)
        lastExpertAdapters = LowRankStep(kernels: kernels, capacity: expertRows)
    }

    /// - Precondition: tokens are in the vocabulary of their adapter or of the base, positions below the maximum context.
    package func forward(_ batch: Batch, wanting wanted: [Int]) -> WantedRows {
        precondition(batch.rowCount <= maximumRows, "The batch has too many rows.")
        precondition(
            zip(wanted, wanted.dropFirst()).allSatisfy(<)
                && wanted.allSatisfy { (0..<batch.rowCount).contains($0) }, "Not rows of the batch."
        )
        workspace.prepare(
            batch, wanting: wanted,
            queryRows: DecoderModel.attentionRows(
                group: configuration.headCount / configuration.keyValueHeadCount))
        let rows = WantedRows(count: wanted.count, segments: batch.segments(of: wanted))
        let pass = Pass(
            rowCount: batch.rowCount, batch: batch,
            linear: adapterLinear(batch.segments, adapters, expertAdapters),
            queries: workspace.queries,
            isDecode: batch.runs.allSatisfy { $0.rows.count == 1 })
        run(.layers(pass, last: narrowed(pass, to: wanted, rows.segments), wanted: wanted))
        return rows
    }

    /// What the team does.
    private enum Job {
        case none
        case layers(Pass, last: Pass, wanted: [Int])
        case logits(LogitPass)
    }

    private func run(_ job: Job) {
        self.job = job
        team.run(self)
        // Nothing of a step outlives it.
        self.job = .none
        adapters.removeAll()
        lastAdapters.removeAll()
        headAdapters.removeAll()
        expertAdapters.removeAll()
        lastExpertAdapters.removeAll()
        workspace.experts?.adapters.removeAll()
    }

    package func doPart(of member: Int) {
        switch job {
        case .none: break
        case .layers(let pass, let last, let wanted): layers(pass, last, wanted, member)
        case .logits(let pass): logits(pass, member)
        }
    }

    private func layers(_ pass: Pass, _ last: Pass, _ wanted: [Int], _ member: Int) {
        embed(pass, member)
        for layer in weights.layers.indices.dropLast() {
            attention(layer, pass, member)
            attentionOutput(layer, pass, member)
            feedForward(layer, pass, member)
        }
        let layer = weights.layers.count - 1
        attention(layer, pass, member, queries: last.queries)
        if last.rowCount < pass.rowCount { gather(wanted, member) }
        guard last.rowCount > 0 else { return }
        attentionOutput(layer, last, member)
        feedForward(layer, last, member)
    }

    /// What the parts of a layer know of the step.
    struct Pass {
        var rowCount: Int
        let batch: Batch
        var linear: AdapterLinear
        var queries: [Workspace.QueryRows]
        /// Every sequence has one row.
        let isDecode: Bool
    }

    /// The pass after the last layer's keys and values, with the wanted rows alone.
    private func narrowed(
        _ pass: Pass, to wanted: [Int], _ segments: [Batch.Segment]
    ) -> Pass {
        guard wanted.count < pass.rowCount else { return pass }
        var last = pass
        last.rowCount = wanted.count
        last.linear = adapterLinear(segments, lastAdapters, lastExpertAdapters)
        // Where each sequence has one row, its attention positions its key as well.
        if !pass.isDecode { last.queries = workspace.lastQueries }
        return last
    }

    /// Moves the wanted rows to the front, in their order.
    private func gather(_ wanted: [Int], _ member: Int) {
        if member == 0 {
            for (target, row) in wanted.enumerated() where row != target {
                workspace.hidden.copyRow(row, to: target)
                workspace.attended.values.copyRow(row, to: target)
            }
        }
        team.meet(member)
    }

    /// Where only peaks are wanted, the logits never leave the processor's cache.
    package func logits(
        of rows: Range<Int>, in wanted: WantedRows, peaksOnly: Bool = false
    ) -> (logits: Matrix, peaks: [LogitPeak]) {
        precondition(rows.count <= mostLogitRows, "Too many logit rows.")
        precondition(rows.lowerBound >= 0 && rows.upperBound <= wanted.count, "Nobody wanted them.")
        let head = headPass(wanted.segments(in: rows), rowCount: rows.count)
        for (index, row) in rows.enumerated() {
            kernels.rmsNorm(
                workspace.hidden, rows: row..<row + 1,
                weight: head?.norm(row: index) ?? weights.finalNorm,
                epsilon: configuration.normEpsilon, into: workspace.logitInput.values,
                outputRow: index)
            if workspace.logitInput.isQuantizedForWeights {
                kernels.finish(workspace.logitInput, row: index)
            }
        }
        head?.prepare()
        workspace.takeLogits(of: head?.vocabularySize ?? vocabularySize)
        for peaks in workspace.peaks { peaks.reset(count: rows.count) }
        run(.logits(LogitPass(rowCount: rows.count, head: head, peaksOnly: peaksOnly)))
        return (workspace.logits, workspace.mergedPeaks(count: rows.count))
    }

    package func hiddenStates(of rows: Range<Int>, in wanted: WantedRows) -> Matrix {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= wanted.count, "Nobody wanted them.")
        let head = headPass(wanted.segments(in: rows), rowCount: rows.count)
        let states = Matrix(rowCount: rows.count, columnCount: configuration.hiddenSize)
        for (index, row) in rows.enumerated() {
            states.setRow(index, workspace.hidden.row(row))
            kernels.rmsNormInPlace(
                states, row: index, column: 0,
                weight: head?.norm(row: index) ?? weights.finalNorm,
                epsilon: configuration.normEpsilon)
        }
        return states
    }

    /// The head's product for rows that are normalized.
    private struct LogitPass {
        let rowCount: Int
        let head: HeadPass?
        let peaksOnly: Bool
    }

    private func logits(_ pass: LogitPass, _ member: Int) {
        let (rowCount, head) = (pass.rowCount, weights.head)
        let size = pass.head?.vocabularySize ?? vocabularySize
        let pieces = pieces(
            of: (size + Lanes.count - 1) / Lanes.count, rowCount: rowCount)
        team.spread(pieces.count, for: member) { piece in
            let panels = pieces[piece]
            let output =
                pass.peaksOnly
                ? workspace.pieces[member].reshaped(
                    rowCount: rowCount, columnCount: panels.count * Lanes.count)
                : workspace.logits
            let first = panels.lowerBound * Lanes.count
            let column = pass.peaksOnly ? 0 : first
            let ofBase = panels.clamped(to: 0..<head.panelCount)
            if !ofBase.isEmpty {
                kernels.multiply(
                    workspace.logitInput, rows: 0..<rowCount, by: head, panels: ofBase,
                    into: output, outputColumn: column)
            }
            pass.head?.apply(panels: panels, to: output, column: column)
            for row in 0..<rowCount {
                let size = pass.head?.vocabularySize(row: row) ?? vocabularySize
                let count = min(panels.count * Lanes.count, size - first)
                guard count > 0 else { continue }
                kernels.scaleAndCap(
                    output, rows: row..<row + 1, columns: column..<column + count,
                    scale: configuration.departures.logitScale,
                    cap: configuration.departures.logitCap)
                var peak = kernels.peak(output, row: row, columns: column..<column + count)
                peak.column += first
                workspace.peaks[member].merge(peak, row: row)
            }
        }
    }

    private func headPass(_ segments: [Batch.Segment], rowCount: Int) -> HeadPass? {
        guard !segments.isEmpty else { return nil }
        return HeadPass(
            segments: segments, linear: adapterLinear(segments, headAdapters),
            update: DeviceAdapter.headUpdate(configuration), input: workspace.logitInput,
            vocabularySize: vocabularySize, rowCount: rowCount)
    }

    package func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {
        team.run { member in
            for index in team.share(of: count, for: member) { work(member, index) }
        }
    }

    package var memberCount: Int { team.memberCount }

    package func cacheByteCount(blockCount: Int) -> Int {
        cache.residentByteCount(blockCount: blockCount)
    }

    package var deviceUsage: DeviceUsage? { nil }
    package func free(_ blocks: [Int32]) {}

    /// The host's memory is the device's, see docs/decisions/0007-tiers-on-a-cpu.md.
    package func keep(_ adapters: Set<AdapterDigest>) {}

    package func bring(_ adapters: [DeviceAdapter]) -> Set<AdapterDigest> { [] }

    package func waitForAdapter() {}

    // MARK: Preparation

    private func adapterLinear(
        _ segments: [Batch.Segment], _ step: LowRankStep, _ routers: LowRankStep? = nil
    ) -> AdapterLinear {
        step.removeAll()
        var expertOwners: [Batch.Segment] = []
        if let routers {
            routers.removeAll()
            for segment in segments {
                guard let table = segment.adapter.expertTable else { continue }
                routers.append(rows: segment.rows, table: table)
                workspace.experts?.know(table)
                expertOwners.append(segment)
            }
        }
        for segment in segments { step.append(rows: segment.rows, table: segment.adapter.table) }
        precondition(
            segments.isEmpty || step.format == adapterFormat,
            "The adapters are in another format.")
        if step.shrinkWidth > shrunk.columnCount || step.roundedWidth > shrunkInput.width {
            shrunk = Matrix(rowCount: maximumRows, columnCount: step.shrinkWidth)
            shrunkInput = ShrunkInput(
                format: adapterFormat, activations: cache.format, rowCount: maximumRows,
                width: step.roundedWidth)
        }
        return AdapterLinear(
            kernels: kernels, step: step, shrunk: shrunk, shrunkInput: shrunkInput,
            owners: segments.filter { $0.adapter.own != nil }, expertOwners: expertOwners,
            routers: routers)
    }
}
