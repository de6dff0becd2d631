internal import Adapters
internal import ModelFiles
internal import StepModels
internal import Tensors

/// Parts of a layer, as one member does them; each ends with all members meeting.
extension DecoderModel {
    func embed(_ pass: Pass, _ member: Int) {
        let rows = team.share(of: pass.rowCount, for: member)
        for row in rows {
            let token = Int(pass.batch.tokens[row])
            // The others are an adapter's own.
            guard token < vocabularySize else { continue }
            weights.embedding.unpackRow(token, into: workspace.hidden, row: row)
        }
        for segment in pass.linear.owners {
            for row in segment.rows.clamped(to: rows) {
                segment.adapter.own?.embed(
                    pass.batch.tokens[row], into: workspace.hidden, row: row)
            }
        }
        kernels.scaleAndCap(
            workspace.hidden, rows: rows, columns: 0..<configuration.hiddenSize,
            scale: configuration.departures.embeddingScale)
        team.meet(member)
    }

    /// Keys and values of all rows, and what the queries of some find.
    ///
    /// - Parameter queries: nil for all.
    func attention(
        _ index: Int, _ pass: Pass, _ member: Int,
        queries: [Workspace.QueryRows]? = nil
    ) {
        let layer = weights.layers[index]
        normalizeAndShrink(
            layer.attentionNorm, .attentionNorm(layer: index), index, .attentionInput, pass, member,
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
        if configuration.departures.headNorms == .together {
            normalizeQueriesAndKeys(index, pass, member)
        }
        if !pass.isDecode {
            for row in pairedShare(of: pass.batch, for: member) {
                positionKeysAndQueries(
                    index, pass.batch, pass.linear.owners, row: row,
                    heads: 0..<configuration.keyValueHeadCount)
            }
            team.meet(member)
        }
        attend(index, pass, queries ?? pass.queries, member)
    }

    func attentionOutput(_ index: Int, _ pass: Pass, _ member: Int) {
        let layer = weights.layers[index]
        finishAndShrink(index, .attentionOutput, pass, member, input: workspace.attended)
        projectOntoHidden(
            layer.attentionOutput, index, pass, member, input: workspace.attended,
            norm: layer.attentionOutputNorm, .attentionOutputNorm(layer: index),
            next: layer.feedForwardInput)
    }

    func feedForward(_ index: Int, _ pass: Pass, _ member: Int) {
        let layer = weights.layers[index]
        if let experts = layer.experts { return self.experts(index, experts, pass, member) }
        normalizeAndShrink(
            layer.feedForwardNorm, .feedForwardNorm(layer: index), index, .feedForwardInput, pass,
            member,
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
            kernels.gatedMultiply(
                configuration.departures.gate, output, rows: 0..<rowCount, gateColumn: 0,
                upColumn: width, count: count,
                into: workspace.gated.values, column: column)
        }
        finishAndShrink(index, .feedForwardOutput, pass, member, input: workspace.gated)
        projectOntoHidden(
            layer.feedForwardOutput, index, pass, member, input: workspace.gated,
            norm: layer.feedForwardOutputNorm, .feedForwardOutputNorm(layer: index),
            next: index + 1 < weights.layers.count ? weights.layers[index + 1].attentionInput : nil)
    }

    /// A member shrinks the rows that it has just normalized: no waiting in between.
    func normalizeAndShrink(
        _ weight: Matrix?, _ role: Checkpoint.Role, _ layer: Int, _ site: Projection.Site,
        _ pass: Pass, _ member: Int,
        into input: ProductInput
    ) {
        let rows = team.share(of: pass.rowCount, for: member)
        if let weight {
            kernels.rmsNorm(
                workspace.hidden, rows: rows, weight: weight, epsilon: configuration.normEpsilon,
                into: input.values)
        } else {
            for row in rows {
                kernels.scale(
                    workspace.hidden, row: row, column: 0, by: 1, count: configuration.hiddenSize,
                    into: input.values, outputRow: row, column: 0)
            }
        }
        for segment in pass.linear.owners {
            guard let weight = segment.adapter.own?.norm(role) else { continue }
            kernels.rmsNorm(
                workspace.hidden, rows: segment.rows.clamped(to: rows), weight: weight,
                epsilon: configuration.normEpsilon, into: input.values)
        }
        pass.linear.shrink(layer: layer, site: site, rows: rows, input: input)
        team.meet(member)
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
        team.meet(member)
    }

    /// A projection whose result is added to the hidden states.
    ///
    /// - Parameter norm: what the result goes through first, if anything.
    private func projectOntoHidden(
        _ group: LinearGroup, _ layer: Int, _ pass: Pass, _ member: Int, input: ProductInput,
        norm: Matrix?, _ role: Checkpoint.Role, next: LinearGroup?
    ) {
        let rowCount = pass.rowCount
        let scale = configuration.departures.residualScale
        let pieces = pieces(of: group, rowCount: rowCount)
        team.spread(pieces.count, for: member) { piece in
            let panels = pieces[piece]
            let (column, width) = (panels.lowerBound * Lanes.count, panels.count * Lanes.count)
            // A norm wants whole rows.
            let output =
                norm == nil
                ? workspace.pieces[member].reshaped(rowCount: rowCount, columnCount: width)
                : workspace.delta
            pass.linear.project(
                group, 0, layer: layer, panels: panels, input: input, rowCount: rowCount,
                into: output, column: norm == nil ? 0 : column,
                next: upcoming(after: piece, of: pieces, in: group, for: member)
                    ?? first(of: next, pass, for: member))
            guard norm == nil else { return }
            let count = min(width, configuration.hiddenSize - column)
            kernels.scaleAndCap(output, rows: 0..<rowCount, columns: 0..<count, scale: scale)
            kernels.add(
                output, rows: 0..<rowCount, column: 0, count: count, to: workspace.hidden,
                targetColumn: column)
        }
        guard let norm else { return }
        let rows = team.share(of: rowCount, for: member)
        for row in rows {
            let own = pass.linear.owners.own(ofRow: row)?.norm(role)
            kernels.rmsNormInPlace(
                workspace.delta, row: row, column: 0, weight: own ?? norm,
                epsilon: configuration.normEpsilon)
        }
        let columns = 0..<configuration.hiddenSize
        kernels.scaleAndCap(workspace.delta, rows: rows, columns: columns, scale: scale)
        kernels.add(
            workspace.delta, rows: rows, column: 0, count: columns.count, to: workspace.hidden,
            targetColumn: 0)
        team.meet(member)
    }
}
