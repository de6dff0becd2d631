package import Adapters
internal import CMartletDevices
package import Devices
package import ModelFiles
package import StepModels
package import Tensors

/// The forward pass on a device: each step a list of kernels, with the step's rows in tables that they read.
///
/// A row's bits depend on its own sequence and adapter alone: every sum is in an order that follows from the
/// matrix, the position or the head, never from the rows that share the batch.
package final class DeviceModel: DrawingModel, @unchecked Sendable {
    // Safety: made by one thread and handed to the engine's, which alone uses it then.
    package let kernels: KernelSet
    package let vocabularySize: Int
    package var description: DeviceDescription { device.description }
    private let team: WorkerTeam
    let configuration: ModelConfiguration
    let device: Device
    let element: DeviceElement
    let form: ProductForm
    let weights: DeviceWeights
    private(set) var cache: DeviceCache
    private let pool: DevicePool
    let workspace: DeviceWorkspace
    let arguments: StepArguments
    private let upload: DeviceUpload
    private(set) var residents: ResidentAdapters
    /// (positions, head dimension), see `ModelConfiguration.angles`.
    let angles: DeviceBuffer
    private let maximumRows: Int
    private let maximumContext: Int
    /// What shrunk rows take, as wide as a step so far wanted it.
    private var shrunk: DeviceBuffer?
    /// Logits of tokens whose rows an adapter brings.
    private var tokenLogits: DeviceBuffer?
    /// The host's, for hidden states that it is asked for.
    private let finalNorm: Matrix
    private let logitRows: Matrix
    private let sumRows: Matrix
    /// The rows that the last pass went on with.
    private var lastHidden: DeviceRows

    /// - Parameters:
    ///   - weights: in f32 or bf16. Of no use to the model when it is made.
    ///   - adapterFormat, activations: the weights' own format.
    ///   - blockCount: of the cache, at most; how many there are at a time is a matter of the pool.
    ///   - poolByteCount: what blocks and adapters share.
    ///   - form: of base products; the best unless a test wants another.
    ///   - team: what the host's side of choosing tokens runs on.
    ///   - maximumRows: rows of the largest batch.
    ///   - maximumContext: positions of the longest sequence.
    /// - Throws: `DeviceError` with `unsupported` for other formats and for heads beyond 512.
    package init(
        weights: ModelWeights, adapterFormat: WeightFormat, activations: ComputeFormat,
        blockCount: Int, poolByteCount: Int, device: Device, kernels: KernelSet, team: WorkerTeam,
        maximumRows: Int,
        maximumContext: Int, form: ProductForm? = nil
    ) throws(DeviceError) {
        let c = weights.configuration
        element = try DeviceModel.element(weights.format, adapterFormat, activations)
        try DeviceModel.checkFamily(c)
        guard c.headDimension <= DeviceModel.largestHead else {
            throw DeviceError(
                .unsupported,
                "attention on a GPU has heads of at most \(DeviceModel.largestHead), and this model has \(c.headDimension)"
            )
        }
        configuration = c
        self.device = device
        self.kernels = kernels
        self.team = team
        self.maximumRows = maximumRows
        self.maximumContext = maximumContext
        vocabularySize = c.vocabularySize
        self.form = form ?? ProductForm.best(device.description, element)
        precondition(
            self.form.isThere(on: device.description, element), "The device has no such products.")
        try device.prepare(DeviceModel.kernels(self.form), element)
        upload = try DeviceUpload(device)
        self.weights = try DeviceWeights(weights, on: device, element: element, upload: upload)
        pool = try DevicePool(
            device, byteCount: poolByteCount, pageByteCount: DeviceCache.blockByteCount(c, element))
        cache = DeviceCache(c, element: element, blockCount: blockCount, pool: pool)
        workspace = try DeviceWorkspace(
            weights, element: element, rowCount: maximumRows, on: device)
        arguments = try StepArguments(device)
        residents = ResidentAdapters(
            device, pool: pool, element: element, upload: upload,
            tableByteCount: ResidentAdapter.tableByteCount(c))
        lastHidden = workspace.hidden
        finalNorm = weights.finalNorm
        logitRows = Matrix(rowCount: mostLogitRows, columnCount: c.vocabularySize)
        sumRows = Matrix(rowCount: mostLogitRows, columnCount: workspace.blockCount)
        angles = try DeviceModel.angles(c, maximumContext, device, upload)
    }

    private static let largestHead = 512

    /// Kernels have Llama's form, with norms of each head or without.
    ///
    /// - Throws: `DeviceError` with `unsupported` where a model's family wants something else.
    package static func checkFamily(_ c: ModelConfiguration) throws(DeviceError) {
        var departures = c.departures
        if departures.headNorms == .each { departures.headNorms = .none }
        guard departures == Departures() else {
            throw DeviceError(
                .unsupported,
                "models of the family \(c.family.name) do not run on a GPU yet: give --device cpu")
        }
    }

    private static func kernels(_ form: ProductForm) -> [cmd_kernel] {
        (0..<CMD_KERNEL_COUNT.rawValue).map { cmd_kernel(rawValue: $0) }
            .filter { $0 == form.kernel || !ProductForm.kernels.contains($0) }
    }

    /// What kernels multiply, if they do.
    package static func element(
        _ weights: WeightFormat, _ adapters: WeightFormat, _ activations: ComputeFormat
    ) throws(DeviceError) -> DeviceElement {
        switch (weights, adapters, activations) {
        case (.f32, .f32, .f32): return .f32
        case (.bf16, .bf16, .bf16): return .bf16
        default:
            throw DeviceError(
                .unsupported,
                "a GPU multiplies weights, adapters and activations that are all in bf16 or all in f32; these are in \(weights.rawValue), \(adapters.rawValue) and \(activations.rawValue)"
            )
        }
    }

    /// Rows close together, as kernels want them.
    private static func angles(
        _ c: ModelConfiguration, _ positionCount: Int, _ device: Device, _ upload: DeviceUpload
    ) throws(DeviceError) -> DeviceBuffer {
        let matrix = c.angles(positionCount: positionCount)
        let rows = (0..<positionCount).flatMap(matrix.row)
        let memory = try DeviceBuffer(rows.count * 4, on: .device, of: device)
        try upload.copy(rows, to: memory)
        return memory
    }

    // MARK: A step

    package func forward(
        _ batch: Batch, wanting wanted: [Int]
    ) throws(StepFailure) -> WantedRows {
        precondition(batch.rowCount <= maximumRows, "The batch has too many rows.")
        precondition(
            zip(wanted, wanted.dropFirst()).allSatisfy(<)
                && wanted.allSatisfy { (0..<batch.rowCount).contains($0) }, "Not rows of the batch."
        )
        precondition(
            batch.positions.allSatisfy { $0 < maximumContext }
                && batch.tokens.allSatisfy { $0 >= 0 && $0 < vocabularySize },
            "Tokens or positions that there are not.")
        let rows = WantedRows(count: wanted.count, segments: batch.segments(of: wanted))
        var refused: AdapterDigest?
        try failing { () throws(DeviceError) in
            // The last step's tables are free when it is done.
            try device.wait()
            arguments.removeAll()
            refused = try takePages(batch)
            guard refused == nil else { return }
            let tables = try StepTables(batch, weights.embedding, cache, residents, arguments)
            let last = try AdaptedRows(rows.segments, residents, arguments)
            let shrunk = try shrunk(
                words: element.words(max(tables.adapted.shrinkWidth, last.shrinkWidth)))
            let isNarrowed = wanted.count < batch.rowCount
            let wantedRows = try arguments.append(isNarrowed ? wanted.map(UInt32.init) : [])
            lastHidden = isNarrowed ? workspace.lastHidden : workspace.hidden
            let narrowing = Narrowing(
                count: wanted.count, rows: wantedRows, adapted: last, isNeeded: isNarrowed)
            try device.submit { (recorder) throws(DeviceError) in
                try LayerRecorder(
                    model: self, recorder: recorder, tables: tables, shrunk: shrunk
                ).record(narrowing)
            }
        }
        if let refused { throw StepFailure.noPages(refused) }
        return rows
    }

    /// Everything of a step gets its pages, adapters first: they need some side by side. What moves for that is
    /// found where it is by the tables that are made afterwards.
    ///
    /// - Returns: an adapter that has no place.
    private func takePages(_ batch: Batch) throws(DeviceError) -> AdapterDigest? {
        let adapters = batch.segments.map(\.adapter)
        if let refused = try residents.bring(adapters) { return refused }
        try residents.waitForAll()
        for run in batch.runs {
            try cache.use(run.blocks[..<run.blockCount]) { () throws(DeviceError) in
                try residents.take(1)
            }
        }
        try residents.settle(adapters)
        return nil
    }

    /// The rows with which the last layer goes on from its keys and values.
    struct Narrowing {
        var count: Int
        /// Which they are.
        var rows: UInt64
        var adapted: AdaptedRows
        /// Not all rows are wanted.
        var isNeeded: Bool
    }

    package func logits(
        of rows: Range<Int>, in wanted: WantedRows, peaksOnly: Bool
    ) throws(StepFailure) -> (logits: Matrix, peaks: [LogitPeak]) {
        let peaks = try record(rows, in: wanted) { () in peaksOnly ? .peaks : .logits }
        if !peaksOnly {
            read(workspace.hostLogits, stride: workspace.logits.stride, rows.count, into: logitRows)
        }
        return (logitRows, peaks)
    }

    package func weigh(
        _ rows: Range<Int>, in wanted: WantedRows, inverseTemperatures: [Float]
    ) throws(StepFailure) -> (sums: Matrix, peaks: [LogitPeak]) {
        precondition(inverseTemperatures.count == rows.count, "A row has one temperature.")
        let peaks = try record(rows, in: wanted) { () throws(DeviceError) in
            .weights(try arguments.append(inverseTemperatures))
        }
        read(workspace.hostSums, stride: workspace.blockCount, rows.count, into: sumRows)
        return (sumRows, peaks)
    }

    package func weights(of blocks: [WeightBlock]) throws(StepFailure) -> [Float] {
        precondition(blocks.count <= mostLogitRows * workspace.blockCount, "Too many blocks.")
        guard !blocks.isEmpty else { return [] }
        let size = KernelSet.sumBlock
        try bring(
            blocks.map { UInt32($0.row * workspace.blockCount + $0.block) },
            of: DeviceRows(address: workspace.logits.address, stride: size), count: size,
            to: workspace.hostLogits)
        return workspace.hostLogits.read(Float.self, count: blocks.count * size)
    }

    /// Computes the logits of some wanted rows, for whatever the host wants of them.
    private func record(
        _ rows: Range<Int>, in wanted: WantedRows,
        for use: () throws(DeviceError) -> HeadRecorder.Use
    ) throws(StepFailure) -> [LogitPeak] {
        precondition(rows.count <= mostLogitRows, "Too many logit rows.")
        precondition(rows.lowerBound >= 0 && rows.upperBound <= wanted.count, "Nobody wanted them.")
        guard !rows.isEmpty else { return [] }
        try failing { () throws(DeviceError) in
            let use = try use()
            let adapted = try AdaptedRows(wanted.segments(in: rows), residents, arguments)
            let shrunk = try shrunk(words: element.words(adapted.shrinkWidth))
            let tokenLogits = try tokenLogits(
                columns: adapted.tokenCount.roundedUp(toMultipleOf: Lanes.count))
            try device.submit { (recorder) throws(DeviceError) in
                try HeadRecorder(
                    model: self, recorder: recorder, adapted: adapted, rowCount: rows.count,
                    shrunk: shrunk, tokenLogits: tokenLogits
                ).record(lastHidden.from(rows.lowerBound), for: use)
            }
            try device.wait()
        }
        return workspace.hostPeaks.read(cmd_peak.self, count: rows.count).map {
            LogitPeak(maximum: $0.maximum, column: Int($0.index))
        }
    }

    /// The host normalizes them, in 32 bits.
    package func hiddenStates(
        of rows: Range<Int>, in wanted: WantedRows
    ) throws(StepFailure) -> Matrix {
        precondition(rows.count <= mostLogitRows, "Too many rows.")
        precondition(rows.lowerBound >= 0 && rows.upperBound <= wanted.count, "Nobody wanted them.")
        let count = configuration.hiddenSize
        let states = Matrix(rowCount: rows.count, columnCount: count)
        guard !rows.isEmpty else { return states }
        try bring(rows.map(UInt32.init), of: lastHidden, count: count, to: workspace.hostHidden)
        read(workspace.hostHidden, stride: count, rows.count, into: states)
        let segments = wanted.segments(in: rows)
        for row in 0..<rows.count {
            kernels.rmsNormInPlace(
                states, row: row, column: 0,
                weight: segments.own(ofRow: row)?.norm(.finalNorm) ?? finalNorm,
                epsilon: configuration.normEpsilon)
        }
        return states
    }

    /// Copies some rows of numbers into the host's memory, one after another, and waits for them.
    private func bring(
        _ places: [UInt32], of rows: DeviceRows, count: Int, to memory: DeviceBuffer
    ) throws(StepFailure) {
        try failing { () throws(DeviceError) in
            let places = (address: try arguments.append(places), count: places.count)
            try device.submit { recorder in
                recorder.gather(
                    rows, rows: places.address, count: places.count, words: count,
                    into: DeviceRows(address: memory.address, stride: count), element)
                recorder.barrier()
            }
            try device.wait()
        }
    }

    /// The first rows of a matrix from the host's memory.
    private func read(_ memory: DeviceBuffer, stride: Int, _ rowCount: Int, into matrix: Matrix) {
        for row in 0..<rowCount {
            memory.withBytes(row * stride * 4, matrix.columnCount * 4) {
                matrix.setRow(row, bytes: $0)
            }
        }
    }

    private func failing(_ body: () throws(DeviceError) -> Void) throws(StepFailure) {
        do throws(DeviceError) { try body() } catch { throw StepFailure(error.description) }
    }

    // MARK: What grows with what steps want

    /// Rows for what adapters shrink a batch's to.
    func shrunk(words: Int) throws(DeviceError) -> DeviceRows {
        let rows = max(maximumRows, mostLogitRows)
        return try rowsGrown(&shrunk, rows, words)
    }

    func tokenLogits(columns: Int) throws(DeviceError) -> DeviceRows {
        try rowsGrown(&tokenLogits, mostLogitRows, columns)
    }

    private func rowsGrown(
        _ memory: inout DeviceBuffer?, _ count: Int, _ stride: Int
    ) throws(DeviceError) -> DeviceRows {
        if let memory, memory.byteCount >= count * stride * 4 {
            return DeviceRows(address: memory.address, stride: stride)
        }
        let grown = try DeviceBuffer(count * stride * 4, on: .device, of: device)
        memory = grown
        return DeviceRows(address: grown.address, stride: stride)
    }

    // MARK: The engine's other questions

    package var memberCount: Int { team.memberCount }

    package func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {
        team.run { member in
            for index in team.share(of: count, for: member) { work(member, index) }
        }
    }

    package func cacheByteCount(blockCount: Int) -> Int {
        cache.usedCount * pool.pageByteCount
    }

    package func free(_ blocks: [Int32]) { cache.free(blocks) }

    package func keep(_ adapters: Set<AdapterDigest>) { residents.keep(adapters) }

    package func bring(_ adapters: [DeviceAdapter]) throws(StepFailure) -> Set<AdapterDigest> {
        if let other = adapters.first(where: { $0.vocabularySize != vocabularySize }) {
            throw StepFailure("the adapter has another vocabulary", adapter: other.digest)
        }
        var refused: AdapterDigest?
        var coming: Set<AdapterDigest> = []
        try failing { () throws(DeviceError) in
            refused = try residents.bring(adapters)
            coming = try residents.onTheirWay()
        }
        if let refused { throw StepFailure.noPages(refused) }
        return coming
    }

    package func waitForAdapter() throws(StepFailure) {
        try failing { () throws(DeviceError) in try residents.waitForOne() }
    }

    deinit { upload.stop() }

    /// The pages of a model's pool, and what an adapter's table takes in them.
    package static func paging(
        _ c: ModelConfiguration, _ element: DeviceElement, on device: DeviceDescription
    ) -> (pageByteCount: Int, tableByteCount: Int, pagesPerPiece: Int) {
        let page = DeviceCache.blockByteCount(c, element)
        return (
            page, ResidentAdapter.tableByteCount(c),
            DevicePool.pagesPerPiece(device, pageByteCount: page)
        )
    }

    /// About what a step's rows take, beside weights and the pool.
    package static func workspaceByteCount(_ c: ModelConfiguration, rowCount: Int) -> Int {
        let keyWidth = c.keyValueHeadCount * c.headDimension
        let row = 4 * c.hiddenSize + 3 * c.queryWidth + 2 * keyWidth + 3 * c.intermediateSize
        return 4 * (rowCount * row + mostLogitRows * c.vocabularySize)
    }

    package var deviceUsage: DeviceUsage? {
        var usage = DeviceUsage(pageCount: pool.pageCount, freePageCount: pool.freePageCount)
        usage.uploadCount = residents.uploadCount
        usage.uploadByteCount = residents.uploadByteCount
        usage.uploadSeconds = residents.uploadDuration / .seconds(1)
        return usage
    }
}

extension StepFailure {
    fileprivate static func noPages(_ adapter: AdapterDigest) -> StepFailure {
        StepFailure("the device has no pages side by side for an adapter", adapter: adapter)
    }
}
