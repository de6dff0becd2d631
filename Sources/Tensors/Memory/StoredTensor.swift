internal import CMartletKernels

/// How a file stores numbers. The block types are GGUF's.
package enum StoredType: String, Sendable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case q8_0 = "Q8_0"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q4_K = "Q4_K"
    case q5_K = "Q5_K"
    case q6_K = "Q6_K"
    case q2_K = "Q2_K"
    case q3_K = "Q3_K"
    case iq4_NL = "IQ4_NL"
    case iq4_XS = "IQ4_XS"
    /// Those of quantized checkpoints, which are no numbers by themselves.
    case i8 = "I8"
    case i32 = "I32"
    case i64 = "I64"
    case f8_e4m3 = "F8_E4M3"

    /// Values in one block.
    package var blockLength: Int {
        switch self {
        case .f32, .f16, .bf16, .i8, .i32, .i64, .f8_e4m3: 1
        case .q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .iq4_NL: 32
        case .q4_K, .q5_K, .q6_K, .q2_K, .q3_K, .iq4_XS: 256
        }
    }

    /// Bytes of one block.
    package var blockByteCount: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        case .q8_0: 34
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        case .q2_K: 84
        case .q3_K: 110
        case .iq4_NL: 18
        case .iq4_XS: 136
        case .i8, .f8_e4m3: 1
        case .i32: 4
        case .i64: 8
        }
    }

    /// Nil where the bytes are no numbers by themselves.
    var kernelSource: cmk_source? {
        switch self {
        case .f32: CMK_SOURCE_F32
        case .f16: CMK_SOURCE_F16
        case .bf16: CMK_SOURCE_BF16
        case .q8_0: CMK_SOURCE_Q8_0
        case .q4_0: CMK_SOURCE_Q4_0
        case .q4_1: CMK_SOURCE_Q4_1
        case .q5_0: CMK_SOURCE_Q5_0
        case .q5_1: CMK_SOURCE_Q5_1
        case .q4_K: CMK_SOURCE_Q4_K
        case .q5_K: CMK_SOURCE_Q5_K
        case .q6_K: CMK_SOURCE_Q6_K
        case .q2_K: CMK_SOURCE_Q2_K
        case .q3_K: CMK_SOURCE_Q3_K
        case .iq4_NL: CMK_SOURCE_IQ4_NL
        case .iq4_XS: CMK_SOURCE_IQ4_XS
        case .i8, .i32, .i64, .f8_e4m3: nil
        }
    }
}

/// A tensor of one or two dimensions as a mapped file holds it: rows of `columnCount` values.
package struct StoredTensor: Sendable {
    package let file: MappedFile
    package let name: String
    package let type: StoredType
    /// Outermost first, as Hugging Face files write it; empty for a scalar.
    package private(set) var shape: [Int]
    private(set) var byteOffset: Int
    /// What the numbers are made of, where `type` alone does not say it.
    package private(set) var packed: PackedNumbers?
    /// Of `packed`.
    package private(set) var firstRow = 0
    /// The order that rows are stored in, when it is not their own.
    package var rowOrder: RowOrder = .stored
    /// What the file leaves out of each value of a vector.
    package var offset: Float = 0

    /// The order in which a file stores the rows of a matrix.
    package enum RowOrder: Sendable, Equatable {
        /// As they are.
        case stored
        /// Heads whose two rotary halves are interleaved, as llama.cpp's conversion leaves the
        /// query and key projections of the Llama family: row 2i + j of a head was row
        /// j * headDimension / 2 + i.
        case interleavedHalves(headDimension: Int)
        /// Value (i, j) is value first + i · rowStep + j · columnStep of the `count` that the file has together.
        case scattered(first: Int, rowStep: Int, columnStep: Int, count: Int)

        /// The stored row that is row `index` of the matrix.
        package func storedRow(_ index: Int) -> Int {
            guard case .interleavedHalves(let dimension) = self else { return index }
            let (head, within) = (index / dimension, index % dimension)
            let half = dimension / 2
            return head * dimension + (within % half) * 2 + within / half
        }
    }

    /// - Returns: nil when the sizes overflow, the rows are not whole blocks, or the bytes do not
    ///   lie inside the file.
    package init?(file: MappedFile, name: String, type: StoredType, shape: [Int], byteOffset: Int) {
        guard byteOffset >= 0,
            let byteCount = StoredTensor.byteCount(type: type, shape: shape),
            case let (end, overflow) = byteOffset.addingReportingOverflow(byteCount), !overflow,
            end <= file.byteCount
        else { return nil }
        self.file = file
        self.name = name
        self.type = type
        self.shape = shape
        self.byteOffset = byteOffset
    }

    /// A matrix of a quantized checkpoint.
    package init(_ packed: PackedNumbers, name: String) {
        let codes = packed.codes
        file = codes.tensor.file
        self.name = name
        type = codes.tensor.type
        shape = [codes.rowCount, codes.columnCount]
        byteOffset = codes.tensor.byteOffset
        self.packed = packed
    }

    /// Bytes that a tensor of this shape takes; nil when a size is negative or overflows or a row
    /// is not a whole number of blocks.
    package static func byteCount(type: StoredType, shape: [Int]) -> Int? {
        var count = 1
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            guard size >= 0, !overflow else { return nil }
            count = product
        }
        guard (shape.last ?? 1) % type.blockLength == 0 else { return nil }
        let (bytes, overflow) = (count / type.blockLength)
            .multipliedReportingOverflow(by: type.blockByteCount)
        return overflow ? nil : bytes
    }

    package var rowCount: Int { shape.dropLast().reduce(1, *) }
    package var columnCount: Int { shape.last ?? 1 }
    /// What files have of it: itself, for most.
    package var parts: [StoredTensor] { packed?.tensors ?? [self] }

    /// Bytes in files.
    package var storedByteCount: Int {
        guard let packed else { return byteRange.count }
        let whole = packed.tensors.reduce(0) { $0 + $1.byteRange.count }
        return whole / packed.codes.rowCount * rowCount
    }

    /// Where the bytes lie, of scattered values those between them too.
    package var byteRange: Range<Int> {
        if case .scattered(_, _, _, let count) = rowOrder {
            return byteOffset..<byteOffset + count * type.blockByteCount
        }
        return byteOffset..<byteOffset + rowCount * rowByteCount
    }

    private var rowByteCount: Int { columnCount / type.blockLength * type.blockByteCount }

    /// A matrix of floats on its side; nil for another tensor.
    package var transposed: StoredTensor? {
        scattered(shape: shape.reversed(), first: 0, rowStep: 1, columnStep: columnCount)
    }

    /// A matrix of some of a matrix's floats; nil for another tensor, or where it does not have them.
    package func scattered(
        shape: [Int], first: Int, rowStep: Int, columnStep: Int
    ) -> StoredTensor? {
        let count = rowCount * columnCount
        guard self.shape.count == 2, rowOrder == .stored, type.blockLength == 1, packed == nil,
            shape.count == 2, shape.allSatisfy({ $0 > 0 && $0 <= count }), first >= 0,
            first < count, (1...count).contains(rowStep), (1...count).contains(columnStep),
            // Sizes of files are far from overflow.
            first + (shape[0] - 1) * rowStep + (shape[1] - 1) * columnStep < count
        else { return nil }
        var other = self
        other.shape = shape
        other.rowOrder = .scattered(
            first: first, rowStep: rowStep, columnStep: columnStep, count: count)
        return other
    }

    /// Some of its rows, or of a vector's values; nil where it does not have them or has them in another order.
    package func rows(_ range: Range<Int>) -> StoredTensor? {
        guard packed == nil else {
            guard range.lowerBound >= 0, range.upperBound <= shape[0] else { return nil }
            var part = self
            part.shape[0] = range.count
            part.firstRow += range.lowerBound
            return part
        }
        if case .scattered(let first, let rowStep, let columnStep, let count) = rowOrder {
            guard range.lowerBound >= 0, range.upperBound <= rowCount else { return nil }
            var part = self
            part.shape[0] = range.count
            part.rowOrder = .scattered(
                first: first + range.lowerBound * rowStep, rowStep: rowStep,
                columnStep: columnStep, count: count)
            return part
        }
        // A vector's rows are its values.
        let (rows, columns) = shape.count > 1 ? (rowCount, [columnCount]) : (columnCount, [])
        guard rowOrder == .stored, !shape.isEmpty, range.lowerBound >= 0,
            range.upperBound <= rows, type.blockLength == 1 || shape.count > 1
        else { return nil }
        var part = self
        part.shape = [range.count] + columns
        part.byteOffset += range.lowerBound * (byteRange.count / max(rows, 1))
        return part
    }

    /// Decodes row `index` into the first `columnCount` places of `row`.
    ///
    /// - Throws: `NonFiniteValue` when the row holds a NaN or an infinity.
    package func read(
        row index: Int, into row: inout MutableSpan<Float>
    ) throws(NonFiniteValue) {
        precondition(index >= 0 && index < rowCount && row.count >= columnCount, "No such row.")
        guard columnCount > 0 else { return }
        if let packed {
            guard packed.read(row: firstRow + index, into: &row) else {
                throw NonFiniteValue(tensor: name, row: index)
            }
            return
        }
        if case .scattered(let first, let rowStep, let columnStep, _) = rowOrder {
            for column in 0..<columnCount {
                row[column] = value(at: first + index * rowStep + column * columnStep)
                guard row[column].isFinite else { throw NonFiniteValue(tensor: name, row: index) }
            }
            return
        }
        let storedRow = shape.count > 1 ? rowOrder.storedRow(index) : index
        let offset = byteOffset + storedRow * rowByteCount
        guard let source = unsafe file.pointer(at: offset), let type = type.kernelSource else {
            preconditionFailure("\(name) holds no numbers.")
        }
        let columnCount = columnCount
        let finite = unsafe row.withUnsafeMutableBufferPointer { elements in
            unsafe elements.baseAddress.map {
                unsafe cmk_decode_row(type, source, columnCount, $0)
            } ?? true
        }
        guard finite else { throw NonFiniteValue(tensor: name, row: index) }
    }

    /// Value `index` of a tensor of floats.
    func value(at index: Int) -> Float {
        var value: Float = .nan
        if let type = type.kernelSource,
            let source = unsafe file.pointer(at: byteOffset + index * self.type.blockByteCount)
        {
            _ = unsafe cmk_decode_row(type, source, 1, &value)
        }
        return value
    }

    /// All values of a tensor of integers; nil for one of something else.
    package func integers() -> [Int]? {
        guard type == .i64 || type == .i32 else { return nil }
        let range = byteRange
        var values: [Int] = []
        for offset in stride(
            from: range.lowerBound, to: range.upperBound, by: type.blockByteCount)
        {
            let value =
                type == .i64
                ? file.integer(at: offset, as: Int64.self).map { Int($0) }
                : file.integer(at: offset, as: Int32.self).map { Int($0) }
            guard let value else { return nil }
            values.append(value)
        }
        return values
    }

    /// All values, row after row.
    package func values() throws(NonFiniteValue) -> [Float] {
        let matrix = try matrix()
        return (0..<rowCount).flatMap { matrix.row($0) }
    }

    /// The values of a one-dimensional tensor, in the order of the rows that they belong to.
    package func vector() throws(NonFiniteValue) -> [Float] {
        let stored = try values()
        return stored.indices.map { stored[rowOrder.storedRow($0)] + offset }
    }

    /// All values as a matrix of `rowCount` × `columnCount`.
    package func matrix() throws(NonFiniteValue) -> Matrix {
        let matrix = Matrix(rowCount: rowCount, columnCount: columnCount)
        for row in 0..<rowCount {
            try matrix.withMutableRow(row) { (span) throws(NonFiniteValue) in
                try read(row: row, into: &span)
            }
        }
        return matrix
    }
}

/// A NaN or an infinity where a file must not have one.
package struct NonFiniteValue: Error, CustomStringConvertible {
    package init(tensor: String, row: Int) {
        self.tensor = tensor
        self.row = row
    }

    package let tensor: String
    package let row: Int

    package var description: String { "tensor \(tensor), row \(row): a NaN or an infinity" }
}
