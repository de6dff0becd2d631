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

    func pointer(_ row: Int, _ column: Int) -> UnsafeMutableRawPointer {
        unsafe buffer.base + (row * stride + column) * format.elementByteCount
    }

    func check(rows: Range<Int>, columns: Range<Int>) {
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= rowCount && columns.lowerBound >= 0
                && columns.upperBound <= stride, "Outside the activations.")
    }
}
