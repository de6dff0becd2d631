internal import ModelFiles
internal import StepModels
internal import Tensors

/// The matrices that a pass writes, sized once for the largest batch.
final class Workspace {
    let hidden: Matrix
    let attentionInput: ProductInput
    let feedForwardInput: ProductInput
    let projections: Matrix
    let attended: ProductInput
    /// Each member's own: the piece of a projection's outputs that it is working on.
    let pieces: [Matrix]
    let gated: ProductInput
    /// What is to be added to the hidden states, where a norm is in between.
    let delta: Matrix
    /// Nil where no layer has experts.
    let experts: ExpertSpace?
    let logitInput: ProductInput
    private(set) var logits: Matrix
    /// Each member's own.
    let peaks: [RowPeaks]
    private var merged: [LogitPeak] = []
    private var runOfRow: [Int] = []
    /// Query rows of the pass that attend together, and those of them that the last layer needs.
    private(set) var queries: [QueryRows] = []
    private(set) var lastQueries: [QueryRows] = []

    /// Consecutive rows of one run, few enough for a register tile.
    struct QueryRows {
        var run: Int
        var rows: Range<Int>
    }

    init(
        weights: ModelWeights, adapterFormat: WeightFormat, format: ComputeFormat, rowCount: Int,
        memberCount: Int, kernels: KernelSet
    ) {
        let (c, layer) = (weights.configuration, weights.layers[0])
        hidden = Matrix(rowCount: rowCount, columnCount: c.hiddenSize)
        func input(
            _ columnCount: Int, _ weights: WeightFormat, adapters: WeightFormat?, rowCount: Int,
            termCount: Int = 1
        ) -> ProductInput {
            ProductInput(
                format: format, weights: weights, adapters: adapters, rowCount: rowCount,
                columnCount: columnCount, termCount: termCount)
        }
        // Rounding what queries, keys and the head read costs more than the rest together.
        attentionInput = input(
            c.hiddenSize, weights.format, adapters: adapterFormat, rowCount: rowCount, termCount: 2)
        feedForwardInput = input(
            c.hiddenSize, weights.format, adapters: adapterFormat, rowCount: rowCount)
        projections = Matrix(rowCount: rowCount, columnCount: layer.attentionInput.width)
        attended = input(
            c.queryWidth, weights.format, adapters: adapterFormat, rowCount: rowCount)
        pieces = (0..<memberCount).map { _ in
            Matrix(
                rowCount: 1, columnCount: PanelPieces.largestOutputCount(rowCount: rowCount))
        }
        gated = input(
            c.intermediateSize, weights.format, adapters: adapterFormat, rowCount: rowCount)
        logitInput = input(
            c.hiddenSize, weights.head.format, adapters: adapterFormat,
            rowCount: mostLogitRows,
            termCount: 2)
        delta = Matrix(
            rowCount: c.departures.norms == .before ? 0 : rowCount,
            columnCount: max(layer.attentionOutput.width, layer.feedForwardOutput.width))
        experts = c.departures.experts.flatMap { experts in
            weights.layers.lazy.compactMap(\.experts).first.map {
                ExpertSpace(
                    experts, $0, format: format, weights: weights.format,
                    adapterFormat: adapterFormat, hiddenSize: c.hiddenSize, rowCount: rowCount,
                    kernels: kernels)
            }
        }
        logits = Matrix(rowCount: mostLogitRows, columnCount: c.vocabularySize)
        peaks = (0..<memberCount).map { _ in RowPeaks() }
    }

    /// - Parameters:
    ///   - wanted: rows whose logits are wanted, ascending.
    ///   - queryRows: rows that attend together at most.
    func prepare(_ batch: Batch, wanting wanted: [Int], queryRows: Int) {
        runOfRow.removeAll(keepingCapacity: true)
        queries.removeAll(keepingCapacity: true)
        lastQueries.removeAll(keepingCapacity: true)
        var next = wanted[...]
        for (index, run) in batch.runs.enumerated() {
            for _ in run.rows { runOfRow.append(index) }
            for start in stride(from: run.rows.lowerBound, to: run.rows.upperBound, by: queryRows) {
                let rows = start..<min(start + queryRows, run.rows.upperBound)
                queries.append(QueryRows(run: index, rows: rows))
                next = next.drop { $0 < rows.lowerBound }
                if let row = next.first, rows.contains(row) {
                    lastQueries.append(QueryRows(run: index, rows: rows))
                }
            }
        }
    }

    /// Makes room for rows of so many logits.
    func takeLogits(of count: Int) {
        guard count > logits.columnCount else { return }
        logits = Matrix(rowCount: mostLogitRows, columnCount: count)
    }

    /// Each row's largest logit, over what all members have computed.
    func mergedPeaks(count: Int) -> [LogitPeak] {
        merged.removeAll(keepingCapacity: true)
        for row in 0..<count {
            merged.append(peaks.reduce(into: .none) { $0.merge($1.values[row]) })
        }
        return merged
    }

    func blocks(of batch: Batch, row: Int) -> [Int32] { batch.runs[runOfRow[row]].blocks }
}

/// The largest logit of each row, as far as one member has computed them.
final class RowPeaks {
    private(set) var values: [LogitPeak] = []

    func reset(count: Int) {
        values.removeAll(keepingCapacity: true)
        values.append(contentsOf: repeatElement(.none, count: count))
    }

    func merge(_ peak: LogitPeak, row: Int) { values[row].merge(peak) }
}
