internal import CMartletKernels

/// How a matrix of codes lies in a file; see `cmk_packing`.
package enum CodePacking: Sendable {
    /// 32-bit words whose fields are of one row: (columns / fields, rows).
    case down
    /// The same as (rows, columns / fields).
    case across
    /// AWQ's words of 8 rows each: (columns, rows / 8).
    case interleaved
    case signedBytes
    case floatBytes

    fileprivate var kernelPacking: cmk_packing {
        switch self {
        case .down: CMK_PACKED_DOWN
        case .across: CMK_PACKED_ACROSS
        case .interleaved: CMK_PACKED_AWQ
        case .signedBytes: CMK_PACKED_I8
        case .floatBytes: CMK_PACKED_E4M3
        }
    }

    /// The type of the tensor that holds them.
    package var type: StoredType {
        switch self {
        case .down, .across, .interleaved: .i32
        case .signedBytes: .i8
        case .floatBytes: .f8_e4m3
        }
    }
}

/// A matrix (rows, columns) of small numbers, as a tensor of the file packs them.
package struct PackedCodes: Sendable {
    package let tensor: StoredTensor
    private let packing: CodePacking
    private let bits: Int
    /// Added to every word, with carries and without the last one's.
    private let added: UInt32
    package let rowCount: Int
    package let columnCount: Int

    /// - Parameter bits: of a code, 4 or 8.
    /// - Returns: nil when the tensor has another type or shape.
    package init?(
        _ tensor: StoredTensor, _ packing: CodePacking, bits: Int, added: UInt32 = 0,
        rowCount: Int, columnCount: Int
    ) {
        guard rowCount > 0, columnCount > 0, bits == 4 || bits == 8, tensor.type == packing.type,
            tensor.packed == nil
        else { return nil }
        let fields = 32 / bits
        func words(_ count: Int) -> Int { (count - 1) / fields + 1 }
        let shape: [Int]
        switch packing {
        case .down: shape = [words(columnCount), rowCount]
        case .across: shape = [rowCount, words(columnCount)]
        case .interleaved:
            guard bits == 4, rowCount % 8 == 0 else { return nil }
            shape = [columnCount, rowCount / 8]
        case .signedBytes, .floatBytes: shape = [rowCount, columnCount]
        }
        guard tensor.shape == shape else { return nil }
        self.tensor = tensor
        self.packing = packing
        self.bits = bits
        self.added = added
        self.rowCount = rowCount
        self.columnCount = columnCount
    }

    fileprivate var layout: String { "\(packing) \(bits) \(added) \(rowCount) \(columnCount)" }

    /// Whether every word is the same.
    package func allWords(are word: UInt32) -> Bool {
        stride(from: tensor.byteRange.lowerBound, to: tensor.byteRange.upperBound, by: 4)
            .allSatisfy {
                tensor.file.integer(at: $0).map { (stored: UInt32) in stored &+ added } == word
            }
    }

    fileprivate func withMatrix<Result>(_ body: (UnsafePointer<cmk_packed>) -> Result) -> Result? {
        guard let bytes = unsafe tensor.file.pointer(at: tensor.byteOffset) else { return nil }
        var matrix = unsafe cmk_packed(
            layout: packing.kernelPacking, bits: UInt32(bits), added: added, rows: rowCount,
            columns: columnCount, bytes: bytes)
        return unsafe withUnsafePointer(to: &matrix) { unsafe body($0) }
    }
}

/// A matrix of weights as quantized checkpoints hold it: w(o, i) = (code(o, i) − zero) · scale, the latter two of the group of
/// columns that i is in.
///
/// A class, so that a tensor may have one whose parts are tensors.
package final class PackedNumbers: Sendable {
    package let codes: PackedCodes
    /// (rows or blocks of rows, groups), or transposed.
    private let scales: StoredTensor
    private let scalesAreTransposed: Bool
    /// Rows that share their scales.
    private let rowsPerScale: Int
    /// A code for each row and group, by row or by group.
    private let zeros: PackedCodes?
    private let zerosAreByGroup: Bool
    /// The zero of all where there are no others.
    private let zero: Float
    private let groupSize: Int
    private let groupCount: Int
    private let blockCount: Int
    /// The group of each column, where columns of a group do not lie together.
    private let order: StoredTensor?
    private let groups: [UInt32]?

    /// - Parameter order: (columns) integers, the group of each.
    /// - Returns: nil when sizes do not fit each other, or a group is none.
    package init?(
        codes: PackedCodes, scales: StoredTensor, scalesAreTransposed: Bool = false,
        rowsPerScale: Int = 1, zeros: PackedCodes? = nil, zerosAreByGroup: Bool = false,
        zero: Float = 0, groupSize: Int, order: StoredTensor? = nil
    ) {
        guard groupSize > 0, rowsPerScale > 0 else { return nil }
        let groupCount = (codes.columnCount - 1) / groupSize + 1
        let blocks = (codes.rowCount - 1) / rowsPerScale + 1
        let shape = scalesAreTransposed ? [groupCount, blocks] : [blocks, groupCount]
        let isOne = blocks * groupCount == 1 && (scales.shape.isEmpty || scales.shape == [1])
        guard scales.shape == shape || isOne, [.f32, .f16, .bf16].contains(scales.type) else {
            return nil
        }
        if let zeros {
            let sizes = [zeros.rowCount, zeros.columnCount]
            guard
                sizes
                    == (zerosAreByGroup
                        ? [groupCount, codes.rowCount] : [codes.rowCount, groupCount])
            else { return nil }
        }
        if let order {
            guard order.shape == [codes.columnCount], let groups = order.integers(),
                groups.allSatisfy({ (0..<groupCount).contains(Int($0)) })
            else { return nil }
            self.groups = groups.map { UInt32($0) }
        } else {
            groups = nil
        }
        self.order = order
        self.groupCount = groupCount
        blockCount = blocks
        self.codes = codes
        self.scales = scales
        self.scalesAreTransposed = scalesAreTransposed
        self.rowsPerScale = rowsPerScale
        self.zeros = zeros
        self.zerosAreByGroup = zerosAreByGroup
        self.zero = zero
        self.groupSize = groupSize
    }

    /// How its parts make numbers, in words.
    package var layout: String {
        let zeros = zeros.map { "\($0.layout), \(zerosAreByGroup)" } ?? "\(zero)"
        return
            "\(codes.layout); \(scalesAreTransposed) \(rowsPerScale) \(groupSize); \(zeros); \(order != nil)"
    }

    /// All that files have of it.
    var tensors: [StoredTensor] {
        [codes.tensor, scales] + [zeros?.tensor, order].compactMap(\.self)
    }

    /// Decodes a row into the first places of `row`.
    ///
    /// - Returns: whether all numbers are finite.
    func read(row place: Int, into row: inout MutableSpan<Float>) -> Bool {
        var scaleRow = Array(repeating: Float(0), count: groupCount)
        var zeroRow = Array(repeating: zero, count: groupCount)
        let block = place / rowsPerScale
        for group in 0..<groupCount {
            scaleRow[group] = scales.value(
                at: scalesAreTransposed ? group * blockCount + block : block * groupCount + group)
        }
        if let zeros {
            _ = unsafe zeros.withMatrix { matrix in
                for group in 0..<groupCount {
                    zeroRow[group] =
                        zerosAreByGroup
                        ? unsafe cmk_packed_code(matrix, group, place)
                        : unsafe cmk_packed_code(matrix, place, group)
                }
            }
        }
        return unsafe row.withUnsafeMutableBufferPointer { row in
            guard let target = row.baseAddress else { return false }
            return unsafe codes.withMatrix { matrix in
                guard let groups else {
                    return unsafe cmk_decode_packed(
                        matrix, place, nil, groupSize, scaleRow, zeroRow, target)
                }
                return unsafe cmk_decode_packed(
                    matrix, place, groups, groupSize, scaleRow, zeroRow, target)
            } ?? false
        }
    }
}
