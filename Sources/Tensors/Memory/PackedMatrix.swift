internal import CMartletKernels

/// A weight matrix (outputs × inputs) packed into the kernels' panels, in a buffer of its own or in
/// a part of one that many matrices share.
package struct PackedMatrix: Sendable {
    package let buffer: Buffer
    package let byteOffset: Int
    package let format: WeightFormat
    package let outputCount: Int
    package let inputCount: Int

    /// An all-zero matrix at `byteOffset` of `buffer`; `packRow…` fills it.
    ///
    /// - Precondition: the place is 64-byte aligned and inside the buffer.
    package init(
        format: WeightFormat, outputCount: Int, inputCount: Int, in buffer: Buffer,
        at byteOffset: Int
    ) {
        let byteCount = PackedMatrix.byteCount(
            format: format, outputCount: outputCount, inputCount: inputCount)
        precondition(
            byteOffset >= 0 && byteOffset % Buffer.alignment == 0
                && byteOffset + byteCount <= buffer.byteCount, "Outside the buffer.")
        self.buffer = buffer
        self.byteOffset = byteOffset
        self.format = format
        self.outputCount = outputCount
        self.inputCount = inputCount
    }

    package init(format: WeightFormat, outputCount: Int, inputCount: Int) {
        let byteCount = PackedMatrix.byteCount(
            format: format, outputCount: outputCount, inputCount: inputCount)
        self.init(
            format: format, outputCount: outputCount, inputCount: inputCount,
            in: Buffer(byteCount: byteCount), at: 0)
    }

    /// Bytes that the panels take: outputs rounded up to 16, inputs to the format's multiple.
    package static func byteCount(
        format: WeightFormat, outputCount: Int, inputCount: Int
    ) -> Int {
        (outputCount + Lanes.count - 1) / Lanes.count
            * format.panelByteCount(inputCount: inputCount)
    }

    package var byteCount: Int {
        PackedMatrix.byteCount(format: format, outputCount: outputCount, inputCount: inputCount)
    }

    package var panelCount: Int { (outputCount + Lanes.count - 1) / Lanes.count }

    package var paddedInputCount: Int { inputCount.roundedUp(toMultipleOf: format.inputMultiple) }

    func panel(_ index: Int) -> UnsafeMutableRawPointer {
        unsafe buffer.base + byteOffset + index * format.panelByteCount(inputCount: inputCount)
    }

    /// Packs every panel, split over the team as products are, so that who multiplies a panel has
    /// touched its memory first. `read` writes row `index` of the matrix into the span it is lent; it
    /// is called from several threads, once for each row.
    ///
    /// - Throws: the first error that `read` throws.
    package func pack<Failure: Error>(
        team: WorkerTeam,
        _ read: @Sendable (_ index: Int, _ row: inout MutableSpan<Float>) throws(Failure) -> Void
    ) throws(Failure) {
        try PackedMatrix.pack([self], team: team) { (_, index, row) throws(Failure) in
            try read(index, &row)
        }
    }

    /// The same for matrices whose panels a product counts one after another.
    ///
    /// - Parameter read: told the matrix's place too.
    package static func pack<Failure: Error>(
        _ matrices: [PackedMatrix], team: WorkerTeam,
        _ read:
            @Sendable (_ matrix: Int, _ index: Int, _ row: inout MutableSpan<Float>)
            throws(Failure) -> Void
    ) throws(Failure) {
        let failure = FirstFailure<Failure>()
        let pieces = PanelPieces(
            panelCount: matrices.reduce(0) { $0 + $1.panelCount }, rowCount: 1,
            memberCount: team.memberCount)
        team.run { member in
            let own = pieces.panels(of: member)
            var first = 0
            for (place, matrix) in matrices.enumerated() {
                let panels = own.clamped(to: first..<first + matrix.panelCount)
                let staging = Matrix(
                    rowCount: panels.isEmpty ? 0 : Lanes.count, columnCount: matrix.inputCount)
                for index in panels where !failure.happened {
                    do throws(Failure) {
                        try matrix.packPanel(index - first, through: staging) {
                            (row, span) throws(Failure) in try read(place, row, &span)
                        }
                    } catch {
                        failure.record(error)
                    }
                }
                first += matrix.panelCount
            }
        }
        if let error = failure.error { throw error }
    }

    private func packPanel<Failure: Error>(
        _ index: Int, through staging: Matrix,
        _ read: (_ index: Int, _ row: inout MutableSpan<Float>) throws(Failure) -> Void
    ) throws(Failure) {
        let rowCount = min(Lanes.count, outputCount - index * Lanes.count)
        for row in 0..<rowCount {
            try staging.withMutableRow(row) { (span) throws(Failure) in
                try read(index * Lanes.count + row, &span)
            }
        }
        let rows = unsafe UnsafePointer(staging.pointer(0, 0))
        switch format {
        case .f32:
            unsafe cmk_pack_panel_f32(
                rows, rowCount, staging.stride, inputCount,
                panel(index).assumingMemoryBound(to: Float.self))
        case .bf16:
            unsafe cmk_pack_panel_bf16(
                rows, rowCount, staging.stride, inputCount,
                panel(index).assumingMemoryBound(to: UInt16.self))
        case .q8, .q4:
            unsafe cmk_pack_panel_quantized(
                format == .q8 ? CMK_Q8 : CMK_Q4, rows, rowCount, staging.stride, inputCount,
                panel(index).assumingMemoryBound(to: UInt8.self))
        }
    }

    /// Reads back row `index`, rounded as it was packed, into row `target` of a matrix.
    package func unpackRow(_ index: Int, into matrix: Matrix, row target: Int) {
        precondition(index >= 0 && index < outputCount, "No such row.")
        matrix.check(rows: target..<target + 1, columns: 0..<inputCount)
        let lane = index % Lanes.count
        let source = unsafe panel(index / Lanes.count)
        let y = unsafe matrix.pointer(target, 0)
        switch format {
        case .f32:
            unsafe cmk_unpack_row_f32(
                source.assumingMemoryBound(to: Float.self), lane, inputCount, y)
        case .bf16:
            unsafe cmk_unpack_row_bf16(
                source.assumingMemoryBound(to: UInt16.self), lane, inputCount, y)
        case .q8, .q4:
            unsafe cmk_unpack_row_quantized(
                format == .q8 ? CMK_Q8 : CMK_Q4, source.assumingMemoryBound(to: UInt8.self), lane,
                inputCount, y)
        }
    }
}
