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
        guard let space = workspace.experts, let kinds = configuration.departures.experts else {
            return
        }
        let (layer, owners) = (weights.layers[index], pass.linear.expertOwners)
        let role = Checkpoint.Role.feedForwardNorm(layer: index)
        normalizeAndShrink(
            layer.feedForwardNorm, role, index, .feedForwardInput, pass, member,
            into: workspace.feedForwardInput)
        route(index, experts.router, space, kinds, pass, team.share(of: pass.rowCount, for: member))
        team.meet(member)
        if member == 0 {
            space.rows.choose(space.wanted, rowCount: pass.rowCount)
            space.part(owners)
        }
        team.meet(member)
        let shares = space.rows.shares
        let own = team.share(of: shares.count, for: member)
        for place in own {
            let row = shares[place].row
            guard let norm = pass.linear.owners.own(ofRow: row)?.norm(role) ?? layer.feedForwardNorm
            else { continue }
            kernels.rmsNorm(
                workspace.hidden, rows: row..<row + 1, weight: norm,
                epsilon: configuration.normEpsilon, into: space.input.values, outputRow: place)
        }
        finishAndShrink(own, space, space.input, owners) {
            DeviceAdapter.expertUpdate(layer: index, $0, .feedForwardInput, kinds)
        }
        team.meet(member)
        spread(experts.inputs, space, member) { expert, group, rows, panels in
            let (up, column) = (group.columns[1], panels.lowerBound * Lanes.count)
            for (projection, weights) in group.weights.enumerated() {
                let first = group.columns[projection] + column
                kernels.multiply(
                    space.input, rows: rows, by: weights, panels: panels, into: space.outputs,
                    outputColumn: first)
                space.adapters.expand(
                    DeviceAdapter.expertUpdate(layer: index, expert, .feedForwardInput, kinds),
                    projection: projection, rows: rows, rounded: space.shrunkInput, panels: panels,
                    outputCount: weights.outputCount, into: space.outputs, outputColumn: first)
            }
            kernels.gatedMultiply(
                configuration.departures.gate, space.outputs, rows: rows, gateColumn: column,
                upColumn: up + column,
                count: min(panels.count * Lanes.count, group.weights[0].outputCount - column),
                into: space.gated.values, column: column)
        }
        if space.gated.quantized != nil || !owners.isEmpty {
            finishAndShrink(own, space, space.gated, owners) {
                DeviceAdapter.expertUpdate(layer: index, $0, .feedForwardOutput, kinds)
            }
            team.meet(member)
        }
        spread(experts.outputs, space, member) { expert, group, rows, panels in
            kernels.multiply(
                space.gated, rows: rows, by: group.weights[0], panels: panels, into: space.outputs,
                outputColumn: panels.lowerBound * Lanes.count)
            space.adapters.expand(
                DeviceAdapter.expertUpdate(layer: index, expert, .feedForwardOutput, kinds),
                projection: 0, rows: rows, rounded: space.shrunkInput, panels: panels,
                outputCount: group.weights[0].outputCount, into: space.outputs,
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

    /// How much some rows want of each expert.
    private func route(
        _ index: Int, _ router: PackedMatrix, _ space: ExpertSpace, _ kinds: Departures.Experts,
        _ pass: Pass, _ rows: Range<Int>
    ) {
        let (input, adapters) = (workspace.feedForwardInput, pass.linear.routers)
        let panels = 0..<router.panelCount
        kernels.multiply(
            input.values, rows: rows, by: router, panels: panels, into: space.wanted,
            outputColumn: 0)
        let update = DeviceAdapter.routerUpdate(layer: index, kinds)
        guard let adapters, adapters.changes(update) else { return }
        if input.quantized != nil { for row in rows { kernels.finish(input, row: row) } }
        adapters.shrink(
            update, rows: rows, input: input, into: space.shrunk, rounded: space.shrunkInput)
        adapters.expand(
            update, projection: 0, rows: rows, rounded: space.shrunkInput, panels: panels,
            outputCount: router.outputCount, into: space.wanted, outputColumn: 0)
    }

    /// Makes shares that have been written ready to be multiplied.
    private func finishAndShrink(
        _ shares: Range<Int>, _ space: ExpertSpace, _ input: ProductInput,
        _ owners: [Batch.Segment], update: (_ expert: Int) -> Int
    ) {
        if input.quantized != nil { for place in shares { kernels.finish(input, row: place) } }
        guard !owners.isEmpty else { return }
        space.forEachExpert(in: shares) { expert, rows in
            space.adapters.shrink(
                update(expert), rows: rows, input: input, into: space.shrunk,
                rounded: space.shrunkInput)
        }
    }

    /// The panels of all experts that somebody takes, shared among the team. Ends with all members meeting.
    ///
    /// - Parameter work: an expert, its weights, the rows that it has, and some of its panels.
    private func spread(
        _ groups: [LinearGroup], _ space: ExpertSpace, _ member: Int,
        _ work: (Int, LinearGroup, Range<Int>, Range<Int>) -> Void
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
                    return work(
                        expert.expert, groups[expert.expert], expert.shares, pieces[left])
                }
                left -= pieces.count
            }
        }
    }
}
