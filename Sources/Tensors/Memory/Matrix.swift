/// Rows of 32-bit floats in a shared buffer: hidden states, projections, logits.
///
/// A matrix is a handle: copies share the numbers. Threads may write different rows or columns at
/// the same time; the caller sees to it that nobody reads what another still writes.
package struct Matrix: Sendable {
    package let buffer: Buffer
    /// Where the first row begins in the buffer, in elements.
    private let offset: Int
    package let rowCount: Int
    package let columnCount: Int
    /// Elements from one row to the next: the columns rounded up to a whole panel, so that kernels
    /// may write whole panels.
    package let stride: Int

    /// Zeroes, `rowCount` × `columnCount`.
    package init(rowCount: Int, columnCount: Int) {
        self.rowCount = rowCount
        self.columnCount = columnCount
        stride = columnCount.roundedUp(toMultipleOf: Lanes.count)
        offset = 0
        buffer = Buffer(byteCount: Matrix.byteCount(rowCount: rowCount, columnCount: columnCount))
    }

    /// A matrix in a part of a buffer that others share, as it is there.
    ///
    /// - Precondition: the place is 64-byte aligned and inside the buffer.
    package init(rowCount: Int, columnCount: Int, in buffer: Buffer, at byteOffset: Int) {
        precondition(
            byteOffset >= 0 && byteOffset % Buffer.alignment == 0
                && byteOffset + Matrix.byteCount(rowCount: rowCount, columnCount: columnCount)
                    <= buffer.byteCount,
            "Outside the buffer.")
        self.rowCount = rowCount
        self.columnCount = columnCount
        stride = columnCount.roundedUp(toMultipleOf: Lanes.count)
        offset = byteOffset / MemoryLayout<Float>.stride
        self.buffer = buffer
    }

    /// Bytes that a matrix takes, its rows padded to whole panels.
    package static func byteCount(rowCount: Int, columnCount: Int) -> Int {
        rowCount * columnCount.roundedUp(toMultipleOf: Lanes.count) * MemoryLayout<Float>.stride
    }

    /// The same memory seen as a matrix of another shape, its rows close together.
    ///
    /// - Precondition: it holds that many rows of whole panels.
    package func reshaped(rowCount: Int, columnCount: Int) -> Matrix {
        Matrix(
            rowCount: rowCount, columnCount: columnCount, in: buffer,
            at: offset * MemoryLayout<Float>.stride)
    }

    /// The same rows without their last columns.
    package func first(columns count: Int) -> Matrix {
        precondition(count >= 0 && count <= columnCount, "Outside the matrix.")
        return Matrix(
            buffer: buffer, offset: offset, rowCount: rowCount, columnCount: count, stride: stride)
    }

    private init(buffer: Buffer, offset: Int, rowCount: Int, columnCount: Int, stride: Int) {
        self.buffer = buffer
        self.offset = offset
        self.rowCount = rowCount
        self.columnCount = columnCount
        self.stride = stride
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

    /// Where the first row begins in the buffer, in bytes.
    package var byteOffset: Int { offset * MemoryLayout<Float>.stride }

    /// Takes a row's numbers from bytes, such as a device's.
    ///
    /// - Precondition: there are as many as the row has.
    package func setRow(_ row: Int, bytes: RawSpan) {
        check(rows: row..<row + 1, columns: 0..<columnCount)
        precondition(
            bytes.byteCount == columnCount * MemoryLayout<Float>.stride,
            "A row has as many values as the matrix columns.")
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(pointer(row, 0)).copyMemory(
                from: start, byteCount: source.count)
        }
    }

    /// Copies one row over another.
    package func copyRow(_ row: Int, to target: Int) {
        check(rows: row..<row + 1, columns: 0..<columnCount)
        check(rows: target..<target + 1, columns: 0..<columnCount)
        unsafe pointer(target, 0).update(from: pointer(row, 0), count: columnCount)
    }

    /// Adds a multiple of another matrix's row to a row.
    package func add(_ factor: Float, times other: Matrix, row: Int, toRow target: Int) {
        precondition(other.columnCount == columnCount, "Shapes do not fit.")
        other.withRow(row) { source in
            withMutableRow(target) { row in
                for column in source.indices { row[column] += factor * source[column] }
            }
        }
    }

    /// Multiplies a row by another matrix's first, number by number.
    package func multiply(row: Int, by factors: Matrix) {
        precondition(factors.columnCount == columnCount, "Shapes do not fit.")
        factors.withRow(0) { factors in
            withMutableRow(row) { row in
                for column in factors.indices { row[column] *= factors[column] }
            }
        }
    }

    /// Whether two rows hold the same bits.
    package func rowsAreEqual(_ a: Int, _ b: Int) -> Bool {
        withRow(a) { a in
            withRow(b) { b in a.indices.allSatisfy { a[$0].bitPattern == b[$0].bitPattern } }
        }
    }

    func pointer(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> {
        unsafe buffer.floats(at: offset + row * stride + column)
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
