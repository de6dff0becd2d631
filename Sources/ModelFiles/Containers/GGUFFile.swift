internal import JSONTree
package import Tensors

/// A GGUF file, version 2 or 3, little-endian: typed metadata, then tensors.
///
/// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package struct GGUFFile {
    package let path: String
    package let metadata: [String: GGUFValue]
    package let tensors: [String: StoredTensor]

    private static let magic: UInt32 = 0x4655_4747  // "GGUF"
    private static let maximumDimensions = 4
    private static let maximumEntries = 1 << 20

    /// Whether a file begins as GGUF files do.
    package static func isGGUF(path: String) -> Bool {
        (try? BinaryFile.head(of: path, count: 4)) == Array("GGUF".utf8)
    }

    /// - Throws: `ModelFileError` with the code `malformed_file`, `unsupported_file`,
    ///   `unsupported_tensor_type` or `unreadable_file`.
    ///
    /// - Parameters:
    ///   - headerLimit: bytes of metadata and of the tensors' names and shapes at most.
    package init(
        path: String, headerLimit: Int = 256 << 20, reading: FileReading = .mapped
    ) throws(ModelFileError) {
        let file = try openFile(path, reading) { _ in headerLimit }
        var reader = GGUFReader(file: file, end: min(file.byteCount, headerLimit))
        guard try reader.integer(UInt32.self) == GGUFFile.magic else {
            throw reader.malformed("it does not begin with GGUF")
        }
        let version = try reader.integer(UInt32.self)
        guard version == 2 || version == 3 else {
            throw ModelFileError(
                .unsupportedFile,
                "\(path) is GGUF version \(version); supported are versions 2 and 3, little-endian")
        }
        let tensorCount = try reader.count(limit: GGUFFile.maximumEntries)
        let metadataCount = try reader.count(limit: GGUFFile.maximumEntries)

        var metadata: [String: GGUFValue] = [:]
        for _ in 0..<metadataCount {
            let key = try reader.string()
            let value = try reader.value()
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw reader.malformed("the key \(key) stands twice")
            }
        }

        struct Entry {
            var name: String
            var shape: [Int]
            var type: StoredType
            var offset: Int
        }
        var entries: [Entry] = []
        for _ in 0..<tensorCount {
            let name = try reader.string()
            let dimensionCount = Int(try reader.integer(UInt32.self))
            guard dimensionCount <= GGUFFile.maximumDimensions else {
                throw reader.malformed("tensor \(name) has \(dimensionCount) dimensions")
            }
            // ggml writes the innermost dimension first.
            var shape: [Int] = []
            for _ in 0..<dimensionCount { shape.insert(try reader.count(limit: 1 << 40), at: 0) }
            let typeNumber = try reader.integer(UInt32.self)
            guard let type = StoredType(ggmlType: typeNumber) else {
                let supported = StoredType.ggml.map(\.rawValue).joined(separator: ", ")
                throw ModelFileError(
                    .unsupportedTensorType,
                    "tensor \(name) in \(path) has ggml type \(typeNumber); supported are \(supported)"
                )
            }
            entries.append(
                Entry(
                    name: name, shape: shape, type: type, offset: try reader.count(limit: 1 << 50)))
        }

        let alignment = metadata["general.alignment"]?.integer ?? 32
        guard alignment > 0, alignment <= 1 << 16, alignment.nonzeroBitCount == 1 else {
            throw reader.malformed("general.alignment is not a power of two")
        }
        let dataStart = reader.position.roundedUp(toMultipleOf: alignment)
        var tensors: [String: StoredTensor] = [:]
        for entry in entries {
            guard entry.offset % alignment == 0,
                let tensor = StoredTensor(
                    file: file, name: entry.name, type: entry.type, shape: entry.shape,
                    byteOffset: dataStart + entry.offset)
            else {
                throw reader.malformed("tensor \(entry.name) does not lie inside the file")
            }
            guard tensors.updateValue(tensor, forKey: entry.name) == nil else {
                throw reader.malformed("tensor \(entry.name) stands twice")
            }
        }
        let ranges = tensors.values.map(\.byteRange).filter { !$0.isEmpty }
            .sorted { $0.lowerBound < $1.lowerBound }
        for (range, next) in zip(ranges, ranges.dropFirst())
        where range.upperBound > next.lowerBound {
            throw reader.malformed("tensors overlap")
        }
        self.path = path
        self.metadata = metadata
        self.tensors = tensors
    }
}

/// One value of GGUF metadata.
package enum GGUFValue: Sendable, Equatable {
    case integer(Int)
    case number(Double)
    case bool(Bool)
    case string(String)
    case array([GGUFValue])

    package var integer: Int? { if case .integer(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var array: [GGUFValue]? { if case .array(let value) = self { value } else { nil } }
    package var number: Double? {
        switch self {
        case .number(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }
}

extension StoredType {
    /// Those of GGUF.
    package static let ggml = (0..<64).compactMap { StoredType(ggmlType: $0) }

    /// ggml's number for the type.
    fileprivate init?(ggmlType: UInt32) {
        switch ggmlType {
        case 0: self = .f32
        case 1: self = .f16
        case 2: self = .q4_0
        case 3: self = .q4_1
        case 6: self = .q5_0
        case 7: self = .q5_1
        case 8: self = .q8_0
        case 12: self = .q4_K
        case 13: self = .q5_K
        case 14: self = .q6_K
        case 30: self = .bf16
        case 10: self = .q2_K
        case 11: self = .q3_K
        case 20: self = .iq4_NL
        case 23: self = .iq4_XS
        default: return nil
        }
    }
}

private struct GGUFReader {
    let file: MappedFile
    /// Of the header.
    let end: Int
    var position = 0

    init(file: MappedFile, end: Int) {
        self.file = file
        self.end = end
    }

    /// Bytes that an element takes at least, by its type's number: what a count may claim.
    private static let elementByteCounts = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]
    /// Elements of an array: the longest have one for each token of a vocabulary.
    private static let elementLimit = 1 << 22

    func malformed(_ reason: String) -> ModelFileError {
        ModelFileError(.malformedFile, "\(file.path) is not a valid GGUF file: \(reason)")
    }

    mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type
    ) throws(ModelFileError) -> Value {
        guard position <= end - MemoryLayout<Value>.size,
            let value = file.integer(at: position, as: type)
        else {
            throw malformed(
                end == file.byteCount
                    ? "it ends at byte \(end), inside its header"
                    : "its header is longer than \(end) bytes")
        }
        position += MemoryLayout<Value>.size
        return value
    }

    /// A 64-bit count from the file.
    mutating func count(limit: Int) throws(ModelFileError) -> Int {
        let value = try integer(UInt64.self)
        guard value <= limit else {
            throw malformed("a count of \(value) is beyond the limit \(limit)")
        }
        return Int(value)
    }

    mutating func string() throws(ModelFileError) -> String {
        let length = try count(limit: file.byteCount)
        guard length <= end - position,
            let bytes = file.bytes(in: position..<position + length)
        else { throw malformed("a string runs past the end") }
        position += length
        // Token texts may be any bytes; what is not UTF-8 becomes U+FFFD, as llama.cpp prints it.
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.hasTooManyMarks else {
            throw malformed("a string has \(String.tooManyMarks)")
        }
        return text
    }

    mutating func value() throws(ModelFileError) -> GGUFValue {
        try value(ofType: try integer(UInt32.self), nesting: 0)
    }

    private mutating func value(
        ofType type: UInt32, nesting: Int
    ) throws(ModelFileError) -> GGUFValue {
        switch type {
        case 0: return .integer(Int(try integer(UInt8.self)))
        case 1: return .integer(Int(try integer(Int8.self)))
        case 2: return .integer(Int(try integer(UInt16.self)))
        case 3: return .integer(Int(try integer(Int16.self)))
        case 4: return .integer(Int(try integer(UInt32.self)))
        case 5: return .integer(Int(try integer(Int32.self)))
        case 6: return .number(Double(Float(bitPattern: try integer(UInt32.self))))
        case 7: return .bool(try integer(UInt8.self) != 0)
        case 8: return .string(try string())
        case 9: return try array(nesting: nesting)
        case 10: return .integer(Int(clamping: try integer(UInt64.self)))
        case 11: return .integer(Int(try integer(Int64.self)))
        case 12: return .number(Double(bitPattern: try integer(UInt64.self)))
        default: throw malformed("a metadata value has the unknown type \(type)")
        }
    }

    private mutating func array(nesting: Int) throws(ModelFileError) -> GGUFValue {
        guard nesting < 4 else { throw malformed("metadata arrays are nested too deep") }
        let type = try integer(UInt32.self)
        let sizes = GGUFReader.elementByteCounts
        guard type < sizes.count else {
            throw malformed("a metadata array has the unknown type \(type)")
        }
        // What the file cannot hold is not reserved; nor is much before it is read.
        let limit = min((end - position) / sizes[Int(type)], GGUFReader.elementLimit)
        let count = try count(limit: max(0, limit))
        var elements: [GGUFValue] = []
        elements.reserveCapacity(min(count, 1 << 16))
        for _ in 0..<count { elements.append(try value(ofType: type, nesting: nesting + 1)) }
        return .array(elements)
    }
}
