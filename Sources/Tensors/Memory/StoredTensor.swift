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

    /// Values in one block.
    package var blockLength: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q8_0, .q4_0, .q4_1, .q5_0, .q5_1: 32
        case .q4_K, .q5_K, .q6_K: 256
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
        }
    }

    var kernelSource: cmk_source {
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
        }
    }
}

/// A tensor of one or two dimensions as a mapped file holds it: rows of `columnCount` values.
package struct StoredTensor: Sendable {
    package let file: MappedFile
    package let name: String
    package let type: StoredType
    /// Outermost first, as Hugging Face files write it; empty for a scalar.
    package let shape: [Int]
    let byteOffset: Int
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
    package var byteRange: Range<Int> {
        byteOffset..<byteOffset + rowCount * rowByteCount
    }

    private var rowByteCount: Int { columnCount / type.blockLength * type.blockByteCount }

    /// Decodes row `index` into the first `columnCount` places of `row`.
    ///
    /// - Throws: `NonFiniteValue` when the row holds a NaN or an infinity.
    package func read(
        row index: Int, into row: inout MutableSpan<Float>
    ) throws(NonFiniteValue) {
        precondition(index >= 0 && index < rowCount && row.count >= columnCount, "No such row.")
        guard columnCount > 0 else { return }
        let storedRow = shape.count > 1 ? rowOrder.storedRow(index) : index
        let offset = byteOffset + storedRow * rowByteCount
        guard let source = unsafe file.pointer(at: offset) else { return }
        let (type, columnCount) = (type.kernelSource, columnCount)
        let finite = unsafe row.withUnsafeMutableBufferPointer { elements in
            unsafe elements.baseAddress.map {
                unsafe cmk_decode_row(type, source, columnCount, $0)
            } ?? true
        }
        guard finite else { throw NonFiniteValue(tensor: name, row: index) }
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
