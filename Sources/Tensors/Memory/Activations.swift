internal import CMartletKernels

/// Rows of a product's input, in the compute format: what a norm, an attention or a gate hands to
/// the next projection, and what a shrink hands to its expand.
///
/// A handle like `Matrix`; the same rules for threads apply.
package struct Activations: Sendable {
    let buffer: Buffer
    package let format: ComputeFormat
    package let rowCount: Int
    package let columnCount: Int
    /// Elements from one row to the next, a whole number of cache lines. Padding stays zero.
    let stride: Int

    package init(format: ComputeFormat, rowCount: Int, columnCount: Int) {
        self.format = format
        self.rowCount = rowCount
        self.columnCount = columnCount
        stride = columnCount.roundedUp(toMultipleOf: Buffer.alignment / format.elementByteCount)
        buffer = Buffer(byteCount: rowCount * stride * format.elementByteCount)
    }

    /// Copies one row over another.
    package func copyRow(_ row: Int, to target: Int) {
        check(rows: row..<row + 1, columns: 0..<columnCount)
        check(rows: target..<target + 1, columns: 0..<columnCount)
        unsafe pointer(target, 0).copyMemory(
            from: pointer(row, 0), byteCount: columnCount * format.elementByteCount)
    }

    func pointer(_ row: Int, _ column: Int) -> UnsafeMutableRawPointer {
        unsafe buffer.base + (row * stride + column) * format.elementByteCount
    }

    func check(rows: Range<Int>, columns: Range<Int>) {
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= rowCount && columns.lowerBound >= 0
                && columns.upperBound <= stride, "Outside the activations.")
    }
}

/// Rows quantized for weights in `q8` and `q4`: blocks of 32 values as 8-bit integers with a scale.
package struct QuantizedRows: Sendable {
    let buffer: Buffer
    package let rowCount: Int
    package let columnCount: Int
    /// 2 when a second integer for each value holds what rounding took from the first.
    package let termCount: Int
    let rowByteCount: Int

    package init(rowCount: Int, columnCount: Int, termCount: Int) {
        self.rowCount = rowCount
        self.columnCount = columnCount
        self.termCount = termCount
        rowByteCount = termCount * cmk_quantized_term_bytes(columnCount)
        buffer = Buffer(byteCount: rowCount * rowByteCount)
    }

    func pointer(_ row: Int) -> UnsafeMutableRawPointer { unsafe buffer.base + row * rowByteCount }
}

/// What projections multiply: rows in the format of activations, and quantized too if the weights
/// or the adapters' want that. Whoever has written a row of `values` calls `KernelSet.finish`.
package final class ProductInput: Sendable {
    package let values: Activations
    package let quantized: QuantizedRows?
    /// Whether every row is wanted quantized, and not only those with adapters.
    package let isQuantizedForWeights: Bool

    /// - Parameters:
    ///   - adapters: nil where they multiply nothing.
    ///   - termCount: integers for each value that quantized weights multiply, 1 or 2.
    package init(
        format: ComputeFormat, weights: WeightFormat, adapters: WeightFormat?, rowCount: Int,
        columnCount: Int, termCount: Int = 1
    ) {
        values = Activations(format: format, rowCount: rowCount, columnCount: columnCount)
        isQuantizedForWeights = weights.isQuantized
        let isQuantized = isQuantizedForWeights || adapters?.isQuantized ?? false
        quantized =
            isQuantized
            ? QuantizedRows(
                rowCount: rowCount, columnCount: columnCount,
                termCount: isQuantizedForWeights ? termCount : 1) : nil
    }
}

/// What a shrink hands to its expand: its rows in the format of activations, or, for adapters in `q8`,
/// a quantized row for each projection.
package struct ShrunkInput: Sendable {
    let buffer: Buffer
    let activations: ComputeFormat
    package let rowCount: Int
    /// Elements of a row, bytes of quantized ones.
    package let width: Int
    /// From one row to the next, in the same unit.
    let stride: Int
    private let elementByteCount: Int

    package init(format: WeightFormat, activations: ComputeFormat, rowCount: Int, width: Int) {
        self.activations = activations
        self.rowCount = rowCount
        self.width = width
        elementByteCount = format.isQuantized ? 1 : activations.elementByteCount
        stride = width.roundedUp(toMultipleOf: Buffer.alignment / elementByteCount)
        buffer = Buffer(byteCount: rowCount * stride * elementByteCount)
    }

    var base: UnsafeMutableRawPointer { unsafe buffer.base }
}
