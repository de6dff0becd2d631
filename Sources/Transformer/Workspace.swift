internal import ModelFiles
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
    let logitInput: ProductInput
    let logits: Matrix
    /// Each member's own.
    let peaks: [RowPeaks]
    private var runOfRow: [Int] = []

    init(
        weights: ModelWeights, adapterFormat: WeightFormat, format: ComputeFormat, rowCount: Int,
        memberCount: Int
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
            Matrix(rowCount: 1, columnCount: AdapterLinear.pieceSize(rowCount: rowCount))
        }
        gated = input(
            c.intermediateSize, weights.format, adapters: adapterFormat, rowCount: rowCount)
        logitInput = input(
            c.hiddenSize, weights.head.format, adapters: adapterFormat,
            rowCount: DecoderModel.maximumLogitRows,
            termCount: 2)
        logits = Matrix(rowCount: DecoderModel.maximumLogitRows, columnCount: c.vocabularySize)
        peaks = (0..<memberCount).map { _ in RowPeaks() }
    }

    func prepare(_ batch: Batch) {
        runOfRow.removeAll(keepingCapacity: true)
        for (index, run) in batch.runs.enumerated() {
            for _ in run.rows { runOfRow.append(index) }
        }
    }

    func peaks(count: Int) -> [LogitPeak] {
        (0..<count).map { row in
            peaks.reduce(into: .none) { $0.merge($1.values[row]) }
        }
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
