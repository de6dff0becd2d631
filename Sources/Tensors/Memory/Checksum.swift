internal import CMartletKernels

/// A checksum against damage, not against forgery: four interleaved CRC-32C and the length.
package struct Checksum: Equatable, Sendable {
    private var state = cmk_checksum()

    package init() {}

    /// - Precondition: all additions but the last are multiples of 32 bytes.
    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        unsafe cmk_checksum_add(&state, start, bytes.count)
    }

    package init(of bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe add($0) }
    }

    package init(of buffer: Buffer) {
        unsafe add(UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount))
    }

    /// The specification, bit by bit.
    package init(portablyOf bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            unsafe cmk_checksum_add_portable(&state, start, bytes.count)
        }
    }

    /// 24 bytes.
    package var words: [UInt64] {
        let lanes = state.lanes
        return [
            UInt64(lanes.0) | UInt64(lanes.1) << 32, UInt64(lanes.2) | UInt64(lanes.3) << 32,
            state.count,
        ]
    }

    package static func == (a: Checksum, b: Checksum) -> Bool { a.words == b.words }
}
