/// A part of a device's memory.
package struct DevicePlace {
    package let memory: DeviceBuffer
    package let offset: Int
    package let byteCount: Int

    package init(memory: DeviceBuffer, offset: Int, byteCount: Int) {
        self.memory = memory
        self.offset = offset
        self.byteCount = byteCount
    }

    package var address: UInt64 { memory.address + UInt64(offset) }
}

/// Hands out places in large pieces of a device's memory, for what stays as long as the device is used:
/// drivers allow few allocations, and none beyond a size. Places live as long as the arena.
package struct DeviceArena {
    private let device: Device
    private let largestPiece: Int
    private let pieceByteCount: Int
    private var pieces: [(memory: DeviceBuffer, end: Int)] = []

    /// What places are multiples of: of the longest load of a kernel, and more.
    package static let alignment = 256

    /// - Parameter largestPiece: bytes of the largest allocation that the device allows.
    package init(_ device: Device, largestPiece: Int, pieceByteCount: Int = 256 << 20) {
        self.device = device
        self.largestPiece = largestPiece
        self.pieceByteCount = pieceByteCount
    }

    /// - Throws: `DeviceError` with `outOfMemory`, also for what no piece can hold.
    package mutating func place(_ byteCount: Int) throws(DeviceError) -> DevicePlace {
        precondition(byteCount >= 0, "A place cannot have a negative size.")
        guard byteCount <= largestPiece else {
            throw DeviceError(
                .outOfMemory,
                "a matrix of \(byteCount) bytes is more than the device allocates at a time, \(largestPiece)"
            )
        }
        // The first piece with room, so that large matrices leave no holes.
        if let index = pieces.firstIndex(where: { $0.end + byteCount <= $0.memory.byteCount }) {
            let (memory, end) = pieces[index]
            pieces[index].end =
                (end + byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
            return DevicePlace(memory: memory, offset: end, byteCount: byteCount)
        }
        let size = max(byteCount, min(largestPiece, pieceByteCount))
        pieces.append((try DeviceBuffer(size, on: .device, of: device), 0))
        return try place(byteCount)
    }
}
