/// Rows of 32-bit floats in a shared buffer: hidden states, projections, logits.
///
/// A matrix is a handle: copies share the numbers. Threads may write different rows or columns at
/// the same time; the caller sees to it that nobody reads what another still writes.
package struct Matrix: Sendable {
    let buffer: Buffer
    package let rowCount: Int
    package let columnCount: Int
    /// Elements from one row to the next: the columns rounded up to a whole panel, so that kernels
    /// may write whole panels.
    let stride: Int

    /// Zeroes, `rowCount` × `columnCount`.
    package init(rowCount: Int, columnCount: Int) {
        self.rowCount = rowCount
        self.columnCount = columnCount
        stride = columnCount.roundedUp(toMultipleOf: Lanes.count)
        buffer = Buffer(byteCount: rowCount * stride * MemoryLayout<Float>.stride)
    }

    /// The same memory seen as a matrix of another shape, its rows close together.
    ///
    /// - Precondition: it holds that many rows of whole panels.
    package func reshaped(rowCount: Int, columnCount: Int) -> Matrix {
        Matrix(buffer: buffer, rowCount: rowCount, columnCount: columnCount)
    }

    private init(buffer: Buffer, rowCount: Int, columnCount: Int) {
        self.rowCount = rowCount
        self.columnCount = columnCount
        stride = columnCount.roundedUp(toMultipleOf: Lanes.count)
        precondition(
            rowCount >= 0 && columnCount >= 0
                && rowCount * stride * MemoryLayout<Float>.stride <= buffer.byteCount,
            "The memory is too small.")
        self.buffer = buffer
    }

    package init(rows: [[Float]]) {
        self.init(rowCount: rows.count, columnCount: rows.first?.count ?? 0)
        for (index, row) in rows.enumerated() { setRow(index, row) }
    }

    package subscript(row row: Int, column column: Int) -> Float {
        get {
            check(row, column)
            return unsafe pointer(row, column).pointee
        }
        nonmutating set {
            check(row, column)
            unsafe pointer(row, column).pointee = newValue
        }
    }

    /// Lends one row.
    package func withRow<Result, Failure: Error>(
        _ row: Int, _ body: (Span<Float>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(row >= 0 && row < rowCount, "No such row.")
        let elements = unsafe UnsafeBufferPointer(start: pointer(row, 0), count: columnCount)
        return try body(unsafe elements.span)
    }

    /// Lends one row for writing.
    package func withMutableRow<Result, Failure: Error>(
        _ row: Int, _ body: (inout MutableSpan<Float>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(row >= 0 && row < rowCount, "No such row.")
        let elements = unsafe UnsafeMutableBufferPointer(start: pointer(row, 0), count: columnCount)
        var span = unsafe elements.mutableSpan
        return try body(&span)
    }

    /// A copy of one row.
    package func row(_ row: Int) -> [Float] {
        withRow(row) { span in (0..<span.count).map { span[$0] } }
    }

    /// - Precondition: `values` has `columnCount` elements.
    package func setRow(_ row: Int, _ values: [Float]) {
        precondition(values.count == columnCount, "A row has as many values as the matrix columns.")
        for (column, value) in values.enumerated() { self[row: row, column: column] = value }
    }

    func pointer(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> {
        unsafe buffer.floats(at: row * stride + column)
    }

    func check(rows: Range<Int>, columns: Range<Int>) {
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= rowCount && columns.lowerBound >= 0
                && columns.upperBound <= stride, "Outside the matrix.")
    }

    private func check(_ row: Int, _ column: Int) {
        precondition(
            row >= 0 && row < rowCount && column >= 0 && column < columnCount,
            "Outside the matrix.")
    }
}
