package import Tensors

/// A safetensors file of some tensors, for tests.
package struct SafetensorsWriter {
    private var entries: [String] = []
    private var data: [UInt8] = []

    package init() {}

    package mutating func add(_ name: String, type: String, shape: [Int], _ bytes: [UInt8]) {
        entries.append(
            "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),"
                + "\"data_offsets\":[\(data.count),\(data.count + bytes.count)]}")
        data += bytes
    }

    /// A tensor as another file has it.
    package mutating func add(_ name: String, _ tensor: StoredTensor) {
        add(
            name, type: tensor.type.rawValue, shape: tensor.shape,
            tensor.file.bytes(in: tensor.byteRange) ?? [])
    }

    package mutating func add(_ name: String, shape: [Int], _ numbers: [Float]) {
        add(
            name, type: "F32", shape: shape,
            numbers.flatMap { number in
                (0..<4).map { UInt8(truncatingIfNeeded: number.bitPattern >> (8 * UInt32($0))) }
            })
    }

    package var bytes: [UInt8] {
        let header = Array("{\(entries.joined(separator: ","))}".utf8)
        return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + data
    }
}
