internal import Adapters
internal import ModelFiles
internal import StepModels
internal import Tensors

/// What adapters change about the logits of some rows: the final norm, the head's weights or some of
/// its rows, and a low-rank change of it.
struct HeadPass {
    let segments: [Batch.Segment]
    let linear: AdapterLinear
    /// The head's place in the adapters' tables.
    let update: Int
    let input: ProductInput
    /// Of the base, or of the adapter that has most.
    let vocabularySize: Int
    /// Of each row.
    private let sizes: [Int]
    /// Logits of the tokens whose rows an adapter brings, for each segment that has such.
    private let tokenLogits: [Matrix?]

    init(
        segments: [Batch.Segment], linear: AdapterLinear, update: Int, input: ProductInput,
        vocabularySize: Int, rowCount: Int
    ) {
        self.segments = segments
        self.linear = linear
        self.update = update
        self.input = input
        var sizes = Array(repeating: vocabularySize, count: rowCount)
        for segment in segments {
            for row in segment.rows { sizes[row] = segment.adapter.vocabularySize }
        }
        self.sizes = sizes
        self.vocabularySize = max(vocabularySize, sizes.max() ?? 0)
        tokenLogits = segments.map { segment in
            segment.adapter.own?.headRows.map {
                Matrix(rowCount: segment.rows.count, columnCount: $0.rows.outputCount)
            }
        }
    }

    /// A row's final norm, if it is not the base's.
    func norm(row: Int) -> Matrix? {
        segments.own(ofRow: row)?.norm(.finalNorm)
    }

    /// How many logits a row has.
    func vocabularySize(row: Int) -> Int { sizes[row] }

    /// What is shared by all pieces of the vocabulary, once the rows are normalized.
    func prepare() {
        guard let end = segments.last?.rows.upperBound else { return }
        linear.shrink(update, rows: 0..<end, input: input, isFinished: input.isQuantizedForWeights)
        for (segment, logits) in zip(segments, tokenLogits) {
            guard let logits, let rows = segment.adapter.own?.headRows?.rows else { continue }
            linear.kernels.multiply(
                input.values, rows: segment.rows, by: rows, panels: 0..<rows.panelCount,
                into: logits, outputRow: 0, outputColumn: 0)
        }
    }

    /// Brings the base's logits of some panels to what they are with the adapters. Panels beyond the base's are theirs
    /// alone.
    ///
    /// - Parameter column: where the first panel's logits are.
    func apply(panels: Range<Int>, to output: Matrix, column: Int) {
        linear.replace(.head, panels: panels, input: input, into: output, column: column)
        let first = panels.lowerBound * Lanes.count
        let tokens = first..<min(panels.upperBound * Lanes.count, vocabularySize)
        for (segment, logits) in zip(segments, tokenLogits) {
            guard let logits, let own = segment.adapter.own?.headRows else { continue }
            for (token, place) in own.tokens(in: tokens) {
                for row in segment.rows {
                    output[row: row, column: column + token - first] =
                        logits[row: row - segment.rows.lowerBound, column: place]
                }
            }
        }
        linear.step.expand(
            update, projection: 0, rounded: linear.shrunkInput, panels: panels,
            outputCount: vocabularySize, into: output, outputColumn: column)
    }
}
