internal import Adapters
internal import ModelFiles
internal import StepModels
internal import Tensors

extension DecoderModel {
    /// All heads of a row together.
    func normalizeQueriesAndKeys(_ index: Int, _ pass: Pass, _ member: Int) {
        let (layer, projections) = (weights.layers[index], workspace.projections)
        guard let queryNorm = layer.queryNorm, let keyNorm = layer.keyNorm else { return }
        for row in team.share(of: pass.rowCount, for: member) {
            let own = pass.linear.owners.own(ofRow: row)
            for (column, norm) in [
                (0, own?.norm(.queryNorm(layer: index)) ?? queryNorm),
                (layer.attentionInput.columns[1], own?.norm(.keyNorm(layer: index)) ?? keyNorm),
            ] {
                kernels.rmsNormInPlace(
                    projections, row: row, column: column, weight: norm,
                    epsilon: configuration.normEpsilon)
            }
        }
        team.meet(member)
    }

    /// Normalizes (each head by itself, if at all) and rotates a row's queries and keys of some key/value heads, and stores
    /// their keys and values.
    func positionKeysAndQueries(
        _ index: Int, _ batch: Batch, _ owners: [Batch.Segment], row: Int, heads: Range<Int>
    ) {
        let (c, layer, projections) = (configuration, weights.layers[index], workspace.projections)
        let columns = layer.attentionInput.columns
        let (keyColumn, valueColumn) = (columns[1], columns[2])
        let position = Int(batch.positions[row])
        let d = c.headDimension
        let group = c.headCount / c.keyValueHeadCount
        let queries = heads.lowerBound * group..<heads.upperBound * group
        if c.departures.headNorms == .each, var queryNorm = layer.queryNorm,
            var keyNorm = layer.keyNorm
        {
            if let own = owners.own(ofRow: row) {
                queryNorm = own.norm(.queryNorm(layer: index)) ?? queryNorm
                keyNorm = own.norm(.keyNorm(layer: index)) ?? keyNorm
            }
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
        if let angles = angles[index] {
            kernels.rotate(
                projections, row: row, column: queries.lowerBound * d, headCount: queries.count,
                headDimension: d, angles: angles, position: position)
            kernels.rotate(
                projections, row: row, column: keyColumn + heads.lowerBound * d,
                headCount: heads.count, headDimension: d, angles: angles, position: position)
        }
        let blocks = workspace.blocks(of: batch, row: row)
        cache.store(
            layer: index, heads: heads, block: Int(blocks[position / KeyValueCache.blockPositions]),
            slot: position % KeyValueCache.blockPositions, from: projections, row: row,
            keyColumn: keyColumn, valueColumn: valueColumn)
    }

    /// Where every sequence has one row, each piece positions its own queries and key first: nobody
    /// else waits for them.
    ///
    /// - Parameter queries: each meets all heads.
    func attend(
        _ index: Int, _ pass: Pass, _ queries: [Workspace.QueryRows], _ member: Int
    ) {
        let c = configuration
        let (heads, window) = (c.keyValueHeadCount, c.window(layer: index))
        let group = c.headCount / heads
        let (scale, cap) = (c.attentionScale, c.departures.attentionCap)
        func piece(_ number: Int) -> AttentionPiece {
            let own = queries[number / heads]
            let run = pass.batch.runs[own.run]
            return AttentionPiece(
                layer: index, head: number % heads, rows: own.rows,
                firstPosition: run.firstPosition + own.rows.lowerBound - run.rows.lowerBound,
                window: window, blocks: run.blocks)
        }
        let count = queries.count * heads
        let share = team.share(of: count, for: member)
        team.spread(count, for: member) { number in
            let own = piece(number)
            if pass.isDecode {
                positionKeysAndQueries(
                    index, pass.batch, pass.linear.owners, row: own.rows.lowerBound,
                    heads: own.head..<own.head + 1)
            }
            kernels.attend(
                own, next: share.contains(number + 1) ? piece(number + 1) : nil,
                queries: workspace.projections, group: group, scale: scale, cap: cap, cache: cache,
                into: workspace.attended.values, scratch: scratch[member])
        }
    }

    /// Query rows of one attention piece: as many as fill a register tile.
    static func attentionRows(group: Int) -> Int { max(1, 12 / group) }

    /// A member's rows, never parting an odd position from the even one before it in its sequence:
    /// the two share a pair of the cache (see `KeyValueCache.store`).
    func pairedShare(of batch: Batch, for member: Int) -> Range<Int> {
        func boundary(_ row: Int) -> Int {
            guard row > 0, row < batch.rowCount, batch.positions[row] % 2 == 1,
                !batch.runs.contains(where: { $0.rows.lowerBound == row })
            else { return row }
            return row + 1
        }
        let share = team.share(of: batch.rowCount, for: member)
        return boundary(share.lowerBound)..<boundary(share.upperBound)
    }
}
