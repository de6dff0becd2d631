internal import Adapters
internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// An adapter on a device: its pack as it is in RAM, cut into pages of the pool, and behind it the table by which kernels
/// find its matrices.
final class ResidentAdapter {
    private let parts: AdapterParts
    private let pages: [PagePool.ID]
    private let pool: DevicePool
    private let element: DeviceElement
    /// Where each part is, as of a generation of the pool.
    private var addresses: [UInt64] = []
    private var generation = -1
    /// The table with places in the pack, and 1 more, instead of addresses; 0 is nothing. Numbers alone: the pack in
    /// RAM may go.
    private let relative: [cmd_update]
    /// The step that last used it.
    var lastStep = 0

    /// - Parameter pages: as many and as many side by side as `parts` says.
    init(
        _ adapter: DeviceAdapter, parts: AdapterParts, pages: [PagePool.ID], of pool: DevicePool,
        element: DeviceElement, upload: DeviceUpload
    ) throws(DeviceError) {
        self.parts = parts
        self.pages = pages
        self.pool = pool
        self.element = element
        relative = adapter.table.updates.map { ResidentAdapter.relative($0, element) }
        for (part, id) in zip(parts.parts, pages) {
            let end = min(part.bytes.upperBound, adapter.byteCount)
            guard part.bytes.lowerBound < end else { continue }
            try upload.copy(
                adapter.memory, at: part.bytes.lowerBound, count: end - part.bytes.lowerBound,
                to: pool.place(of: id))
        }
        try settle(upload)
    }

    var pageIDs: [PagePool.ID] { pages }

    /// Where the table of updates is.
    var table: UInt64 { address(parts.tableOffset) }

    /// Writes the table anew when the pool has moved things since.
    func settle(_ upload: DeviceUpload) throws(DeviceError) {
        guard generation != pool.generation else { return }
        generation = pool.generation
        addresses = pages.map { pool.place(of: $0).address }
        let entries = relative.map(absolute)
        let index = parts.index(of: parts.tableOffset)
        let place = pool.place(of: pages[index])
        let offset = parts.tableOffset - parts.parts[index].bytes.lowerBound
        try upload.copy(entries, to: place.memory, at: place.offset + offset)
    }

    /// Where a row of a matrix that the adapter holds in RAM is on the device.
    func address(of matrix: Matrix, row: Int = 0) -> UInt64 {
        address(matrix.byteOffset + row * matrix.stride * MemoryLayout<Float>.stride)
    }

    func panels(_ matrix: PackedMatrix) -> DeviceWeights.Panels {
        DeviceWeights.Panels(matrix, at: address(matrix.byteOffset), element)
    }

    private func address(_ offset: Int) -> UInt64 {
        let index = parts.index(of: offset)
        let bytes = parts.parts[index].bytes
        precondition(bytes.contains(offset), "Outside the adapter.")
        return addresses[index] + UInt64(offset - bytes.lowerBound)
    }

    private static func relative(
        _ update: LowRankUpdate?, _ element: DeviceElement
    ) -> cmd_update {
        var entry = cmd_update()
        guard let update else { return entry }
        func place(_ offset: Int?) -> UInt64 { offset.map { UInt64($0 + 1) } ?? 0 }
        entry.shrink = place(update.shrink.byteOffset)
        entry.panels = UInt32(update.shrink.panelCount)
        func expansion(_ projection: Int) -> cmd_expansion {
            guard projection < update.expansions.count, let part = update.expansions[projection]
            else { return cmd_expansion() }
            return cmd_expansion(
                w: place(part.weights.byteOffset), gain: place(part.gain?.byteOffset),
                bias: place(part.bias?.byteOffset),
                words: UInt32(element.words(part.weights.paddedInputCount)),
                column: UInt32(part.column), scale: part.scale, unused: 0)
        }
        entry.expansions = (expansion(0), expansion(1), expansion(2))
        return entry
    }

    private func absolute(_ entry: cmd_update) -> cmd_update {
        func place(_ relative: UInt64) -> UInt64 {
            relative == 0 ? 0 : address(Int(relative) - 1)
        }
        func expansion(_ part: cmd_expansion) -> cmd_expansion {
            var part = part
            (part.w, part.gain, part.bias) = (place(part.w), place(part.gain), place(part.bias))
            return part
        }
        var entry = entry
        entry.shrink = place(entry.shrink)
        let parts = entry.expansions
        entry.expansions = (expansion(parts.0), expansion(parts.1), expansion(parts.2))
        return entry
    }

    /// Bytes of a table for a model.
    static func tableByteCount(_ c: ModelConfiguration) -> Int {
        (DeviceAdapter.headUpdate(c) + 1) * MemoryLayout<cmd_update>.stride
    }
}
