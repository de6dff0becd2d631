internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import Tensors

/// The paged key/value cache on a device. A block holds its 16 positions for all layers and heads in one piece; a
/// head's part is its keys, then its values, in the host cache's panels. Which block belongs to whom is the
/// engine's business.
struct DeviceCache {
    let blockCount: Int
    let blockByteCount: Int
    private let element: DeviceElement
    private let headCount: Int
    private let headDimension: Int
    private let pieces: [DeviceBuffer]
    private let blocksPerPiece: Int

    init(
        _ c: ModelConfiguration, element: DeviceElement, blockCount: Int, on device: Device
    ) throws(DeviceError) {
        self.blockCount = blockCount
        self.element = element
        headCount = c.keyValueHeadCount
        headDimension = c.headDimension
        let words = DeviceCache.headWords(headDimension, element)
        blockByteCount = c.layerCount * headCount * (words.keys + words.values) * 4
        let largest = min(device.description.largestAllocation, 1 << 30)
        blocksPerPiece = max(1, largest / blockByteCount)
        var pieces: [DeviceBuffer] = []
        for first in stride(from: 0, to: blockCount, by: blocksPerPiece) {
            let count = min(blocksPerPiece, blockCount - first)
            pieces.append(try DeviceBuffer(count * blockByteCount, on: .device, of: device))
        }
        self.pieces = pieces
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

    func address(of block: Int32) -> UInt64 {
        precondition(block >= 0 && block < blockCount, "Outside the cache.")
        let (piece, place) = Int(block).quotientAndRemainder(dividingBy: blocksPerPiece)
        return pieces[piece].address + UInt64(place * blockByteCount)
    }

    /// Where a layer's part of a block is.
    func part(layer: Int) -> cmd_cache {
        let words = DeviceCache.headWords(headDimension, element)
        return cmd_cache(
            layer: UInt32(layer * headCount * (words.keys + words.values)),
            key_words: UInt32(words.keys), head_words: UInt32(words.keys + words.values))
    }
}
