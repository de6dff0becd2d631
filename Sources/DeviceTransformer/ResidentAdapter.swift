internal import Adapters
internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// An adapter on a device: its pack as it is in RAM, cut into pages of the pool, and behind it the table by which kernels
/// find its matrices.
final class ResidentAdapter {
    private let pages: [PagePool.ID]
    private let pool: DevicePool
    private let element: DeviceElement
    /// Where each part is, as of a generation of the pool.
    private var places: Places
    private var generation: Int
    /// The table with places in the pack, and 1 more, instead of addresses; 0 is nothing. Numbers alone: the pack in
    /// RAM may go.
    private let relative: [cmd_update]
    /// The step that last used it.
    var lastStep = 0
    /// Uploads are done in the order of these.
    var number = 0
    private let upload: Upload

    /// Begins to bring it onto the device.
    ///
    /// - Parameter pages: as many and as many side by side as `parts` says. No step that has not been waited for
    ///   reaches them.
    init(
        _ adapter: DeviceAdapter, parts: AdapterParts, pages: [PagePool.ID], of pool: DevicePool,
        element: DeviceElement, upload: DeviceUpload
    ) {
        self.pages = pages
        self.pool = pool
        self.element = element
        generation = pool.generation
        let places = Places(parts: parts, places: pages.map { pool.place(of: $0) })
        self.places = places
        let relative = adapter.table.updates.map { ResidentAdapter.relative($0, element) }
        self.relative = relative
        self.upload = upload.begin { (lane) throws(DeviceError) in
            for (part, place) in zip(parts.parts, places.places) {
                let end = min(part.bytes.upperBound, adapter.byteCount)
                guard part.bytes.lowerBound < end else { continue }
                let bytes = part.bytes.lowerBound..<end
                try adapter.memory.withBytes(bytes) { (bytes) throws(DeviceError) in
                    try lane.copy(bytes, to: place.memory, at: place.offset)
                }
            }
            let table = places.table
            try lane.copy(
                relative.map(places.absolute), to: table.memory, at: table.offset)
        }
    }

    /// How long it took to bring it, or nil while it is on its way.
    func uploadDuration() throws(DeviceError) -> Duration? { try upload.duration() }

    func waitForUpload() throws(DeviceError) { try upload.wait() }

    var pageIDs: [PagePool.ID] { pages }

    /// Where the table of updates is.
    var table: UInt64 { places.table.address }

    /// Writes the table anew when the pool has moved things since.
    func settle(_ upload: DeviceUpload) throws(DeviceError) {
        guard generation != pool.generation else { return }
        generation = pool.generation
        places = Places(parts: places.parts, places: pages.map { pool.place(of: $0) })
        let table = places.table
        try upload.copy(relative.map(places.absolute), to: table.memory, at: table.offset)
    }

    /// Where a row of a matrix that the adapter holds in RAM is on the device.
    func address(of matrix: Matrix, row: Int = 0) -> UInt64 {
        places.address(matrix.byteOffset + row * matrix.stride * MemoryLayout<Float>.stride)
    }

    func panels(_ matrix: PackedMatrix) -> DeviceWeights.Panels {
        DeviceWeights.Panels(matrix, at: places.address(matrix.byteOffset), element)
    }

    /// Where the parts of a pack are on the device.
    private struct Places: Sendable {
        let parts: AdapterParts
        let places: [DevicePlace]

        /// Where the table of updates is.
        var table: DevicePlace {
            let index = parts.index(of: parts.tableOffset)
            let (place, first) = (places[index], parts.parts[index].bytes.lowerBound)
            return DevicePlace(
                memory: place.memory, offset: place.offset + parts.tableOffset - first,
                byteCount: place.byteCount - (parts.tableOffset - first))
        }

        func address(_ offset: Int) -> UInt64 {
            let index = parts.index(of: offset)
            let bytes = parts.parts[index].bytes
            precondition(bytes.contains(offset), "Outside the adapter.")
            return places[index].address + UInt64(offset - bytes.lowerBound)
        }

        /// An entry with addresses instead of places.
        func absolute(_ entry: cmd_update) -> cmd_update {
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

    /// Bytes of a table for a model.
    static func tableByteCount(_ c: ModelConfiguration) -> Int {
        (DeviceAdapter.headUpdate(c) + 1) * MemoryLayout<cmd_update>.stride
    }
}
