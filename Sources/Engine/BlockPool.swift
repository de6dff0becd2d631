/// The free blocks of the key/value cache.
struct BlockPool {
    let blockCount: Int
    private var free: [Int32]

    init(blockCount: Int) {
        self.blockCount = blockCount
        free = (0..<Int32(blockCount)).reversed()
    }

    var freeCount: Int { free.count }

    /// Takes `count` blocks, or none when there are not as many.
    mutating func take(_ count: Int) -> [Int32]? {
        guard count <= free.count else { return nil }
        let taken = Array(free.suffix(count))
        free.removeLast(count)
        return taken
    }

    mutating func give(back blocks: [Int32]) {
        free.append(contentsOf: blocks)
        assert(free.count <= blockCount, "A block was given back twice.")
    }
}
