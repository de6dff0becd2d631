internal import CMartletKernels

/// Consecutive query rows of one sequence against one key/value head.
package struct AttentionPiece {
    package var layer: Int
    package var head: Int
    package var rows: Range<Int>
    /// Position of the first row.
    package var firstPosition: Int
    /// Positions that a row sees, itself included; 0 for all.
    package var window: Int
    /// The sequence's block table.
    package var blocks: [Int32]

    package init(
        layer: Int, head: Int, rows: Range<Int>, firstPosition: Int, window: Int, blocks: [Int32]
    ) {
        self.layer = layer
        self.head = head
        self.rows = rows
        self.firstPosition = firstPosition
        self.window = window
        self.blocks = blocks
    }

    fileprivate func fits(_ cache: KeyValueCache) -> Bool {
        layer >= 0 && layer < cache.layerCount && head >= 0 && head < cache.headCount
            && !rows.isEmpty && firstPosition >= 0
            && firstPosition + rows.count <= blocks.count * KeyValueCache.blockPositions
            && blocks.allSatisfy { $0 >= 0 && $0 < cache.blockCount }
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
    ///   - next: what the thread attends to afterwards, if it knows; fetched on the way.
    ///   - queries: query heads of a row one after another, from column 0.
    ///   - output: attended values, heads in the same order, in the cache's format.
    ///   - scratch: one row of at least `attentionScratchCount` columns, the calling thread's own.
    package func attend(
        _ piece: AttentionPiece, next: AttentionPiece? = nil, queries: Matrix, group: Int,
        scale: Float, cap: Float = 0, cache: KeyValueCache, into output: Activations,
        scratch: Matrix
    ) {
        let (rows, d) = (piece.rows, cache.headDimension)
        let columns = piece.head * group * d..<(piece.head + 1) * group * d
        queries.check(rows: rows, columns: columns)
        output.check(rows: rows, columns: columns)
        precondition(
            piece.fits(cache) && next?.fits(cache) ?? true && output.format == cache.format
                && scratch.columnCount
                    >= KernelSet.attentionScratchCount(
                        rowCount: rows.count, group: group, headDimension: d,
                        positionCount: piece.firstPosition + rows.count),
            "Shapes do not fit.")
        unsafe withJob(piece, cache) { job in
            unsafe job.group = group
            unsafe job.scale = scale
            unsafe job.cap = cap
            unsafe job.q = UnsafePointer(queries.pointer(rows.lowerBound, columns.lowerBound))
            unsafe job.q_stride = queries.stride
            unsafe job.out = output.pointer(rows.lowerBound, columns.lowerBound)
            unsafe job.out_stride = output.stride
            unsafe job.scratch = scratch.pointer(0, 0)
            guard let next else { return unsafe attend(&job, cache.format) }
            unsafe withJob(next, cache) { next in
                unsafe withUnsafePointer(to: next) { next in
                    unsafe job.next = next
                    unsafe attend(&job, cache.format)
                }
            }
        }
    }

    private func attend(_ job: UnsafePointer<cmk_attention>, _ format: ComputeFormat) {
        switch format {
        case .f32: unsafe table.pointee.attention_f32(job)
        case .bf16: unsafe table.pointee.attention_bf16(job)
        }
    }

    /// Lends what a piece reads of the cache.
    private func withJob(
        _ piece: AttentionPiece, _ cache: KeyValueCache, _ body: (inout cmk_attention) -> Void
    ) {
        unsafe piece.blocks.withUnsafeBufferPointer { blocks in
            var job = unsafe cmk_attention()
            unsafe job.keys = UnsafeRawPointer(
                cache.keyBlock(layer: piece.layer, block: 0, head: piece.head))
            unsafe job.key_stride = cache.headCount * cache.keyElementCount
            unsafe job.values = UnsafeRawPointer(
                cache.valueBlock(layer: piece.layer, block: 0, head: piece.head))
            unsafe job.value_stride = cache.headCount * cache.valueElementCount
            unsafe job.blocks = blocks.baseAddress
            unsafe job.row_count = piece.rows.count
            unsafe job.head_dim = cache.headDimension
            unsafe job.first_position = piece.firstPosition
            unsafe job.window = piece.window
            unsafe body(&job)
        }
    }
}
