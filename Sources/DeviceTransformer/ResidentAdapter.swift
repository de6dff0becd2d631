internal import Adapters
internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// An adapter on a device: its pack as it is in RAM, and the table by which kernels find its matrices.
final class ResidentAdapter {
    /// Where the table of updates is.
    let table: UInt64
    private let memory: DeviceBuffer
    private let element: DeviceElement
    /// The step that last used it.
    var lastStep = 0

    var byteCount: Int { memory.byteCount }

    init(
        _ adapter: DeviceAdapter, on device: Device, element: DeviceElement, upload: DeviceUpload
    ) throws(DeviceError) {
        self.element = element
        let tableOffset = adapter.byteCount.roundedUp(toMultipleOf: DeviceArena.alignment)
        let updates = adapter.table.updates
        memory = try DeviceBuffer(
            tableOffset + updates.count * MemoryLayout<cmd_update>.stride, on: .device, of: device)
        table = memory.address + UInt64(tableOffset)
        let (base, element) = (memory.address, element)
        let entries = updates.map { ResidentAdapter.entry($0, base, element) }
        try adapter.memory.withBytes(0..<adapter.byteCount) { (bytes) throws(DeviceError) in
            try upload.copy(bytes, to: memory, at: 0)
        }
        try upload.copy(entries, to: memory, at: tableOffset)
    }

    /// Where a row of a matrix that the adapter holds in RAM is on the device: at the same place.
    func address(of matrix: Matrix, row: Int = 0) -> UInt64 {
        let rowByteCount = matrix.stride * MemoryLayout<Float>.stride
        return address(matrix.byteOffset + row * rowByteCount, rowByteCount)
    }

    func panels(_ matrix: PackedMatrix) -> DeviceWeights.Panels {
        DeviceWeights.Panels(
            matrix, at: address(matrix.byteOffset, matrix.byteCount), element)
    }

    private func address(_ offset: Int, _ byteCount: Int) -> UInt64 {
        precondition(
            offset >= 0 && offset + byteCount <= memory.byteCount, "Outside the adapter.")
        return memory.address + UInt64(offset)
    }

    private static func entry(
        _ update: LowRankUpdate?, _ base: UInt64, _ element: DeviceElement
    ) -> cmd_update {
        var entry = cmd_update()
        guard let update else { return entry }
        entry.shrink = base + UInt64(update.shrink.byteOffset)
        entry.panels = UInt32(update.shrink.panelCount)
        func expansion(_ projection: Int) -> cmd_expansion {
            guard projection < update.expansions.count, let part = update.expansions[projection]
            else { return cmd_expansion() }
            func vector(_ matrix: Matrix?) -> UInt64 {
                matrix.map { base + UInt64($0.byteOffset) } ?? 0
            }
            return cmd_expansion(
                w: base + UInt64(part.weights.byteOffset), gain: vector(part.gain),
                bias: vector(part.bias),
                words: UInt32(element.words(part.weights.paddedInputCount)),
                column: UInt32(part.column), scale: part.scale, unused: 0)
        }
        entry.expansions = (expansion(0), expansion(1), expansion(2))
        return entry
    }
}
