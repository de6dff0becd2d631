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

/// e to the power of a number.
package func exponential(_ number: Float) -> Float { expf(number) }

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
    /// Root mean square norm of some rows, rounded to the activations' format.
    ///
    /// - Parameter outputRow: where the first of them goes; nil for where it was.
    package func rmsNorm(
        _ input: Matrix, rows: Range<Int>, weight: Matrix, epsilon: Float, into output: Activations,
        outputRow: Int? = nil
    ) {
        let count = input.columnCount
        let first = outputRow ?? rows.lowerBound
        input.check(rows: rows, columns: 0..<count)
        weight.check(rows: 0..<1, columns: 0..<count)
        output.check(rows: first..<first + rows.count, columns: 0..<count)
        let w = unsafe weight.pointer(0, 0)
        for row in rows {
            let x = unsafe input.pointer(row, 0)
            let y = unsafe output.pointer(first + row - rows.lowerBound, 0)
            switch output.format {
            case .f32:
                unsafe table.pointee.rms_norm_f32(
                    x, w, epsilon, count, y.assumingMemoryBound(to: Float.self))
            case .bf16:
                unsafe table.pointee.rms_norm_bf16(
                    x, w, epsilon, count, y.assumingMemoryBound(to: UInt16.self))
            }
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

    /// What a gate goes through.
    package enum Gate: Sendable {
        case silu
        /// By the tangent's approximation.
        case gelu
    }

    /// output[row, columns] = gate(input[row, gateColumn...]) * input[row, upColumn...], rounded, for
    /// some rows.
    package func gatedMultiply(
        _ gate: Gate, _ input: Matrix, rows: Range<Int>, gateColumn: Int, upColumn: Int, count: Int,
        into output: Activations, column: Int
    ) {
        let f32 = unsafe gate == .silu ? table.pointee.silu_mul_f32 : table.pointee.gelu_mul_f32
        let bf16 = unsafe gate == .silu ? table.pointee.silu_mul_bf16 : table.pointee.gelu_mul_bf16
        input.check(rows: rows, columns: gateColumn..<gateColumn + count)
        input.check(rows: rows, columns: upColumn..<upColumn + count)
        output.check(rows: rows, columns: column..<column + count)
        for row in rows {
            let x = unsafe input.pointer(row, gateColumn)
            let up = unsafe input.pointer(row, upColumn)
            let y = unsafe output.pointer(row, column)
            switch output.format {
            case .f32:
                unsafe f32?(
                    x, up, count, y.assumingMemoryBound(to: Float.self))
            case .bf16:
                unsafe bf16?(
                    x, up, count, y.assumingMemoryBound(to: UInt16.self))
            }
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

    /// matrix[row, columns] = cap · tanh(matrix[row, columns] · scale / cap) for some rows; no cap when it is 0.
    package func scaleAndCap(
        _ matrix: Matrix, rows: Range<Int>, columns: Range<Int>, scale: Float, cap: Float = 0
    ) {
        matrix.check(rows: rows, columns: columns)
        guard !columns.isEmpty, scale != 1 || cap != 0 else { return }
        for row in rows {
            let y = unsafe matrix.pointer(row, columns.lowerBound)
            if scale != 1 { unsafe table.pointee.scale_f32(y, scale, columns.count, y) }
            if cap != 0 { unsafe table.pointee.soft_cap(cap, columns.count, y) }
        }
    }

    /// target[row, targetColumn...] += source[row, column...] for some rows.
    package func add(
        _ source: Matrix, rows: Range<Int>, column: Int, count: Int, to target: Matrix,
        targetColumn: Int
    ) {
        source.check(rows: rows, columns: column..<column + count)
        target.check(rows: rows, columns: targetColumn..<targetColumn + count)
        for row in rows {
            unsafe table.pointee.add(
                source.pointer(row, column), count, target.pointer(row, targetColumn))
        }
    }

    /// target[row, targetColumn...] += source[0, column...] for some rows.
    package func addFirstRow(
        of source: Matrix, column: Int, count: Int, toRows rows: Range<Int>, of target: Matrix,
        targetColumn: Int
    ) {
        source.check(rows: 0..<1, columns: column..<column + count)
        target.check(rows: rows, columns: targetColumn..<targetColumn + count)
        let x = unsafe source.pointer(0, column)
        for row in rows {
            unsafe table.pointee.add(x, count, target.pointer(row, targetColumn))
        }
    }

    /// target[toRow] += source[row], for `count` columns from the first on.
    package func addRow(
        _ row: Int, of source: Matrix, count: Int, toRow: Int, of target: Matrix
    ) {
        source.check(rows: row..<row + 1, columns: 0..<count)
        target.check(rows: toRow..<toRow + 1, columns: 0..<count)
        unsafe table.pointee.add(source.pointer(row, 0), count, target.pointer(toRow, 0))
    }

    /// Rotary position embedding in place, over `headCount` consecutive heads.
    ///
    /// - Parameter angles: row p holds the cosines of position p, then the sines, for as many dimensions of a head as rotate.
    package func rotate(
        _ matrix: Matrix, row: Int, column: Int, headCount: Int, headDimension: Int,
        angles: Matrix, position: Int
    ) {
        matrix.check(rows: row..<row + 1, columns: column..<column + headCount * headDimension)
        let rotated = angles.columnCount
        precondition(rotated <= headDimension, "A head has fewer dimensions.")
        angles.check(rows: position..<position + 1, columns: 0..<rotated)
        let cosines = unsafe angles.pointer(position, 0)
        let sines = unsafe angles.pointer(position, rotated / 2)
        if rotated == headDimension {
            unsafe table.pointee.rope(
                matrix.pointer(row, column), headCount, headDimension, cosines, sines)
        } else {
            for head in 0..<headCount {
                unsafe table.pointee.rope(
                    matrix.pointer(row, column + head * headDimension), 1, rotated, cosines, sines)
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

    /// weights[i] = exp((logits[i] - maximum) · inverseTemperature) of a row, and the sums of each
    /// `sumBlock` of them.
    ///
    /// - Parameters:
    ///   - weights: one row of as many columns.
    ///   - sums: one row with a column for each block.
    package func exponentials(
        _ logits: Matrix, row: Int, maximum: Float, inverseTemperature: Float,
        into weights: Matrix, sums: Matrix
    ) {
        let count = logits.columnCount
        logits.check(rows: row..<row + 1, columns: 0..<count)
        weights.check(rows: 0..<1, columns: 0..<count)
        sums.check(rows: 0..<1, columns: 0..<(count + KernelSet.sumBlock - 1) / KernelSet.sumBlock)
        unsafe table.pointee.exp_scaled(
            logits.pointer(row, 0), maximum, inverseTemperature, count, weights.pointer(0, 0),
            sums.pointer(0, 0))
    }

    package static let sumBlock = Int(CMK_SUM_BLOCK)
}
