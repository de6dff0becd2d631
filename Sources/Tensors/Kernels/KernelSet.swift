internal import CMartletKernels
internal import Glibc

/// The arithmetic of one instruction set: the C kernels behind methods that check shapes.
///
/// All sets return the same bits (see CMartletKernels.h); they differ in speed. Every method works
/// on the calling thread alone.
@safe package struct KernelSet: @unchecked Sendable {
    // Safety: the table is a constant of the C target.
    let table: UnsafePointer<cmk_kernels>

    /// What this processor can run, best first; the last is the scalar set, the specification.
    package static var available: [KernelSet] {
        var sets: [KernelSet] = []
        guard var next = unsafe cmk_available_kernels() else { return sets }
        while let table = unsafe next.pointee {
            sets.append(unsafe KernelSet(table: table))
            unsafe next += 1
        }
        return sets
    }

    /// The best set, or the one named by the environment variable MARTLET_KERNELS: for tests and
    /// for telling a kernel's fault from the machine's.
    ///
    /// - Throws: `UnknownKernelSet` when the variable names a set that this processor lacks.
    package static func best() throws(UnknownKernelSet) -> KernelSet {
        let sets = available
        guard let value = unsafe getenv("MARTLET_KERNELS") else { return sets[0] }
        let name = unsafe String(cString: value)
        guard let set = sets.first(where: { $0.name == name }) else {
            throw UnknownKernelSet(name: name, available: sets.map(\.name))
        }
        return set
    }

    package var name: String { unsafe String(cString: table.pointee.name) }
}

/// MARTLET_KERNELS names a kernel set that this processor cannot run.
package struct UnknownKernelSet: Error, CustomStringConvertible {
    package let name: String
    package let available: [String]

    package var description: String {
        "MARTLET_KERNELS is \"\(name)\"; this processor has \(available.joined(separator: ", "))"
    }
}

// MARK: Matrix products

/// The panels that a thread multiplies next, fetched while it finishes what it is at.
package struct Upcoming {
    package let weights: PackedMatrix
    package let panel: Int

    package init(weights: PackedMatrix, panel: Int) {
        precondition(panel >= 0 && panel < weights.panelCount, "No such panel.")
        self.weights = weights
        self.panel = panel
    }
}

extension KernelSet {
    /// output[rows, outputColumn...] = input[rows, inputColumn...] · weightsᵀ for some panels of the
    /// weights, or += when `accumulate`.
    ///
    /// - Parameters:
    ///   - rows: rows of both input and output.
    ///   - inputColumn: first input column, even for bf16.
    ///   - panels: panels of the weights to compute; the first lands at `outputColumn`.
    ///   - next: what to fetch at the end; nil for the panels behind the last.
    package func multiply(
        _ input: Activations, rows: Range<Int>, inputColumn: Int = 0, by weights: PackedMatrix,
        panels: Range<Int>, into output: Matrix, outputColumn: Int, accumulate: Bool = false,
        next: Upcoming? = nil
    ) {
        multiply(
            input, rows: rows, inputColumn: inputColumn, by: weights, panels: panels, into: output,
            outputRow: rows.lowerBound, outputColumn: outputColumn, accumulate: accumulate,
            next: next)
    }

    /// The same with the output's rows counted from `outputRow`.
    package func multiply(
        _ input: Activations, rows: Range<Int>, inputColumn: Int = 0, by weights: PackedMatrix,
        panels: Range<Int>, into output: Matrix, outputRow: Int, outputColumn: Int,
        accumulate: Bool = false, next: Upcoming? = nil
    ) {
        guard !rows.isEmpty, !panels.isEmpty else { return }
        let inputCount = weights.paddedInputCount
        input.check(rows: rows, columns: inputColumn..<inputColumn + inputCount)
        output.check(
            rows: outputRow..<outputRow + rows.count,
            columns: outputColumn..<outputColumn + panels.count * Lanes.count)
        precondition(
            panels.lowerBound >= 0 && panels.upperBound <= weights.panelCount
                && !weights.format.isQuantized
                && (input.format == .f32 || weights.format == .bf16)
                && inputColumn % weights.format.inputMultiple == 0, "Shapes do not fit.")
        let y = unsafe output.pointer(outputRow, outputColumn)
        let x = unsafe input.pointer(rows.lowerBound, inputColumn)
        let w = unsafe weights.panel(panels.lowerBound)
        var job = unsafe cmk_product(
            x: x, x_stride: input.stride, rows: rows.count, w: w, in: inputCount,
            panels: panels.count, y: y, y_stride: output.stride, accumulate: accumulate,
            terms: 1, next: next.map { unsafe UnsafeRawPointer($0.weights.panel($0.panel)) })
        unsafe table.pointee.matmul(cmk_kind(weights.format, input.format), &job, 1)
    }
}

extension KernelSet {
    /// The product with all rows of an input, in whatever form the weights want it.
    package func multiply(
        _ input: ProductInput, rows: Range<Int>, by weights: PackedMatrix, panels: Range<Int>,
        into output: Matrix, outputColumn: Int, next: Upcoming? = nil
    ) {
        guard weights.format.isQuantized, let quantized = input.quantized else {
            return multiply(
                input.values, rows: rows, by: weights, panels: panels, into: output,
                outputColumn: outputColumn, next: next)
        }
        guard !rows.isEmpty, !panels.isEmpty else { return }
        output.check(
            rows: rows, columns: outputColumn..<outputColumn + panels.count * Lanes.count)
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= quantized.rowCount
                && weights.inputCount == quantized.columnCount && panels.lowerBound >= 0
                && panels.upperBound <= weights.panelCount, "Shapes do not fit.")
        var job = unsafe cmk_product(
            x: quantized.pointer(rows.lowerBound), x_stride: quantized.rowByteCount,
            rows: rows.count, w: weights.panel(panels.lowerBound), in: weights.paddedInputCount,
            panels: panels.count, y: output.pointer(rows.lowerBound, outputColumn),
            y_stride: output.stride, accumulate: false, terms: quantized.termCount,
            next: next.map { unsafe UnsafeRawPointer($0.weights.panel($0.panel)) })
        unsafe table.pointee.matmul(weights.format == .q8 ? CMK_Q8 : CMK_Q4, &job, 1)
    }

    /// Makes a row that has been written ready to be multiplied.
    package func finish(_ input: ProductInput, row: Int) {
        guard let quantized = input.quantized else { return }
        let values = input.values
        let count = values.columnCount
        values.check(rows: row..<row + 1, columns: 0..<count)
        precondition(
            row < quantized.rowCount && count == quantized.columnCount, "Shapes do not fit.")
        let x = unsafe values.pointer(row, 0)
        let y = unsafe quantized.pointer(row)
        switch values.format {
        case .f32:
            unsafe table.pointee.quantize_f32(
                x.assumingMemoryBound(to: Float.self), count, quantized.termCount, y)
        case .bf16:
            unsafe table.pointee.quantize_bf16(
                x.assumingMemoryBound(to: UInt16.self), count, quantized.termCount, y)
        }
    }
}

extension cmk_kind {
    /// What meets in a product of these weights, not quantized, and activations.
    init(_ weights: WeightFormat, _ input: ComputeFormat) {
        switch (weights, input) {
        case (.f32, _): self = CMK_F32
        case (.bf16, .bf16): self = CMK_BF16
        case (.bf16, .f32): self = CMK_MIXED
        case (.q8, _), (.q4, _): preconditionFailure("Quantized weights want quantized rows.")
        }
    }
}

// MARK: Row by row

extension KernelSet {
    /// Root mean square norm of one row, rounded to the activations' format.
    package func rmsNorm(
        _ input: Matrix, row: Int, weight: Matrix, epsilon: Float, into output: Activations,
        outputRow: Int
    ) {
        let count = input.columnCount
        input.check(rows: row..<row + 1, columns: 0..<count)
        weight.check(rows: 0..<1, columns: 0..<count)
        output.check(rows: outputRow..<outputRow + 1, columns: 0..<count)
        let x = unsafe input.pointer(row, 0)
        let w = unsafe weight.pointer(0, 0)
        let y = unsafe output.pointer(outputRow, 0)
        switch output.format {
        case .f32:
            unsafe table.pointee.rms_norm_f32(
                x, w, epsilon, count, y.assumingMemoryBound(to: Float.self))
        case .bf16:
            unsafe table.pointee.rms_norm_bf16(
                x, w, epsilon, count, y.assumingMemoryBound(to: UInt16.self))
        }
    }

    /// Root mean square norm of `weight.columnCount` columns in place: the norm of one query or key
    /// head.
    package func rmsNormInPlace(
        _ matrix: Matrix, row: Int, column: Int, weight: Matrix, epsilon: Float
    ) {
        let count = weight.columnCount
        matrix.check(rows: row..<row + 1, columns: column..<column + count)
        let x = unsafe matrix.pointer(row, column)
        unsafe table.pointee.rms_norm_f32(x, weight.pointer(0, 0), epsilon, count, x)
    }

    /// output[row, columns] = silu(gate[row, gateColumn...]) * gate[row, upColumn...], rounded.
    package func siluMultiply(
        _ input: Matrix, row: Int, gateColumn: Int, upColumn: Int, count: Int,
        into output: Activations, column: Int
    ) {
        input.check(rows: row..<row + 1, columns: gateColumn..<gateColumn + count)
        input.check(rows: row..<row + 1, columns: upColumn..<upColumn + count)
        output.check(rows: row..<row + 1, columns: column..<column + count)
        let gate = unsafe input.pointer(row, gateColumn)
        let up = unsafe input.pointer(row, upColumn)
        let y = unsafe output.pointer(row, column)
        switch output.format {
        case .f32:
            unsafe table.pointee.silu_mul_f32(
                gate, up, count, y.assumingMemoryBound(to: Float.self))
        case .bf16:
            unsafe table.pointee.silu_mul_bf16(
                gate, up, count, y.assumingMemoryBound(to: UInt16.self))
        }
    }

    /// output[outputRow, columns] = input[inputRow, inputColumn...] * scale, rounded.
    package func scale(
        _ input: Matrix, row: Int, column inputColumn: Int, by scale: Float, count: Int,
        into output: Activations, outputRow: Int, column: Int
    ) {
        input.check(rows: row..<row + 1, columns: inputColumn..<inputColumn + count)
        output.check(rows: outputRow..<outputRow + 1, columns: column..<column + count)
        let x = unsafe input.pointer(row, inputColumn)
        let y = unsafe output.pointer(outputRow, column)
        switch output.format {
        case .f32:
            unsafe table.pointee.scale_f32(x, scale, count, y.assumingMemoryBound(to: Float.self))
        case .bf16:
            unsafe table.pointee.scale_bf16(x, scale, count, y.assumingMemoryBound(to: UInt16.self))
        }
    }

    /// target[targetRow, targetColumn...] += source[row, column...].
    package func add(
        _ source: Matrix, row: Int, column: Int, count: Int, to target: Matrix, targetRow: Int,
        targetColumn: Int
    ) {
        source.check(rows: row..<row + 1, columns: column..<column + count)
        target.check(rows: targetRow..<targetRow + 1, columns: targetColumn..<targetColumn + count)
        unsafe table.pointee.add(
            source.pointer(row, column), count, target.pointer(targetRow, targetColumn))
    }

    /// target[targetRow, targetColumn...] *= source[row, column...].
    package func multiply(
        _ source: Matrix, row: Int, column: Int, count: Int, into target: Matrix, targetRow: Int,
        targetColumn: Int
    ) {
        source.check(rows: row..<row + 1, columns: column..<column + count)
        target.check(rows: targetRow..<targetRow + 1, columns: targetColumn..<targetColumn + count)
        unsafe table.pointee.multiply(
            source.pointer(row, column), count, target.pointer(targetRow, targetColumn))
    }

    /// Rotary position embedding in place, over `headCount` consecutive heads.
    ///
    /// - Parameter angles: row p holds the cosines of position p, then the sines.
    package func rotate(
        _ matrix: Matrix, row: Int, column: Int, headCount: Int, headDimension: Int,
        angles: Matrix, position: Int
    ) {
        matrix.check(rows: row..<row + 1, columns: column..<column + headCount * headDimension)
        angles.check(rows: position..<position + 1, columns: 0..<headDimension)
        unsafe table.pointee.rope(
            matrix.pointer(row, column), headCount, headDimension, angles.pointer(position, 0),
            angles.pointer(position, headDimension / 2))
    }
}

// MARK: Attention

/// Consecutive query rows of one sequence against one key/value head.
package struct AttentionPiece {
    package var layer: Int
    package var head: Int
    package var rows: Range<Int>
    /// Position of the first row.
    package var firstPosition: Int
    /// Positions that a row sees, itself included; 0 for all.
    package var window: Int

    package init(layer: Int, head: Int, rows: Range<Int>, firstPosition: Int, window: Int) {
        self.layer = layer
        self.head = head
        self.rows = rows
        self.firstPosition = firstPosition
        self.window = window
    }
}

extension KernelSet {
    /// Floats of scratch that `attend` needs for pieces up to these sizes.
    package static func attentionScratchCount(
        rowCount: Int, group: Int, headDimension: Int, positionCount: Int
    ) -> Int {
        cmk_attention_scratch_count(rowCount, group, headDimension, positionCount)
    }

    /// Softmax attention with `group` query heads to a key/value head.
    ///
    /// - Parameters:
    ///   - queries: query heads of a row one after another, from column 0.
    ///   - blocks: the sequence's block table.
    ///   - output: attended values, heads in the same order, in the cache's format.
    ///   - scratch: one row of at least `attentionScratchCount` columns, the calling thread's own.
    package func attend(
        _ piece: AttentionPiece, queries: Matrix, group: Int, scale: Float, cache: KeyValueCache,
        blocks: [Int32], into output: Activations, scratch: Matrix
    ) {
        let (rows, d) = (piece.rows, cache.headDimension)
        let columns = piece.head * group * d..<(piece.head + 1) * group * d
        let end = piece.firstPosition + rows.count
        queries.check(rows: rows, columns: columns)
        output.check(rows: rows, columns: columns)
        precondition(
            piece.layer >= 0 && piece.layer < cache.layerCount && piece.head >= 0
                && piece.head < cache.headCount && output.format == cache.format
                && end <= blocks.count * KeyValueCache.blockPositions
                && blocks.allSatisfy { $0 >= 0 && $0 < cache.blockCount }
                && scratch.columnCount
                    >= KernelSet.attentionScratchCount(
                        rowCount: rows.count, group: group, headDimension: d, positionCount: end),
            "Shapes do not fit.")
        unsafe blocks.withUnsafeBufferPointer { table in
            var job = unsafe cmk_attention()
            unsafe job.q = UnsafePointer(queries.pointer(rows.lowerBound, columns.lowerBound))
            unsafe job.q_stride = queries.stride
            unsafe job.out = output.pointer(rows.lowerBound, columns.lowerBound)
            unsafe job.out_stride = output.stride
            unsafe job.keys = UnsafeRawPointer(
                cache.keyBlock(layer: piece.layer, block: 0, head: piece.head))
            unsafe job.key_stride = cache.headCount * cache.keyElementCount
            unsafe job.values = UnsafeRawPointer(
                cache.valueBlock(layer: piece.layer, block: 0, head: piece.head))
            unsafe job.value_stride = cache.headCount * cache.valueElementCount
            unsafe job.blocks = table.baseAddress
            unsafe job.row_count = rows.count
            unsafe job.group = group
            unsafe job.head_dim = d
            unsafe job.first_position = piece.firstPosition
            unsafe job.window = piece.window
            unsafe job.scale = scale
            unsafe job.scratch = scratch.pointer(0, 0)
            switch cache.format {
            case .f32: unsafe self.table.pointee.attention_f32(&job)
            case .bf16: unsafe self.table.pointee.attention_bf16(&job)
            }
        }
    }
}

// MARK: Logits

/// The largest logit of a row, or of a part of one.
package struct LogitPeak: Sendable, Equatable {
    /// NaN if any logit is.
    package var maximum: Float
    /// The lowest column that holds the maximum.
    package var column: Int

    /// Of a row of which no column was seen yet.
    package static let none = LogitPeak(maximum: -.infinity, column: .max)

    package init(maximum: Float, column: Int) {
        self.maximum = maximum
        self.column = column
    }

    /// Takes in the peak of other columns of the row, in any order.
    package mutating func merge(_ other: LogitPeak) {
        if maximum.isNaN { return }
        let isLower = other.maximum == maximum && other.column < column
        if other.maximum > maximum || isLower || other.maximum.isNaN { self = other }
    }
}

extension KernelSet {
    /// The largest of some of a row's logits; its column counts from the first of them.
    package func peak(_ logits: Matrix, row: Int, columns: Range<Int>) -> LogitPeak {
        logits.check(rows: row..<row + 1, columns: columns)
        precondition(!columns.isEmpty, "Of nothing there is no largest.")
        let peak = unsafe table.pointee.peak(
            logits.pointer(row, columns.lowerBound), columns.count)
        return LogitPeak(maximum: peak.maximum, column: peak.index)
    }

    /// log Σ exp(logit) of a row whose largest logit is `maximum`.
    package func logSumExp(_ logits: Matrix, row: Int, maximum: Float) -> Float {
        logits.check(rows: row..<row + 1, columns: 0..<logits.columnCount)
        return unsafe table.pointee.log_sum_exp(
            logits.pointer(row, 0), maximum, logits.columnCount)
    }

    /// weights[i] = exp((logits[i] - maximum) * inverseTemperature).
    ///
    /// - Returns: the sum of the weights.
    package func exponentials(
        _ logits: [Float], maximum: Float, inverseTemperature: Float, into weights: inout [Float]
    ) -> Float {
        precondition(weights.count == logits.count, "Shapes do not fit.")
        return unsafe logits.withUnsafeBufferPointer { x in
            unsafe weights.withUnsafeMutableBufferPointer { y in
                guard let x = x.baseAddress, let y = y.baseAddress else { return 0 }
                return unsafe table.pointee.exp_scaled(
                    x, maximum, inverseTemperature, logits.count, y)
            }
        }
    }
}
