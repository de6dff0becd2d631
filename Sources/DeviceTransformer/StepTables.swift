internal import Adapters
internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// The rows of a pass that adapters change, as kernels find them.
struct AdaptedRows {
    /// Segments with what their adapters are on the device.
    let segments: [(rows: Range<Int>, adapter: DeviceAdapter, resident: ResidentAdapter)]
    /// Those that have weights in the base's place.
    let owners: [(rows: Range<Int>, own: OwnWeights, resident: ResidentAdapter)]
    /// The segments cut into pieces for a group each.
    let chunks: UInt64
    let chunkCount: Int
    /// Elements of the widest row that an adapter shrinks to.
    let shrinkWidth: Int
    /// Tokens at most whose rows of the head an adapter brings.
    let tokenCount: Int

    private static let chunkRows = 16

    init(
        _ segments: [Batch.Segment], _ residents: ResidentAdapters, _ arguments: StepArguments
    ) throws(DeviceError) {
        self.segments = segments.map { ($0.rows, $0.adapter, residents[$0.adapter]) }
        owners = self.segments.compactMap { segment in
            segment.adapter.own.map { (segment.rows, $0, segment.resident) }
        }
        var chunks: [cmd_chunk] = []
        for segment in self.segments {
            let rows = segment.rows
            for first in stride(
                from: rows.lowerBound, to: rows.upperBound, by: AdaptedRows.chunkRows)
            {
                chunks.append(
                    cmd_chunk(
                        updates: segment.resident.table, first_row: UInt32(first),
                        row_count: UInt32(min(AdaptedRows.chunkRows, rows.upperBound - first))))
            }
        }
        self.chunks = try arguments.append(chunks)
        chunkCount = chunks.count
        shrinkWidth = segments.reduce(0) { max($0, $1.adapter.table.shrinkWidth) }
        tokenCount = owners.reduce(0) { max($0, $1.own.headRows?.rows.outputCount ?? 0) }
    }

    /// Panels of the widest A at one site; 0 when no adapter changes it.
    func panelCount(_ update: Int) -> Int {
        segments.reduce(0) { max($0, $1.adapter.table.updates[update]?.shrink.panelCount ?? 0) }
    }

    /// For each row the norm that its adapter has in the base's place; 0 when no row has one.
    func norms(
        _ role: Checkpoint.Role, rowCount: Int, _ arguments: StepArguments
    ) throws(DeviceError) -> UInt64 {
        var addresses: [UInt64] = []
        for owner in owners {
            guard let norm = owner.own.norm(role) else { continue }
            if addresses.isEmpty { addresses = Array(repeating: 0, count: rowCount) }
            for row in owner.rows { addresses[row] = owner.resident.address(of: norm) }
        }
        return try arguments.append(addresses)
    }
}

extension Batch.Run {
    /// Blocks up to the run's last position.
    var blockCount: Int {
        (firstPosition + rows.count - 1) / KeyValueCache.blockPositions + 1
    }
}

/// What a step's kernels know of its rows.
struct StepTables {
    let rowCount: Int
    /// Where each row's embedding is.
    let sources: UInt64
    let changes: UInt64
    let changeCount: Int
    /// Each row's position and its sequence's blocks.
    let places: UInt64
    let adapted: AdaptedRows

    init(
        _ batch: Batch, _ embedding: DeviceWeights.Panels, _ cache: DeviceCache,
        _ residents: ResidentAdapters, _ arguments: StepArguments
    ) throws(DeviceError) {
        rowCount = batch.rowCount
        adapted = try AdaptedRows(batch.segments, residents, arguments)
        var sources = batch.tokens.map { token in
            cmd_source(table: embedding.address, place: UInt32(token), unused: 0)
        }
        var changes: [cmd_change] = []
        for owner in adapted.owners {
            for row in owner.rows {
                let token = batch.tokens[row]
                let (table, place, isChanged) = owner.own.embedding(of: token)
                if let table {
                    sources[row] = cmd_source(
                        table: owner.resident.panels(table).address, place: UInt32(place),
                        unused: 0)
                }
                guard isChanged, let change = owner.own.change else { continue }
                changes.append(
                    cmd_change(
                        a: owner.resident.address(of: change.a, row: Int(token)),
                        b: owner.resident.address(of: change.b),
                        gain: change.gain.map { owner.resident.address(of: $0) } ?? 0,
                        rank: UInt32(change.b.rowCount), scale: change.scale, row: UInt32(row),
                        b_stride: UInt32(change.b.stride)))
            }
        }
        self.sources = try arguments.append(sources)
        self.changes = try arguments.append(changes)
        changeCount = changes.count
        var places: [cmd_place] = []
        for run in batch.runs {
            let blocks = try arguments.append(
                run.blocks[..<run.blockCount].map(cache.address(of:)))
            for row in run.rows {
                places.append(
                    cmd_place(
                        blocks: blocks, position: UInt32(batch.positions[row]), unused: 0))
            }
        }
        self.places = try arguments.append(places)
    }
}
