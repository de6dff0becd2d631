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
    /// The updates with places in the pack instead of addresses.
    private let updates: [LowRankUpdate?]
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
        updates = adapter.table.updates
        for (part, id) in zip(parts.parts, pages) {
            let end = min(part.bytes.upperBound, adapter.byteCount)
            guard part.bytes.lowerBound < end else { continue }
            let place = pool.place(of: id)
            try adapter.memory.withBytes(part.bytes.lowerBound..<end) {
                (bytes) throws(DeviceError) in
                try upload.copy(bytes, to: place)
            }
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
        let entries = updates.map(entry)
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

    private func entry(_ update: LowRankUpdate?) -> cmd_update {
        var entry = cmd_update()
        guard let update else { return entry }
        entry.shrink = address(update.shrink.byteOffset)
        entry.panels = UInt32(update.shrink.panelCount)
        func expansion(_ projection: Int) -> cmd_expansion {
            guard projection < update.expansions.count, let part = update.expansions[projection]
            else { return cmd_expansion() }
            return cmd_expansion(
                w: address(part.weights.byteOffset), gain: part.gain.map { address(of: $0) } ?? 0,
                bias: part.bias.map { address(of: $0) } ?? 0,
                words: UInt32(element.words(part.weights.paddedInputCount)),
                column: UInt32(part.column), scale: part.scale, unused: 0)
        }
        entry.expansions = (expansion(0), expansion(1), expansion(2))
        return entry
    }

    /// Bytes of a table for a model.
    static func tableByteCount(_ c: ModelConfiguration) -> Int {
        (DeviceAdapter.headUpdate(c) + 1) * MemoryLayout<cmd_update>.stride
    }
}
