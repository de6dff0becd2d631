internal import Adapters
internal import ModelFiles
internal import StepModels
internal import Tensors

/// A layer's feed-forward part where it has experts. All rows that take an expert are multiplied together; a row's result
/// does not depend on who else does.
extension DecoderModel {
    func experts(
        _ index: Int, _ experts: ModelWeights.ExpertWeights, _ pass: Pass, _ member: Int
    ) {
        guard let space = workspace.experts else { return }
        let layer = weights.layers[index]
        let role = Checkpoint.Role.feedForwardNorm(layer: index)
        normalizeAndShrink(
            layer.feedForwardNorm, role, index, .feedForwardInput, pass, member,
            into: workspace.feedForwardInput)
        kernels.multiply(
            workspace.feedForwardInput.values, rows: team.share(of: pass.rowCount, for: member),
            by: experts.router, panels: 0..<experts.router.panelCount, into: space.wanted,
            outputColumn: 0)
        team.meet(member)
        if member == 0 { space.rows.choose(space.wanted, rowCount: pass.rowCount) }
        team.meet(member)
        let shares = space.rows.shares
        for place in team.share(of: shares.count, for: member) {
            let row = shares[place].row
            guard let norm = pass.linear.owners.own(ofRow: row)?.norm(role) ?? layer.feedForwardNorm
            else { continue }
            kernels.rmsNorm(
                workspace.hidden, rows: row..<row + 1, weight: norm,
                epsilon: configuration.normEpsilon, into: space.input.values, outputRow: place)
            if space.input.isQuantizedForWeights { kernels.finish(space.input, row: place) }
        }
        team.meet(member)
        spread(experts.inputs, space, member) { group, rows, panels in
            let (up, column) = (group.columns[1], panels.lowerBound * Lanes.count)
            for (weights, first) in zip(group.weights, group.columns) {
                kernels.multiply(
                    space.input, rows: rows, by: weights, panels: panels, into: space.outputs,
                    outputColumn: first + column)
            }
            kernels.gatedMultiply(
                configuration.departures.gate, space.outputs, rows: rows, gateColumn: column,
                upColumn: up + column,
                count: min(panels.count * Lanes.count, group.weights[0].outputCount - column),
                into: space.gated.values, column: column)
        }
        if space.gated.isQuantizedForWeights {
            for place in team.share(of: shares.count, for: member) {
                kernels.finish(space.gated, row: place)
            }
            team.meet(member)
        }
        spread(experts.outputs, space, member) { group, rows, panels in
            kernels.multiply(
                space.gated, rows: rows, by: group.weights[0], panels: panels, into: space.outputs,
                outputColumn: panels.lowerBound * Lanes.count)
        }
        for row in team.share(of: pass.rowCount, for: member) {
            for place in space.rows.places(ofRow: row) {
                kernels.scaleAndCap(
                    space.outputs, rows: place..<place + 1, columns: 0..<configuration.hiddenSize,
                    scale: shares[place].weight * configuration.departures.residualScale)
                kernels.addRow(
                    place, of: space.outputs, count: configuration.hiddenSize, toRow: row,
                    of: workspace.hidden)
            }
        }
        team.meet(member)
    }

    /// The panels of all experts that somebody takes, shared among the team. Ends with all members meeting.
    ///
    /// - Parameter work: one expert's weights, the rows that it has, and some of its panels.
    private func spread(
        _ groups: [LinearGroup], _ space: ExpertSpace, _ member: Int,
        _ work: (LinearGroup, Range<Int>, Range<Int>) -> Void
    ) {
        func pieces(_ taken: (expert: Int, shares: Range<Int>)) -> PanelPieces {
            let weights = groups[taken.expert].weights
            return self.pieces(
                of: weights[0].panelCount, rowCount: taken.shares.count, outputs: weights.count)
        }
        let taken = space.rows.taken
        team.spread(taken.reduce(0) { $0 + pieces($1).count }, for: member) { number in
            var left = number
            for expert in taken {
                let pieces = pieces(expert)
                if left < pieces.count {
                    return work(groups[expert.expert], expert.shares, pieces[left])
                }
                left -= pieces.count
            }
        }
    }
}
