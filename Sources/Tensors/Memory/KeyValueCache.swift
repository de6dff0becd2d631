internal import CMartletKernels
internal import Glibc
internal import Synchronization

/// The paged key/value cache: for each layer a pool of blocks of 16 positions.
///
/// Which block belongs to whom is the engine's business; here are only the numbers. A block that
/// is handed on need not be cleared: attention never lets a position that was not written since
/// reach a result.
package final class KeyValueCache: Sendable {
    package let format: ComputeFormat
    package let layerCount: Int
    package let headCount: Int
    package let headDimension: Int
    package let blockCount: Int
    private let keys: Buffer
    private let values: Buffer
    private let takenCount = Atomic<Int>(0)

    /// Positions in a block.
    package static let blockPositions = CMK_BLOCK_POSITIONS

    package init(
        format: ComputeFormat, layerCount: Int, headCount: Int, headDimension: Int, blockCount: Int
    ) {
        self.format = format
        self.layerCount = layerCount
        self.headCount = headCount
        self.headDimension = headDimension
        self.blockCount = blockCount
        let blocks = layerCount * blockCount * headCount
        let keyCount = KeyValueCache.keyElementCount(format, headDimension)
        let valueCount = KeyValueCache.valueElementCount(headDimension)
        keys = Buffer(byteCount: blocks * keyCount * format.elementByteCount)
        values = Buffer(byteCount: blocks * valueCount * format.elementByteCount)
    }

    /// Takes the physical memory of the first blocks now, so that a server does not grow while it
    /// warms up. The others take theirs when they are first written.
    ///
    /// Every member takes a share of each layer's, so that the memory of one is not all that the others
    /// wait for, where members have memory of their own: whose block a sequence gets nobody knows yet.
    package func takeMemory(blockCount: Int, team: WorkerTeam) {
        let taken = min(max(blockCount, 0), self.blockCount)
        takenCount.store(taken, ordering: .relaxed)
        team.run { member in
            let own = team.share(of: taken, for: member)
            let count = own.count * headCount * format.elementByteCount
            for layer in 0..<layerCount where count > 0 {
                unsafe memset(
                    keyBlock(layer: layer, block: own.lowerBound, head: 0), 0,
                    count * keyElementCount)
                unsafe memset(
                    valueBlock(layer: layer, block: own.lowerBound, head: 0), 0,
                    count * valueElementCount)
            }
        }
    }

    /// Physical memory taken when the first `blockCount` blocks have been used.
    package func residentByteCount(blockCount: Int) -> Int {
        max(blockCount, takenCount.load(ordering: .relaxed))
            * KeyValueCache.blockByteCount(
                format: format, layerCount: layerCount, headCount: headCount,
                headDimension: headDimension)
    }

    /// Bytes that one block takes over all layers.
    package static func blockByteCount(
        format: ComputeFormat, layerCount: Int, headCount: Int, headDimension: Int
    ) -> Int {
        let elements =
            keyElementCount(format, headDimension) + valueElementCount(headDimension)
        return layerCount * headCount * elements * format.elementByteCount
    }

    private static func keyElementCount(_ format: ComputeFormat, _ headDimension: Int) -> Int {
        headDimension.roundedUp(toMultipleOf: format.inputMultiple) * blockPositions
    }

    private static func valueElementCount(_ headDimension: Int) -> Int {
        headDimension.roundedUp(toMultipleOf: Lanes.count) * blockPositions
    }

    var keyElementCount: Int { KeyValueCache.keyElementCount(format, headDimension) }
    var valueElementCount: Int { KeyValueCache.valueElementCount(headDimension) }

    /// Blocks of a layer lie side by side, the heads of a block together.
    private func element(_ layer: Int, _ block: Int, _ head: Int, _ count: Int) -> Int {
        ((layer * blockCount + block) * headCount + head) * count * format.elementByteCount
    }

    func keyBlock(layer: Int, block: Int, head: Int) -> UnsafeMutableRawPointer {
        unsafe keys.base + element(layer, block, head, keyElementCount)
    }

    func valueBlock(layer: Int, block: Int, head: Int) -> UnsafeMutableRawPointer {
        unsafe values.base + element(layer, block, head, valueElementCount)
    }

    /// Writes one position's keys and values of some heads.
    ///
    /// - Parameters:
    ///   - slot: the position within the block, 0 ..< 16. An even slot must be written before the
    ///     odd one after it, by the same thread or in an earlier call.
    ///   - row: the row of `projections` whose columns from `keyColumn` and `valueColumn` on hold
    ///     all heads one after another.
    package func store(
        layer: Int, heads: Range<Int>, block: Int, slot: Int, from projections: Matrix, row: Int,
        keyColumn: Int, valueColumn: Int
    ) {
        let width = headCount * headDimension
        precondition(
            layer >= 0 && layer < layerCount && heads.lowerBound >= 0
                && heads.upperBound <= headCount && block >= 0 && block < blockCount && slot >= 0
                && slot < KeyValueCache.blockPositions, "Outside the cache.")
        projections.check(rows: row..<row + 1, columns: keyColumn..<keyColumn + width)
        projections.check(rows: row..<row + 1, columns: valueColumn..<valueColumn + width)
        for head in heads {
            let key = unsafe projections.pointer(row, keyColumn + head * headDimension)
            let value = unsafe projections.pointer(row, valueColumn + head * headDimension)
            let keyBlock = unsafe keyBlock(layer: layer, block: block, head: head)
            let valueBlock = unsafe valueBlock(layer: layer, block: block, head: head)
            switch format {
            case .f32:
                unsafe cmk_store_kv_f32(
                    key, value, headDimension, slot, keyBlock.assumingMemoryBound(to: Float.self),
                    valueBlock.assumingMemoryBound(to: Float.self))
            case .bf16:
                unsafe cmk_store_kv_bf16(
                    key, value, headDimension, slot, keyBlock.assumingMemoryBound(to: UInt16.self),
                    valueBlock.assumingMemoryBound(to: UInt16.self))
            }
        }
    }
}
