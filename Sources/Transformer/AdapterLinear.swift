internal import Adapters
internal import ModelFiles
internal import StepModels
internal import Tensors

/// Base product and grouped LoRA as one pass over the outputs:
///
///     y = g · (x·W + s·(x·A)·B) + b        g: DoRA's gain, 1 without; b: biases of base and adapter
///
/// First `shrink` for rows, then `project` for panels; threads split the shrink's rows and the
/// product's panels, never a sum.
struct AdapterLinear {
    let kernels: KernelSet
    let step: LowRankStep
    /// x · A of the rows that have an adapter, in 32-bit floats and then scaled and rounded.
    let shrunk: Matrix
    let shrunkInput: ShrunkInput
    /// Those that have weights in the base's place.
    let owners: [Batch.Segment]
    /// Those that change experts or routers, and the latter's part.
    let expertOwners: [Batch.Segment]
    let routers: LowRankStep?

    /// x · A for rows that have just been written, one product for all projections of the site.
    func shrink(layer: Int, site: Projection.Site, rows: Range<Int>, input: ProductInput) {
        shrink(DeviceAdapter.update(layer: layer, site), rows: rows, input: input)
    }

    /// - Parameters:
    ///   - update: see `DeviceAdapter.update` and `headUpdate`.
    ///   - isFinished: whether the input's rows are quantized already, if they have to be.
    func shrink(_ update: Int, rows: Range<Int>, input: ProductInput, isFinished: Bool = false) {
        let isWanted = step.format.isQuantized && step.changes(update)
        if !isFinished, input.isQuantizedForWeights || isWanted {
            for row in rows { kernels.finish(input, row: row) }
        }
        step.shrink(update, rows: rows, input: input, into: shrunk, rounded: shrunkInput)
    }

    func changes(layer: Int, site: Projection.Site) -> Bool {
        step.changes(DeviceAdapter.update(layer: layer, site))
    }

    /// Computes some of the group's panels, counted over all its projections, for all rows.
    ///
    /// - Parameter next: what the thread projects after this group.
    func project(
        _ group: LinearGroup, layer: Int, panels: Range<Int>, input: ProductInput, rowCount: Int,
        into output: Matrix, next: Upcoming?
    ) {
        var first = 0
        for (index, weights) in group.weights.enumerated() {
            let own = panels.clamped(to: first..<first + weights.panelCount)
            if !own.isEmpty {
                project(
                    group, index, layer: layer,
                    panels: own.lowerBound - first..<own.upperBound - first, input: input,
                    rowCount: rowCount, into: output, column: own.lowerBound * Lanes.count,
                    next: own.upperBound < panels.upperBound
                        ? group.upcoming(panel: own.upperBound) : next)
            }
            first += weights.panelCount
        }
    }

    /// One piece of one projection, by its own panels; the first lands at `column`.
    func project(
        _ group: LinearGroup, _ index: Int, layer: Int, panels: Range<Int>, input: ProductInput,
        rowCount: Int, into output: Matrix, column: Int, next: Upcoming?
    ) {
        let weights = group.weights[index]
        let columnInProjection = panels.lowerBound * Lanes.count
        kernels.multiply(
            input, rows: 0..<rowCount, by: weights, panels: panels, into: output,
            outputColumn: column, next: next)
        if !owners.isEmpty {
            replace(
                .weight(layer: layer, group.site.projections[index]), panels: panels, input: input,
                into: output, column: column)
        }
        step.expand(
            DeviceAdapter.update(layer: layer, group.site), projection: index,
            rounded: shrunkInput, panels: panels, outputCount: weights.outputCount, into: output,
            outputColumn: column)
        if let bias = group.biases[index] {
            let count = min(panels.count * Lanes.count, weights.outputCount - columnInProjection)
            kernels.addFirstRow(
                of: bias, column: columnInProjection, count: count, toRows: 0..<rowCount,
                of: output, targetColumn: column)
        }
    }

    /// Once more for rows whose adapter has weights of its own, over what the base's came to.
    func replace(
        _ role: Checkpoint.Role, panels: Range<Int>, input: ProductInput, into output: Matrix,
        column: Int
    ) {
        for segment in owners {
            guard let weights = segment.adapter.own?.matrix(role) else { continue }
            // A head may have fewer outputs than others.
            let own = panels.clamped(to: 0..<weights.panelCount)
            guard !own.isEmpty else { continue }
            kernels.multiply(
                input, rows: segment.rows, by: weights, panels: own, into: output,
                outputColumn: column)
        }
    }
}
