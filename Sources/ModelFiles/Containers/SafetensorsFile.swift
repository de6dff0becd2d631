package import JSONTree
package import Tensors

/// A safetensors file: a JSON header that names tensors, and their bytes.
///
/// Format: https://huggingface.co/docs/safetensors. As there, tensors may not overlap and together
/// fill the data exactly, so that nothing can hide in a file.
package struct SafetensorsFile {
    package let tensors: [String: StoredTensor]
    /// The header's `__metadata__`, strings by the format.
    package let metadata: [String: String]

    /// - Throws: `ModelFileError` with the code `malformed_file`, `unsupported_tensor_type` or
    ///   `unreadable_file`.
    ///
    /// - Parameters:
    ///   - more: types that tensors may have beside F32, F16 and BF16.
    ///   - headerLimit: bytes of the header at most. Read, it takes some twenty times as many.
    package init(
        path: String, headerLimit: Int = 32 << 20, reading: FileReading = .mapped,
        more: Set<StoredType> = []
    ) throws(ModelFileError) {
        let file = try openFile(path, reading) { headerCount in
            8 + Int(min(headerCount, UInt64(headerLimit)))
        }
        func malformed(_ reason: String) -> ModelFileError {
            ModelFileError(.malformedFile, "\(path) is not a valid safetensors file: \(reason)")
        }
        guard let headerCount: UInt64 = file.integer(at: 0) else {
            throw malformed("it is too short")
        }
        guard headerCount <= headerLimit,
            let headerBytes = file.bytes(in: 8..<8 + Int(headerCount))
        else { throw malformed("its header is longer than the file or than \(headerLimit) bytes") }
        let header: JSON
        do {
            header = try JSON(
                parsing: headerBytes, limits: JSON.Limits(depth: 8, nameByteCount: 1024))
        } catch {
            throw malformed("its header is \(error)")
        }
        guard let members = header.objectValue?.members else {
            throw malformed("its header is not an object")
        }

        var tensors: [String: StoredTensor] = [:]
        var metadata: [String: String] = [:]
        let dataStart = 8 + Int(headerCount)
        var ranges: [Range<Int>] = []
        for (name, entry) in members {
            if name == "__metadata__" {
                for (key, value) in entry.objectValue?.members ?? [] {
                    metadata[key] = value.stringValue
                }
                continue
            }
            guard let type = entry["dtype"]?.stringValue,
                let shapeValues = entry["shape"]?.arrayValue,
                let offsets = entry["data_offsets"]?.arrayValue, offsets.count == 2,
                let start = offsets[0].integerValue, let end = offsets[1].integerValue
            else {
                throw malformed("the entry of tensor \(name) lacks dtype, shape or data_offsets")
            }
            let shape = shapeValues.compactMap(\.integerValue)
            guard shape.count == shapeValues.count, shape.count <= 8,
                shape.allSatisfy({ $0 >= 0 && $0 < 1 << 40 })
            else { throw malformed("tensor \(name) has an impossible shape") }
            guard let storedType = StoredType(rawValue: type),
                [.f32, .f16, .bf16].contains(storedType) || more.contains(storedType)
            else {
                throw ModelFileError(
                    .unsupportedTensorType,
                    "tensor \(name) in \(path) has type \(type); supported are F32, F16 and BF16")
            }
            guard start >= 0, start <= end, end <= file.byteCount - dataStart,
                StoredTensor.byteCount(type: storedType, shape: shape) == end - start,
                let tensor = StoredTensor(
                    file: file, name: name, type: storedType, shape: shape,
                    byteOffset: dataStart + start)
            else {
                throw malformed("tensor \(name) does not lie where its shape says, inside the file")
            }
            tensors[name] = tensor
            ranges.append(start..<end)
        }
        var position = 0
        for range in ranges.sorted(by: {
            ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound)
        }) {
            guard range.lowerBound == position else {
                throw malformed("tensors overlap or leave a gap")
            }
            position = range.upperBound
        }
        guard position == file.byteCount - dataStart else {
            throw malformed("bytes follow the last tensor")
        }
        self.tensors = tensors
        self.metadata = metadata
    }
}

/// How a file's bytes come to memory.
package enum FileReading: Sendable {
    /// Where they lie. Nobody else may write to the file meanwhile.
    case mapped
    /// All of them are read first.
    case copied
    /// Only the header is; numbers are not wanted.
    case header
}

/// Maps or reads a file, with a `ModelFileError` when that fails.
///
/// - Parameter headerCount: bytes of the header, by the file's first eight.
func openFile(
    _ path: String, _ reading: FileReading, headerCount: (UInt64) -> Int
) throws(ModelFileError) -> MappedFile {
    let byteLimit = AdapterLimits().byteCount
    do {
        switch reading {
        case .mapped: return try MappedFile(path: path)
        case .copied: return try MappedFile(headOf: path, byteLimit: byteLimit) { _ in .max }
        case .header:
            return try MappedFile(headOf: path, byteLimit: byteLimit, count: headerCount)
        }
    } catch  where error.isTooLarge {
        throw ModelFileError(.limitExceeded, "\(path) is larger than \(byteLimit) bytes")
    } catch {
        throw ModelFileError(.unreadableFile, "\(error)")
    }
}

/// Reads and parses a JSON file.
package func readJSON(
    _ path: String, byteLimit: Int = 512 << 20, valueLimit: Int = .max
) throws(ModelFileError) -> JSON {
    let bytes: [UInt8]
    do {
        bytes = try BinaryFile.contents(of: path, byteLimit: byteLimit)
    } catch  where error.isTooLarge {
        throw ModelFileError(.limitExceeded, "\(path) is larger than \(byteLimit) bytes")
    } catch {
        throw ModelFileError(.unreadableFile, "\(error)")
    }
    do {
        return try JSON(parsing: bytes, limits: JSON.Limits(valueCount: valueLimit))
    } catch {
        throw ModelFileError(.malformedFile, "\(path) is \(error)")
    }
}
