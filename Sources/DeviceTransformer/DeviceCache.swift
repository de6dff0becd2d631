internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import Tensors

/// The paged key/value cache on a device. A block holds its 16 positions for all layers and heads in one page of the
/// pool; a head's part is its keys, then its values, in the host cache's panels. Which block belongs to whom is the
/// engine's business; a block has a page from its first use until the engine says that nobody has it.
struct DeviceCache {
    private let element: DeviceElement
    private let headCount: Int
    private let headDimension: Int
    private let pool: DevicePool
    /// By block.
    private var pages: [PagePool.ID?]
    private(set) var usedCount = 0

    init(_ c: ModelConfiguration, element: DeviceElement, blockCount: Int, pool: DevicePool) {
        self.element = element
        self.pool = pool
        headCount = c.keyValueHeadCount
        headDimension = c.headDimension
        pages = Array(repeating: nil, count: blockCount)
    }

    /// Bytes of a block, as the host's cache has them, so that one account holds for both.
    static func blockByteCount(_ c: ModelConfiguration, _ element: DeviceElement) -> Int {
        let words = headWords(c.headDimension, element)
        return (c.layerCount * c.keyValueHeadCount * (words.keys + words.values) * 4)
            .roundedUp(toMultipleOf: DeviceArena.alignment)
    }

    private static func headWords(
        _ headDimension: Int, _ element: DeviceElement
    ) -> (keys: Int, values: Int) {
        let positions = KeyValueCache.blockPositions
        return (
            element.words(headDimension) * positions,
            headDimension.roundedUp(toMultipleOf: Lanes.count) * element.words(positions)
        )
    }

    /// Gives blocks their pages.
    ///
    /// - Parameter take: a page, or nil when there is none.
    mutating func use(
        _ blocks: some Sequence<Int32>, _ take: () throws(DeviceError) -> PagePool.ID?
    ) throws(DeviceError) {
        for block in blocks {
            precondition(pages.indices.contains(Int(block)), "Outside the cache.")
            guard pages[Int(block)] == nil else { continue }
            guard let page = try take() else {
                throw DeviceError(.outOfMemory, "the pool has no page for the key/value cache")
            }
            pages[Int(block)] = page
            usedCount += 1
        }
    }

    mutating func free(_ blocks: [Int32]) {
        for block in blocks {
            guard let page = pages[Int(block)] else { continue }
            pool.give(page)
            pages[Int(block)] = nil
            usedCount -= 1
        }
    }

    func address(of block: Int32) -> UInt64 {
        guard let page = pages[Int(block)] else { preconditionFailure("The block has no page.") }
        return pool.place(of: page).address
    }

    /// Where a layer's part of a block is.
    func part(layer: Int) -> cmd_cache {
        let words = DeviceCache.headWords(headDimension, element)
        return cmd_cache(
            layer: UInt32(layer * headCount * (words.keys + words.values)),
            key_words: UInt32(words.keys), head_words: UInt32(words.keys + words.values))
    }
}
