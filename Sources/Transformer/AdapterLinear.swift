internal import Adapters
internal import ModelFiles
internal import Tensors

/// The projections of one layer that read the same input, with their outputs side by side in one
/// matrix, each from a whole panel on.
struct LinearGroup: Sendable {
    let site: Projection.Site
    let weights: [PackedMatrix]
    let biases: [Matrix?]
    /// Where each projection's outputs begin.
    let columns: [Int]
    /// Columns of all outputs together.
    let width: Int
    /// Panels of all projections together.
    let panelCount: Int

    init(site: Projection.Site, weights: [PackedMatrix], biases: [Matrix?]) {
        self.site = site
        self.weights = weights
        self.biases = biases
        var columns: [Int] = []
        var panelCount = 0
        for matrix in weights {
            columns.append(panelCount * Lanes.count)
            panelCount += matrix.panelCount
        }
        self.columns = columns
        self.panelCount = panelCount
        width = panelCount * Lanes.count
    }
}

/// Base product and grouped LoRA as one pass over the outputs:
///
///     y = g · (x·W + s·(x·A)·B) + b        g: DoRA's gain, 1 without; b: biases of base and adapter
///
/// First `shrink` for the step's segments, then `project` for ranges of panels; threads split the
/// shrink's rows and the product's panels, never a sum.
struct AdapterLinear {
    let kernels: KernelSet
    let segments: [Batch.Segment]
    /// x · A of the rows that have an adapter, in 32-bit floats and then scaled and rounded.
    let shrunk: Matrix
    let shrunkInput: Activations

    /// Panels computed at a time, so that the adapter's share meets the base's in the cache.
    private static let panelsAtOnce = 4
    /// Rows of one piece of shrinking.
    static let shrinkRows = 12

    /// Pieces of rows with one adapter each, for `shrink`.
    static func pieces(of segments: [Batch.Segment]) -> [Batch.Segment] {
        segments.flatMap { segment in
            stride(from: segment.rows.lowerBound, to: segment.rows.upperBound, by: shrinkRows).map {
                Batch.Segment(
                    rows: $0..<min($0 + shrinkRows, segment.rows.upperBound),
                    adapter: segment.adapter)
            }
        }
    }

    /// x · A for the rows of one piece, one product for all projections of the site.
    func shrink(_ piece: Batch.Segment, layer: Int, site: Projection.Site, input: Activations) {
        guard let adapter = piece.adapter[layer: layer, site] else { return }
        kernels.multiply(
            input, rows: piece.rows, by: adapter.shrink, panels: 0..<adapter.shrink.panelCount,
            into: shrunk, outputColumn: 0)
        for case let expansion? in adapter.expansions {
            for row in piece.rows {
                kernels.scale(
                    shrunk, row: row, column: expansion.column, by: expansion.scale,
                    count: expansion.columnCount, into: shrunkInput, outputRow: row,
                    column: expansion.column)
            }
        }
    }

    /// Computes some of the group's panels, counted over all its projections, for all rows.
    func project(
        _ group: LinearGroup, layer: Int, panels: Range<Int>, input: Activations, rowCount: Int,
        into output: Matrix
    ) {
        var first = 0
        for (index, weights) in group.weights.enumerated() {
            let own = panels.clamped(to: first..<first + weights.panelCount)
            for start in stride(from: own.lowerBound, to: own.upperBound, by: Self.panelsAtOnce) {
                let end = min(start + Self.panelsAtOnce, own.upperBound)
                project(
                    group, index, layer: layer, panels: start - first..<end - first, input: input,
                    rowCount: rowCount, into: output)
            }
            first += weights.panelCount
        }
    }

    /// The same for one projection of the group, by its own panels.
    func project(
        _ group: LinearGroup, _ index: Int, layer: Int, panels: Range<Int>, input: Activations,
        rowCount: Int, into output: Matrix
    ) {
        let weights = group.weights[index]
        let columnInProjection = panels.lowerBound * Lanes.count
        let column = group.columns[index] + columnInProjection
        let count = min(panels.count * Lanes.count, weights.outputCount - columnInProjection)
        kernels.multiply(
            input, rows: 0..<rowCount, by: weights, panels: panels, into: output,
            outputColumn: column)
        for segment in segments {
            guard let expansion = segment.adapter[layer: layer, group.site]?.expansions[index]
            else {
                continue
            }
            kernels.multiply(
                shrunkInput, rows: segment.rows, inputColumn: expansion.column,
                by: expansion.weights,
                panels: panels, into: output, outputColumn: column, accumulate: true)
            for row in segment.rows {
                if let gain = expansion.gain {
                    kernels.multiply(
                        gain, row: 0, column: columnInProjection, count: count, into: output,
                        targetRow: row, targetColumn: column)
                }
                if let bias = expansion.bias {
                    kernels.add(
                        bias, row: 0, column: columnInProjection, count: count, to: output,
                        targetRow: row, targetColumn: column)
                }
            }
        }
        if let bias = group.biases[index] {
            for row in 0..<rowCount {
                kernels.add(
                    bias, row: 0, column: columnInProjection, count: count, to: output,
                    targetRow: row, targetColumn: column)
            }
        }
    }
}
