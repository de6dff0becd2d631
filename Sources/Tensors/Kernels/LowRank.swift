internal import CMartletKernels

/// An adapter's part where several projections read one input x: y += s · (x · A) · B for each.
package struct LowRankUpdate: Sendable {
    /// The A matrices of the projections one below the other: x · A for all of them at once.
    package var shrink: PackedMatrix
    /// By the projection's place at its site; nil where the adapter changes nothing.
    package var expansions: [Expansion?]

    /// What brings one projection's part of the shrunk input back to its outputs.
    package struct Expansion: Sendable {
        /// Where its columns begin in the shrunk input.
        package var column: Int
        package var scale: Float
        /// B, (outputs, rank).
        package var weights: PackedMatrix
        /// DoRA: what multiplies base and change together, one row of outputs.
        package var gain: Matrix?
        /// scale · bias, one row of outputs.
        package var bias: Matrix?

        package init(
            column: Int, scale: Float, weights: PackedMatrix, gain: Matrix?, bias: Matrix?
        ) {
            self.column = column
            self.scale = scale
            self.weights = weights
            self.gain = gain
            self.bias = bias
        }
    }

    package init(shrink: PackedMatrix, expansions: [Expansion?]) {
        self.shrink = shrink
        self.expansions = expansions
    }

    package var byteCount: Int {
        expansions.reduce(shrink.byteCount) { sum, expansion in
            guard let expansion else { return sum }
            let vectors = (expansion.gain == nil ? 0 : 1) + (expansion.bias == nil ? 0 : 1)
            return sum + expansion.weights.byteCount + vectors * expansion.weights.outputCount * 4
        }
    }
}

/// All updates of an adapter as the kernels read them: addresses, without reference counts, which
/// would cost more than the arithmetic of a row.
@safe package final class LowRankTable: @unchecked Sendable {
    // Safety: the table is written once, here, and `updates` keeps alive what it points to.
    fileprivate let entries: UnsafeMutablePointer<cmk_low_rank>
    /// For each update the inputs, then the outputs of each projection; 0 where nothing changes.
    fileprivate let shapes: [Int]
    package let format: WeightFormat
    package let updates: [LowRankUpdate?]
    /// The widest shrink: columns of workspace that a step needs.
    package let shrinkWidth: Int
    /// The widest input of expansions, see `ShrunkInput.width`.
    package let roundedWidth: Int
    package let byteCount: Int

    /// - Parameter updates: by layer and site, nil where the adapter changes nothing.
    package init(format: WeightFormat, updates: [LowRankUpdate?]) {
        self.updates = updates
        self.format = format
        shrinkWidth = updates.compactMap { $0?.shrink.outputCount }.max() ?? 0
        roundedWidth = updates.compactMap { $0.map(LowRankTable.places)?.last }.max() ?? 0
        byteCount = updates.reduce(0) { $0 + ($1?.byteCount ?? 0) }
        shapes = updates.flatMap { update in
            [update?.shrink.paddedInputCount ?? 0]
                + (0..<CMK_SITE_PROJECTIONS).map { projection in
                    guard let parts = update?.expansions, projection < parts.count else { return 0 }
                    return parts[projection]?.weights.outputCount ?? 0
                }
        }
        unsafe entries = .allocate(capacity: max(updates.count, 1))
        for (index, update) in updates.enumerated() {
            var entry = unsafe cmk_low_rank()
            if let update {
                precondition(
                    update.shrink.format == format
                        && update.expansions.count <= CMK_SITE_PROJECTIONS,
                    "Not an update of this adapter.")
                unsafe entry.shrink = UnsafeRawPointer(update.shrink.panel(0))
                unsafe entry.panels = update.shrink.panelCount
                unsafe withUnsafeMutableBytes(of: &entry.expansions) { bytes in
                    let parts = unsafe bytes.assumingMemoryBound(to: cmk_expansion.self)
                    let places = LowRankTable.places(update)
                    for (index, part) in update.expansions.enumerated() {
                        guard let part else { continue }
                        unsafe parts[index] = LowRankTable.expansion(part, place: places[index])
                    }
                }
            }
            unsafe (entries + index).initialize(to: entry)
        }
    }

    deinit { unsafe entries.deallocate() }

    /// Where each projection's part of a `ShrunkInput` begins, and where the last one ends.
    private static func places(_ update: LowRankUpdate) -> [Int] {
        var places = [0]
        for part in update.expansions {
            let rank = part?.weights.paddedInputCount ?? 0
            let width = update.shrink.format.isQuantized ? cmk_quantized_term_bytes(rank) : rank
            places.append((places.last ?? 0) + width)
        }
        return places
    }

    private static func expansion(_ part: LowRankUpdate.Expansion, place: Int) -> cmk_expansion {
        for vector in [part.gain, part.bias] {
            vector?.check(rows: 0..<1, columns: 0..<part.weights.outputCount)
        }
        return unsafe cmk_expansion(
            w: part.weights.panel(0), panels: part.weights.panelCount,
            in: part.weights.paddedInputCount, column: part.column, place: place,
            scale: part.scale,
            gain: part.gain.map { unsafe UnsafePointer($0.pointer(0, 0)) },
            bias: part.bias.map { unsafe UnsafePointer($0.pointer(0, 0)) })
    }
}

/// The rows of one step that have adapters, and how to apply them; filled anew for each step.
///
/// Threads share it while nobody fills it: one splits rows between them to shrink and panels to expand.
@safe package final class LowRankStep: @unchecked Sendable {
    // Safety: changed only while no other thread uses it; `tables` keeps alive what the segments point
    // to, of which there are as many as tables and never more than `capacity`.
    private let segments: UnsafeMutablePointer<cmk_segment>
    private let capacity: Int
    private var tables: [LowRankTable] = []
    private let kernels: KernelSet
    private var rowEnd = 0
    package private(set) var format = WeightFormat.f32
    /// As in `LowRankTable`, over all adapters of the step: the largest, where they have heads of several sizes.
    private var shapes: [Int] = []
    /// Columns of the widest shrink, and the width of what it hands to expansions.
    package private(set) var shrinkWidth = 0
    package private(set) var roundedWidth = 0

    /// - Parameter capacity: segments at most.
    package init(kernels: KernelSet, capacity: Int) {
        self.kernels = kernels
        self.capacity = capacity
        unsafe segments = .allocate(capacity: capacity)
    }

    deinit { unsafe segments.deallocate() }

    /// Begins a step without adapters; nothing of the last one is kept alive.
    package func removeAll() {
        tables.removeAll(keepingCapacity: true)
        shapes.removeAll(keepingCapacity: true)
        (rowEnd, shrinkWidth, roundedWidth) = (0, 0, 0)
    }

    /// Begins other rows of the same step.
    package func removeRows() {
        tables.removeAll(keepingCapacity: true)
        rowEnd = 0
    }

    /// Adds rows that share an adapter.
    ///
    /// - Parameter isKnown: whether the step has had the adapter.
    /// - Precondition: the rows come after those before, and the adapters are for one model and in one
    ///   format.
    package func append(rows: Range<Int>, table: LowRankTable, isKnown: Bool = false) {
        precondition(
            tables.count < capacity && rows.lowerBound >= rowEnd, "Segments overlap.")
        precondition(
            shapes.isEmpty || table.format == format, "The adapters are in different formats.")
        if !isKnown { add(table.shapes) }
        format = table.format
        unsafe (segments + tables.count).initialize(
            to: cmk_segment(
                first_row: rows.lowerBound, row_count: rows.count, updates: table.entries))
        tables.append(table)
        rowEnd = rows.upperBound
        shrinkWidth = max(shrinkWidth, table.shrinkWidth)
        roundedWidth = max(roundedWidth, table.roundedWidth)
    }

    private func add(_ own: [Int]) {
        if shapes.isEmpty { return shapes.append(contentsOf: own) }
        precondition(own.count == shapes.count, "The adapters are not for one model.")
        for (index, size) in own.enumerated() where size != 0 {
            precondition(
                shapes[index] == 0 || shapes[index] == size
                    || !index.isMultiple(of: LowRankStep.shapeCount),
                "The adapters are not for one model.")
            shapes[index] = max(shapes[index], size)
        }
    }

    private static let shapeCount = 1 + CMK_SITE_PROJECTIONS

    private func inputCount(_ update: Int) -> Int { shapes[update * LowRankStep.shapeCount] }

    /// Whether any adapter changes something at this layer and site.
    package func changes(_ update: Int) -> Bool { !shapes.isEmpty && inputCount(update) > 0 }

    private func step(_ update: Int, _ activations: ComputeFormat) -> cmk_low_rank_step {
        unsafe cmk_low_rank_step(
            kernels: kernels.table,
            kind: format == .q8 ? CMK_Q8 : cmk_kind(format, activations), segments: segments,
            count: tables.count, update: update)
    }

    private func check(_ rounded: ShrunkInput, rows: Range<Int>, _ activations: ComputeFormat) {
        precondition(
            rows.upperBound <= rounded.rowCount && roundedWidth <= rounded.width
                && rounded.activations == activations, "Outside the shrunk input.")
    }

    /// For some rows: shrunk = s · x · A, and rounded = shrunk as expansions multiply it.
    ///
    /// - Parameters:
    ///   - update: layer and site.
    ///   - input: finished for these rows (`KernelSet.finish`) if the adapters are quantized.
    package func shrink(
        _ update: Int, rows: Range<Int>, input: ProductInput, into shrunk: Matrix,
        rounded: ShrunkInput
    ) {
        let rows = rows.clamped(to: 0..<rowEnd)
        guard !rows.isEmpty, changes(update) else { return }
        let (values, inputCount) = (input.values, inputCount(update))
        values.check(rows: rows, columns: 0..<inputCount)
        shrunk.check(rows: rows, columns: 0..<shrinkWidth.roundedUp(toMultipleOf: Lanes.count))
        check(rounded, rows: rows, values.format)
        var step = unsafe step(update, values.format)
        var (x, stride) = unsafe (values.pointer(0, 0), values.stride)
        if format.isQuantized {
            guard let quantized = input.quantized, rows.upperBound <= quantized.rowCount,
                quantized.columnCount.roundedUp(toMultipleOf: format.inputMultiple) == inputCount
            else { preconditionFailure("Quantized adapters want quantized rows.") }
            unsafe (x, stride) = (quantized.pointer(0), quantized.rowByteCount)
        }
        unsafe cmk_shrink(
            &step, rows.lowerBound, rows.upperBound, x, stride, inputCount, shrunk.pointer(0, 0),
            shrunk.stride, rounded.base, rounded.stride)
    }

    /// output[:, outputColumn...] += rounded · B for some panels of one projection, then gains and
    /// biases, for the rows that have an adapter, as far as its B goes.
    ///
    /// - Parameters:
    ///   - rows: nil for all.
    ///   - outputCount: outputs of the projection, no fewer than any adapter's.
    package func expand(
        _ update: Int, projection: Int, rows: Range<Int>? = nil, rounded: ShrunkInput,
        panels: Range<Int>, outputCount: Int, into output: Matrix, outputColumn: Int
    ) {
        let rows = (rows ?? 0..<rowEnd).clamped(to: 0..<rowEnd)
        guard !shapes.isEmpty, !panels.isEmpty, !rows.isEmpty else { return }
        let changed = shapes[update * LowRankStep.shapeCount + 1 + projection]
        guard changed > 0 else { return }
        check(rounded, rows: rows, rounded.activations)
        output.check(
            rows: rows, columns: outputColumn..<outputColumn + panels.count * Lanes.count)
        precondition(
            panels.lowerBound >= 0 && panels.upperBound * Lanes.count < outputCount + Lanes.count
                && changed <= outputCount, "Shapes do not fit.")
        var step = unsafe step(update, rounded.activations)
        unsafe cmk_expand(
            &step, projection, rows.lowerBound, rows.upperBound, rounded.base, rounded.stride,
            panels.lowerBound, panels.count,
            min(outputCount - panels.lowerBound * Lanes.count, panels.count * Lanes.count),
            output.pointer(0, outputColumn), output.stride)
    }
}
