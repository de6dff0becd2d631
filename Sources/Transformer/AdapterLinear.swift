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

    /// Outputs computed before the adapters' share meets them: few enough to stay in the cache.
    private static let outputsAtOnce = 64 << 10

    /// Panels of one piece of the work on some rows.
    static func panelsAtOnce(rowCount: Int) -> Int {
        max(4, outputsAtOnce / (Lanes.count * max(rowCount, 1)) / 4 * 4)
    }

    /// The pieces that a team works on: a few panels each, and as many for one member as for another.
    struct Pieces {
        /// A few for each member, so that one who is late can be helped, unless there are not that many
        /// tiles.
        let count: Int
        private let panelCount: Int
        /// Pieces end where a tile of the kernels does.
        private let tileCount: Int

        private static let panelsPerTile = 2

        /// - Parameter outputs: of how many matrices a piece holds the outputs.
        init(panelCount: Int, rowCount: Int, memberCount: Int, outputs: Int = 1) {
            self.panelCount = panelCount
            tileCount = (panelCount + Pieces.panelsPerTile - 1) / Pieces.panelsPerTile
            let largest =
                AdapterLinear.panelsAtOnce(rowCount: rowCount) / outputs / Pieces.panelsPerTile
            let least = max(2 * memberCount, (tileCount + largest - 1) / largest)
            count = min(tileCount, least.roundedUp(toMultipleOf: memberCount))
        }

        subscript(piece: Int) -> Range<Int> {
            func panel(_ boundary: Int) -> Int {
                min(boundary * tileCount / count * Pieces.panelsPerTile, panelCount)
            }
            return panel(piece)..<panel(piece + 1)
        }
    }

    /// Outputs of the largest piece.
    static func pieceSize(rowCount: Int) -> Int {
        max(outputsAtOnce, 4 * Lanes.count * rowCount)
    }

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
            kernels.multiply(
                input, rows: segment.rows, by: weights, panels: panels, into: output,
                outputColumn: column)
        }
    }
}
