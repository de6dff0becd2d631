internal import Adapters
internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// Takes down the kernels of a step's layers. Each part ends with a barrier.
struct LayerRecorder {
    let model: DeviceModel
    let recorder: Recorder
    let tables: StepTables
    let shrunk: DeviceRows

    private var c: ModelConfiguration { model.configuration }
    private var element: DeviceElement { model.element }
    private var space: DeviceWorkspace { model.workspace }

    /// The rows that a part works on.
    private struct Pass {
        var rowCount: Int
        var adapted: AdaptedRows
        var hidden: DeviceRows
        var attended: DeviceRows
    }

    func record(_ narrowing: DeviceModel.Narrowing) throws(DeviceError) {
        var pass = Pass(
            rowCount: tables.rowCount, adapted: tables.adapted, hidden: space.hidden,
            attended: space.attended)
        embed()
        for layer in 0..<c.layerCount {
            try attention(layer, pass)
            if layer == c.layerCount - 1, narrowing.isNeeded {
                guard narrowing.count > 0 else { return }
                narrow(&pass, to: narrowing)
            }
            try attentionOutput(layer, pass)
            try feedForward(layer, pass)
        }
        recorder.add(
            space.delta, to: pass.hidden, count: c.hiddenSize, rowCount: pass.rowCount, element)
        recorder.barrier()
    }

    private func embed() {
        let arguments = cmd_embed(
            sources: tables.sources, hidden: space.hidden.address, n: UInt32(c.hiddenSize),
            stride: UInt32(space.hidden.stride))
        recorder.dispatch(CMD_EMBED, element, arguments, grid: (tables.rowCount, 1, 1))
        recorder.barrier()
        guard tables.changeCount > 0 else { return }
        let change = cmd_change_embedding(
            changes: tables.changes, hidden: space.hidden.address, n: UInt32(c.hiddenSize),
            stride: UInt32(space.hidden.stride))
        recorder.dispatch(
            CMD_CHANGE_EMBEDDING, element, change, grid: (tables.changeCount, 1, 1))
        recorder.barrier()
    }

    private func narrow(_ pass: inout Pass, to narrowing: DeviceModel.Narrowing) {
        recorder.gather(
            pass.hidden, rows: narrowing.rows, count: narrowing.count, words: c.hiddenSize,
            into: space.lastHidden, element)
        recorder.gather(
            pass.attended, rows: narrowing.rows, count: narrowing.count,
            words: element.words(c.queryWidth), into: space.lastAttended, element)
        recorder.barrier()
        pass = Pass(
            rowCount: narrowing.count, adapted: narrowing.adapted, hidden: space.lastHidden,
            attended: space.lastAttended)
    }

    // MARK: Parts of a layer

    private func attention(_ index: Int, _ pass: Pass) throws(DeviceError) {
        let layer = model.weights.layers[index]
        try normalize(
            layer.attentionNorm, .attentionNorm(layer: index), pass,
            adding: index == 0 ? nil : space.delta)
        try project(index, .attentionInput, pass, input: space.input, into: space.projections)
        try position(index, pass)
        let arguments = cmd_attend(
            queries: space.projections.address, places: tables.places, y: pass.attended.address,
            stride: UInt32(space.projections.stride), y_stride: UInt32(pass.attended.stride),
            heads: UInt32(c.keyValueHeadCount), group: UInt32(c.headCount / c.keyValueHeadCount),
            d: UInt32(c.headDimension), window: UInt32(c.window(layer: index)),
            scale: 1 / Float(c.headDimension).squareRoot(), cache: model.cache.part(layer: index))
        recorder.dispatch(
            CMD_ATTEND, element, arguments, grid: (pass.rowCount, c.headCount, 1))
        recorder.barrier()
    }

    /// Normalizes (Qwen3) and rotates queries and keys, and stores keys and values.
    private func position(_ index: Int, _ pass: Pass) throws(DeviceError) {
        let layer = model.weights.layers[index]
        let columns = layer[.attentionInput].columns
        func own(_ role: Checkpoint.Role) throws(DeviceError) -> UInt64 {
            guard layer.queryNorm != 0 else { return 0 }
            return try pass.adapted.norms(role, rowCount: pass.rowCount, model.arguments)
        }
        let arguments = cmd_position(
            projections: space.projections.address, places: tables.places,
            angles: model.angles.address, query_norm: layer.queryNorm, key_norm: layer.keyNorm,
            own_query_norms: try own(.queryNorm(layer: index)),
            own_key_norms: try own(.keyNorm(layer: index)),
            stride: UInt32(space.projections.stride), key_column: UInt32(columns[1]),
            value_column: UInt32(columns[2]), heads: UInt32(c.keyValueHeadCount),
            group: UInt32(c.headCount / c.keyValueHeadCount), d: UInt32(c.headDimension),
            epsilon: c.normEpsilon, cache: model.cache.part(layer: index))
        recorder.dispatch(
            CMD_POSITION, element, arguments, grid: (pass.rowCount, c.keyValueHeadCount, 1))
        recorder.barrier()
    }

    private func attentionOutput(_ index: Int, _ pass: Pass) throws(DeviceError) {
        try project(index, .attentionOutput, pass, input: pass.attended, into: space.delta)
    }

    private func feedForward(_ index: Int, _ pass: Pass) throws(DeviceError) {
        let layer = model.weights.layers[index]
        try normalize(
            layer.feedForwardNorm, .feedForwardNorm(layer: index), pass, adding: space.delta)
        try project(index, .feedForwardInput, pass, input: space.input, into: space.gateAndUp)
        recorder.gate(
            space.gateAndUp,
            space.gateAndUp.from(column: layer[.feedForwardInput].columns[1]),
            count: c.intermediateSize, into: space.gated, rowCount: pass.rowCount, element)
        recorder.barrier()
        try project(index, .feedForwardOutput, pass, input: space.gated, into: space.delta)
    }

    private func normalize(
        _ weight: UInt64, _ role: Checkpoint.Role, _ pass: Pass, adding delta: DeviceRows?
    ) throws(DeviceError) {
        recorder.norm(
            pass.hidden, adding: delta, weight: weight,
            own: try pass.adapted.norms(role, rowCount: pass.rowCount, model.arguments),
            count: c.hiddenSize, epsilon: c.normEpsilon, into: space.input,
            rowCount: pass.rowCount, element)
        recorder.barrier()
    }

    /// Base products, what adapters have in their place, what adapters add, and biases:
    ///
    ///     y = g · (x·W + s·(x·A)·B) + b
    private func project(
        _ index: Int, _ site: Projection.Site, _ pass: Pass, input: DeviceRows,
        into output: DeviceRows
    ) throws(DeviceError) {
        let group = model.weights.layers[index][site]
        let update = DeviceAdapter.update(layer: index, site)
        let panelCount = pass.adapted.panelCount(update)
        for (weights, column) in zip(group.weights, group.columns) {
            recorder.product(
                input, weights, into: output.from(column: column), rowCount: pass.rowCount,
                model.form, element)
        }
        if panelCount > 0 {
            recorder.shrink(
                input, words: group.weights[0].words, pass.adapted, update: update,
                panelCount: panelCount, into: shrunk, element)
        }
        recorder.barrier()
        replace(index, site, group, pass, input: input, into: output)
        if panelCount > 0 {
            recorder.expand(
                shrunk, pass.adapted, update: update,
                outputs: zip(group.columns, group.weights).map { ($0, $1.outputCount) },
                into: output, element)
            recorder.barrier()
        }
        guard group.biases.contains(where: { $0 != 0 }) else { return }
        for (projection, bias) in group.biases.enumerated() where bias != 0 {
            recorder.add(
                DeviceRows(address: bias, stride: 0),
                to: output.from(column: group.columns[projection]),
                count: group.weights[projection].outputCount, rowCount: pass.rowCount, element)
        }
        recorder.barrier()
    }

    /// Once more for rows whose adapter has weights of its own, over what the base's came to.
    private func replace(
        _ index: Int, _ site: Projection.Site, _ group: DeviceWeights.Group, _ pass: Pass,
        input: DeviceRows, into output: DeviceRows
    ) {
        var isReplaced = false
        for owner in pass.adapted.owners {
            for (projection, column) in zip(site.projections, group.columns) {
                guard let matrix = owner.own.matrix(.weight(layer: index, projection)) else {
                    continue
                }
                let first = owner.rows.lowerBound
                recorder.product(
                    input.from(first), owner.resident.panels(matrix),
                    into: output.from(first).from(column: column), rowCount: owner.rows.count,
                    model.form, element)
                isReplaced = true
            }
        }
        if isReplaced { recorder.barrier() }
    }
}
