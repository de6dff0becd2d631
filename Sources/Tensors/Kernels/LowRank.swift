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
    fileprivate let format: WeightFormat
    package let updates: [LowRankUpdate?]
    /// The widest shrink: columns of workspace that a step needs.
    package let shrinkWidth: Int
    package let byteCount: Int

    /// - Parameter updates: by layer and site, nil where the adapter changes nothing.
    package init(format: WeightFormat, updates: [LowRankUpdate?]) {
        self.updates = updates
        self.format = format
        shrinkWidth = updates.compactMap { $0?.shrink.outputCount }.max() ?? 0
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
                    for (place, part) in update.expansions.enumerated() {
                        guard let part else { continue }
                        unsafe parts[place] = LowRankTable.expansion(part)
                    }
                }
            }
            unsafe (entries + index).initialize(to: entry)
        }
    }

    deinit { unsafe entries.deallocate() }

    private static func expansion(_ part: LowRankUpdate.Expansion) -> cmk_expansion {
        for vector in [part.gain, part.bias] {
            vector?.check(rows: 0..<1, columns: 0..<part.weights.outputCount)
        }
        return unsafe cmk_expansion(
            w: part.weights.panel(0), in: part.weights.paddedInputCount, column: part.column,
            scale: part.scale, gain: part.gain.map { unsafe UnsafePointer($0.pointer(0, 0)) },
            bias: part.bias.map { unsafe UnsafePointer($0.pointer(0, 0)) })
    }
}

/// The rows of one step that have adapters, and how to apply them.
///
/// Threads share it: one splits rows between them to shrink and panels to expand.
@safe package final class LowRankStep: @unchecked Sendable {
    // Safety: written once, here; `tables` keeps alive what the segments point to.
    private let segments: UnsafeMutablePointer<cmk_segment>
    private let tables: [LowRankTable]
    private let kernels: KernelSet
    private let rowEnd: Int
    private let format: WeightFormat
    /// As in `LowRankTable`, over all adapters of the step.
    private let shapes: [Int]
    /// Columns of the widest shrink.
    package let shrinkWidth: Int

    /// - Parameter segments: rows and the adapter that they share, in ascending order of rows.
    package init(kernels: KernelSet, segments: [(rows: Range<Int>, table: LowRankTable)]) {
        self.kernels = kernels
        tables = segments.map(\.table)
        format = tables.first?.format ?? .f32
        shapes = LowRankStep.commonShapes(tables)
        precondition(
            zip(segments, segments.dropFirst()).allSatisfy {
                $0.rows.upperBound <= $1.rows.lowerBound
            }, "Segments overlap.")
        rowEnd = segments.last?.rows.upperBound ?? 0
        shrinkWidth = tables.map(\.shrinkWidth).max() ?? 0
        unsafe self.segments = .allocate(capacity: max(segments.count, 1))
        for (index, segment) in segments.enumerated() {
            unsafe (self.segments + index).initialize(
                to: cmk_segment(
                    first_row: segment.rows.lowerBound, row_count: segment.rows.count,
                    updates: segment.table.entries))
        }
    }

    deinit { unsafe segments.deallocate() }

    /// - Precondition: the adapters are for one model and in one format.
    private static func commonShapes(_ tables: [LowRankTable]) -> [Int] {
        guard var shapes = tables.first?.shapes else { return [] }
        for table in tables.dropFirst() {
            precondition(
                table.shapes.count == shapes.count && table.format == tables[0].format,
                "The adapters are not for one model.")
            for (index, size) in table.shapes.enumerated() where size != 0 {
                precondition(
                    shapes[index] == 0 || shapes[index] == size,
                    "The adapters are not for one model.")
                shapes[index] = size
            }
        }
        return shapes
    }

    private static let shapeCount = 1 + CMK_SITE_PROJECTIONS

    private func inputCount(_ update: Int) -> Int { shapes[update * LowRankStep.shapeCount] }

    /// Whether any adapter changes something at this layer and site.
    package func changes(_ update: Int) -> Bool { !shapes.isEmpty && inputCount(update) > 0 }

    private func step(_ update: Int, _ input: Activations) -> cmk_low_rank_step {
        unsafe cmk_low_rank_step(
            kernels: kernels.table, kind: cmk_kind(format, input.format), segments: segments,
            count: tables.count, update: update)
    }

    /// For some rows: shrunk = x · A, and rounded = s · shrunk in the format of activations.
    ///
    /// - Parameter update: layer and site.
    package func shrink(
        _ update: Int, rows: Range<Int>, input: Activations, into shrunk: Matrix,
        rounded: Activations
    ) {
        let rows = rows.clamped(to: 0..<rowEnd)
        guard !rows.isEmpty, changes(update) else { return }
        let inputCount = inputCount(update)
        input.check(rows: rows, columns: 0..<inputCount)
        shrunk.check(rows: rows, columns: 0..<shrinkWidth.roundedUp(toMultipleOf: Lanes.count))
        rounded.check(rows: rows, columns: 0..<shrinkWidth)
        var step = unsafe step(update, input)
        unsafe cmk_shrink(
            &step, rows.lowerBound, rows.upperBound, input.pointer(0, 0), input.stride, inputCount,
            shrunk.pointer(0, 0), shrunk.stride, rounded.pointer(0, 0), rounded.stride)
    }

    /// output[:, outputColumn...] += rounded · B for some panels of one projection, then gains and
    /// biases, for the rows that have an adapter.
    ///
    /// - Parameter outputCount: outputs of the projection.
    package func expand(
        _ update: Int, projection: Int, rounded: Activations, panels: Range<Int>, outputCount: Int,
        into output: Matrix, outputColumn: Int
    ) {
        guard !shapes.isEmpty, !panels.isEmpty else { return }
        let changed = shapes[update * LowRankStep.shapeCount + 1 + projection]
        guard changed > 0 else { return }
        rounded.check(rows: 0..<rowEnd, columns: 0..<shrinkWidth)
        output.check(
            rows: 0..<rowEnd, columns: outputColumn..<outputColumn + panels.count * Lanes.count)
        precondition(
            panels.lowerBound >= 0 && panels.upperBound * Lanes.count < outputCount + Lanes.count
                && changed == outputCount, "Shapes do not fit.")
        var step = unsafe step(update, rounded)
        unsafe cmk_expand(
            &step, projection, rounded.pointer(0, 0), rounded.stride, panels.lowerBound,
            panels.count,
            min(outputCount - panels.lowerBound * Lanes.count, panels.count * Lanes.count),
            output.pointer(0, outputColumn), output.stride)
    }
}
