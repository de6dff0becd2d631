internal import Adapters
internal import Foundation
package import ModelFiles
package import Tensors

/// The forward pass: token rows in, hidden states and logits out.
///
/// Not thread-safe: one owner calls it, and it spreads the work over its team. A row's result
/// depends on its own sequence and adapter alone, bit for bit (see CMartletKernels.h).
package final class DecoderModel {
    package let weights: ModelWeights
    package let cache: KeyValueCache
    package let kernels: KernelSet
    private let team: WorkerTeam
    private let workspace: Workspace
    private let angles: Matrix
    private let maximumRows: Int
    private let maximumContext: Int
    private var shrunk: Matrix
    private var shrunkInput: ShrunkInput
    private let adapterFormat: WeightFormat
    private var scratch: [Matrix]

    package var configuration: ModelConfiguration { weights.configuration }
    package var vocabularySize: Int { configuration.vocabularySize }

    /// Logit rows computed at a time.
    package static let maximumLogitRows = 64

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
            rowCount: maximumRows, memberCount: team.memberCount)
        angles = DecoderModel.angles(c, positionCount: maximumContext)
        shrunk = Matrix(rowCount: maximumRows, columnCount: 0)
        shrunkInput = ShrunkInput(
            format: adapterFormat, activations: cache.format, rowCount: maximumRows, width: 0)
        let group = c.headCount / c.keyValueHeadCount
        let scratchCount = KernelSet.attentionScratchCount(
            rowCount: DecoderModel.attentionRows(group: group), group: group,
            headDimension: c.headDimension, positionCount: maximumContext)
        scratch = (0..<team.memberCount).map { _ in Matrix(rowCount: 1, columnCount: scratchCount) }
    }

    /// Computes hidden states for every row and writes their keys and values into the cache.
    ///
    /// - Precondition: tokens are in the vocabulary, positions below the maximum context.
    package func forward(_ batch: Batch) {
        precondition(batch.rowCount <= maximumRows, "The batch has too many rows.")
        workspace.prepare(batch)
        let pass = Pass(
            batch: batch, linear: adapterLinear(batch), attention: attentionPieces(batch),
            isDecode: batch.runs.allSatisfy { $0.rows.count == 1 })
        team.run { member in
            embed(pass, member)
            for layer in weights.layers.indices {
                attention(layer, pass, member)
                feedForward(layer, pass, member)
            }
        }
    }

    /// What the parts of a layer know of the step.
    private struct Pass {
        let batch: Batch
        let linear: AdapterLinear
        let attention: [(run: Int, piece: AttentionPiece)]
        /// Every sequence has one row.
        let isDecode: Bool

        var rowCount: Int { batch.rowCount }
    }

    /// Logits of some of the last batch's rows, in that order, at most `maximumLogitRows`.
    ///
    /// - Parameter peaksOnly: the logits themselves are not wanted and never leave the cache.
    /// - Returns: a matrix that the next call overwrites, and each row's largest logit.
    package func logits(of rows: some Collection<Int>, peaksOnly: Bool = false) -> (
        logits: Matrix, peaks: [LogitPeak]
    ) {
        precondition(rows.count <= DecoderModel.maximumLogitRows, "Too many logit rows.")
        let rows = Array(rows)
        let epsilon = configuration.normEpsilon
        for (index, row) in rows.enumerated() {
            kernels.rmsNorm(
                workspace.hidden, row: row, weight: weights.finalNorm, epsilon: epsilon,
                into: workspace.logitInput.values, outputRow: index)
            kernels.finish(workspace.logitInput, row: index)
        }
        let pieces = pieces(of: weights.head.panelCount, rowCount: rows.count)
        for peaks in workspace.peaks { peaks.reset(count: rows.count) }
        team.run { member in
            team.spread(pieces.count, for: member) { piece in
                let panels = pieces[piece]
                let output =
                    peaksOnly
                    ? workspace.pieces[member].reshaped(
                        rowCount: rows.count, columnCount: panels.count * Lanes.count)
                    : workspace.logits
                let first = panels.lowerBound * Lanes.count
                let column = peaksOnly ? 0 : first
                kernels.multiply(
                    workspace.logitInput, rows: 0..<rows.count, by: weights.head, panels: panels,
                    into: output, outputColumn: column)
                let count = min(panels.count * Lanes.count, vocabularySize - first)
                for row in 0..<rows.count {
                    var peak = kernels.peak(output, row: row, columns: column..<column + count)
                    peak.column += first
                    workspace.peaks[member].merge(peak, row: row)
                }
            }
        }
        return (workspace.logits, workspace.peaks(count: rows.count))
    }

    /// Calls `work` once for each number below `count`, spread over the team.
    package func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {
        team.run { member in
            for index in team.share(of: count, for: member) { work(member, index) }
        }
    }

    package var memberCount: Int { team.memberCount }

    // MARK: Parts of a layer, as one member does them; each ends with all members meeting

    private func embed(_ pass: Pass, _ member: Int) {
        for row in team.share(of: pass.rowCount, for: member) {
            weights.embedding.unpackRow(
                Int(pass.batch.tokens[row]), into: workspace.hidden, row: row)
        }
        team.meet()
    }

    private func attention(_ index: Int, _ pass: Pass, _ member: Int) {
        let layer = weights.layers[index]
        normalizeAndShrink(
            layer.attentionNorm, index, .attentionInput, pass, member,
            into: workspace.attentionInput)
        let group = layer.attentionInput
        let pieces = pieces(of: group, rowCount: pass.rowCount)
        team.spread(pieces.count, for: member) { piece in
            pass.linear.project(
                group, layer: index, panels: pieces[piece], input: workspace.attentionInput,
                rowCount: pass.rowCount, into: workspace.projections,
                next: upcoming(after: piece, of: pieces, in: group, for: member)
                    ?? first(of: layer.attentionOutput, pass, for: member))
        }
        if !pass.isDecode {
            for row in pairedShare(of: pass.batch, for: member) {
                positionKeysAndQueries(
                    index, pass.batch, row: row, heads: 0..<configuration.keyValueHeadCount)
            }
            team.meet()
        }
        attend(index, pass, member)
        finishAndShrink(index, .attentionOutput, pass, member, input: workspace.attended)
        projectOntoHidden(
            layer.attentionOutput, index, pass, member, input: workspace.attended,
            next: layer.feedForwardInput)
    }

    private func feedForward(_ index: Int, _ pass: Pass, _ member: Int) {
        let layer = weights.layers[index]
        normalizeAndShrink(
            layer.feedForwardNorm, index, .feedForwardInput, pass, member,
            into: workspace.feedForwardInput)
        let group = layer.feedForwardInput
        let (linear, rowCount) = (pass.linear, pass.rowCount)
        let pieces = pieces(of: group, rowCount: rowCount)
        team.spread(pieces.count, for: member) { piece in
            let panels = pieces[piece]
            let width = panels.count * Lanes.count
            let output = workspace.pieces[member].reshaped(
                rowCount: rowCount, columnCount: 2 * width)
            linear.project(
                group, 0, layer: index, panels: panels, input: workspace.feedForwardInput,
                rowCount: rowCount, into: output, column: 0,
                next: Upcoming(weights: group.weights[1], panel: panels.lowerBound))
            linear.project(
                group, 1, layer: index, panels: panels, input: workspace.feedForwardInput,
                rowCount: rowCount, into: output, column: width,
                next: upcoming(after: piece, of: pieces, in: group, for: member)
                    ?? first(of: layer.feedForwardOutput, pass, for: member))
            let column = panels.lowerBound * Lanes.count
            let count = min(width, configuration.intermediateSize - column)
            for row in 0..<rowCount {
                kernels.siluMultiply(
                    output, row: row, gateColumn: 0, upColumn: width, count: count,
                    into: workspace.gated.values, column: column)
            }
        }
        finishAndShrink(index, .feedForwardOutput, pass, member, input: workspace.gated)
        projectOntoHidden(
            layer.feedForwardOutput, index, pass, member, input: workspace.gated,
            next: index + 1 < weights.layers.count ? weights.layers[index + 1].attentionInput : nil)
    }

    /// A member shrinks the rows that it has just normalized: no waiting in between.
    private func normalizeAndShrink(
        _ weight: Matrix, _ layer: Int, _ site: Projection.Site, _ pass: Pass, _ member: Int,
        into input: ProductInput
    ) {
        let rows = team.share(of: pass.rowCount, for: member)
        for row in rows {
            kernels.rmsNorm(
                workspace.hidden, row: row, weight: weight, epsilon: configuration.normEpsilon,
                into: input.values, outputRow: row)
        }
        pass.linear.shrink(layer: layer, site: site, rows: rows, input: input)
        team.meet()
    }

    /// Makes rows that several members have written ready to be projected, and shrinks them.
    private func finishAndShrink(
        _ layer: Int, _ site: Projection.Site, _ pass: Pass, _ member: Int, input: ProductInput
    ) {
        guard pass.linear.changes(layer: layer, site: site) || input.isQuantizedForWeights else {
            return
        }
        pass.linear.shrink(
            layer: layer, site: site, rows: team.share(of: pass.rowCount, for: member),
            input: input)
        team.meet()
    }

    /// A projection whose result is added to the hidden states.
    private func projectOntoHidden(
        _ group: LinearGroup, _ layer: Int, _ pass: Pass, _ member: Int, input: ProductInput,
        next: LinearGroup?
    ) {
        let rowCount = pass.rowCount
        let pieces = pieces(of: group, rowCount: rowCount)
        team.spread(pieces.count, for: member) { piece in
            let panels = pieces[piece]
            let output = workspace.pieces[member].reshaped(
                rowCount: rowCount, columnCount: panels.count * Lanes.count)
            pass.linear.project(
                group, 0, layer: layer, panels: panels, input: input, rowCount: rowCount,
                into: output, column: 0,
                next: upcoming(after: piece, of: pieces, in: group, for: member)
                    ?? first(of: next, pass, for: member))
            let column = panels.lowerBound * Lanes.count
            let count = min(output.columnCount, configuration.hiddenSize - column)
            for row in 0..<rowCount {
                kernels.add(
                    output, row: row, column: 0, count: count, to: workspace.hidden,
                    targetRow: row, targetColumn: column)
            }
        }
    }

    // MARK: Pieces

    private func pieces(
        of panelCount: Int, rowCount: Int, outputs: Int = 1
    ) -> AdapterLinear.Pieces {
        AdapterLinear.Pieces(
            panelCount: panelCount, rowCount: rowCount, memberCount: team.memberCount,
            outputs: outputs)
    }

    /// Gate and up are split alike, so that a member can multiply their outputs.
    private func pieces(of group: LinearGroup, rowCount: Int) -> AdapterLinear.Pieces {
        group.site == .feedForwardInput
            ? pieces(of: group.weights[0].panelCount, rowCount: rowCount, outputs: 2)
            : pieces(of: group.panelCount, rowCount: rowCount)
    }

    /// What a member multiplies after a piece of its share; nil after the last.
    private func upcoming(
        after piece: Int, of pieces: AdapterLinear.Pieces, in group: LinearGroup, for member: Int
    ) -> Upcoming? {
        team.share(of: pieces.count, for: member).contains(piece + 1)
            ? group.upcoming(panel: pieces[piece + 1].lowerBound) : nil
    }

    /// What a member multiplies first in a group; of the head when there is no group.
    private func first(of group: LinearGroup?, _ pass: Pass, for member: Int) -> Upcoming? {
        guard let group else {
            let pieces = pieces(of: weights.head.panelCount, rowCount: pass.batch.runs.count)
            let share = team.share(of: pieces.count, for: member)
            return share.isEmpty
                ? nil : Upcoming(weights: weights.head, panel: pieces[share.lowerBound].lowerBound)
        }
        let pieces = pieces(of: group, rowCount: pass.rowCount)
        let share = team.share(of: pieces.count, for: member)
        return share.isEmpty ? nil : group.upcoming(panel: pieces[share.lowerBound].lowerBound)
    }

    // MARK: Attention

    /// Normalizes (Qwen3) and rotates a row's queries and keys of some key/value heads, and stores
    /// their keys and values.
    private func positionKeysAndQueries(
        _ index: Int, _ batch: Batch, row: Int, heads: Range<Int>
    ) {
        let (c, layer, projections) = (configuration, weights.layers[index], workspace.projections)
        let columns = layer.attentionInput.columns
        let (keyColumn, valueColumn) = (columns[1], columns[2])
        let position = Int(batch.positions[row])
        let d = c.headDimension
        let group = c.headCount / c.keyValueHeadCount
        let queries = heads.lowerBound * group..<heads.upperBound * group
        if let queryNorm = layer.queryNorm, let keyNorm = layer.keyNorm {
            for head in queries {
                kernels.rmsNormInPlace(
                    projections, row: row, column: head * d, weight: queryNorm,
                    epsilon: c.normEpsilon)
            }
            for head in heads {
                kernels.rmsNormInPlace(
                    projections, row: row, column: keyColumn + head * d, weight: keyNorm,
                    epsilon: c.normEpsilon)
            }
        }
        kernels.rotate(
            projections, row: row, column: queries.lowerBound * d, headCount: queries.count,
            headDimension: d, angles: angles, position: position)
        kernels.rotate(
            projections, row: row, column: keyColumn + heads.lowerBound * d,
            headCount: heads.count, headDimension: d, angles: angles, position: position)
        let blocks = workspace.blocks(of: batch, row: row)
        cache.store(
            layer: index, heads: heads, block: Int(blocks[position / KeyValueCache.blockPositions]),
            slot: position % KeyValueCache.blockPositions, from: projections, row: row,
            keyColumn: keyColumn, valueColumn: valueColumn)
    }

    /// Where every sequence has one row, each piece positions its own queries and key first: nobody
    /// else waits for them.
    private func attend(_ index: Int, _ pass: Pass, _ member: Int) {
        let c = configuration
        let group = c.headCount / c.keyValueHeadCount
        let scale = 1 / Float(c.headDimension).squareRoot()
        team.spread(pass.attention.count, for: member) { next in
            var piece = pass.attention[next].piece
            piece.layer = index
            piece.window = c.window(layer: index)
            if pass.isDecode {
                positionKeysAndQueries(
                    index, pass.batch, row: piece.rows.lowerBound,
                    heads: piece.head..<piece.head + 1)
            }
            kernels.attend(
                piece, queries: workspace.projections, group: group, scale: scale, cache: cache,
                blocks: pass.batch.runs[pass.attention[next].run].blocks,
                into: workspace.attended.values,
                scratch: scratch[member])
        }
    }

    // MARK: Preparation

    /// Query rows of one attention piece: as many as fill a register tile.
    private static func attentionRows(group: Int) -> Int { max(1, 12 / group) }

    private func attentionPieces(_ batch: Batch) -> [(run: Int, piece: AttentionPiece)] {
        let c = configuration
        let rows = DecoderModel.attentionRows(group: c.headCount / c.keyValueHeadCount)
        var pieces: [(run: Int, piece: AttentionPiece)] = []
        pieces.reserveCapacity(batch.runs.count * c.keyValueHeadCount)
        for (index, run) in batch.runs.enumerated() {
            for start in stride(from: run.rows.lowerBound, to: run.rows.upperBound, by: rows) {
                let own = start..<min(start + rows, run.rows.upperBound)
                let position = run.firstPosition + start - run.rows.lowerBound
                for head in 0..<c.keyValueHeadCount {
                    pieces.append(
                        (
                            index,
                            AttentionPiece(
                                layer: 0, head: head, rows: own, firstPosition: position, window: 0)
                        ))
                }
            }
        }
        return pieces
    }

    /// A member's rows, never parting an odd position from the even one before it in its sequence:
    /// the two share a pair of the cache (see `KeyValueCache.store`).
    private func pairedShare(of batch: Batch, for member: Int) -> Range<Int> {
        func boundary(_ row: Int) -> Int {
            guard row > 0, row < batch.rowCount, batch.positions[row] % 2 == 1,
                !batch.runs.contains(where: { $0.rows.lowerBound == row })
            else { return row }
            return row + 1
        }
        let share = team.share(of: batch.rowCount, for: member)
        return boundary(share.lowerBound)..<boundary(share.upperBound)
    }

    private func adapterLinear(_ batch: Batch) -> AdapterLinear {
        let step = LowRankStep(
            kernels: kernels, segments: batch.segments.map { ($0.rows, $0.adapter.table) })
        precondition(
            batch.segments.isEmpty || step.format == adapterFormat,
            "The adapters are in another format.")
        if step.shrinkWidth > shrunk.columnCount || step.roundedWidth > shrunkInput.width {
            shrunk = Matrix(rowCount: maximumRows, columnCount: step.shrinkWidth)
            shrunkInput = ShrunkInput(
                format: adapterFormat, activations: cache.format, rowCount: maximumRows,
                width: step.roundedWidth)
        }
        return AdapterLinear(
            kernels: kernels, step: step, shrunk: shrunk, shrunkInput: shrunkInput)
    }

    /// Row p: the cosines of position p's angles, then the sines, computed in 32-bit floats as
    /// transformers does.
    private static func angles(_ c: ModelConfiguration, positionCount: Int) -> Matrix {
        let frequencies = c.rope.frequencies(headDimension: c.headDimension)
        let angles = Matrix(rowCount: positionCount, columnCount: c.headDimension)
        for position in 0..<positionCount {
            angles.withMutableRow(position) { row in
                for (index, frequency) in frequencies.enumerated() {
                    let angle = Float(position) * frequency
                    row[index] = cosf(angle)
                    row[frequencies.count + index] = sinf(angle)
                }
            }
        }
        return angles
    }
}
