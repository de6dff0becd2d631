internal import Devices

/// One pool of a device's memory for blocks of the cache and for adapters, in pages of a block's size.
final class DevicePool {
    let pageByteCount: Int
    private let device: Device
    private let pieces: [DeviceBuffer]
    private var pages: PagePool
    /// Grows when things have moved: addresses from before are of no use.
    private(set) var generation = 0

    private static let pieceByteCount = 4 << 30

    /// Pages side by side at most: what a piece of memory holds.
    static func pagesPerPiece(_ device: DeviceDescription, pageByteCount: Int) -> Int {
        max(1, min(device.largestAllocation, pieceByteCount) / pageByteCount)
    }

    /// Takes all the memory at once; it never grows.
    init(
        _ device: Device, byteCount: Int, pageByteCount: Int
    ) throws(DeviceError) {
        self.device = device
        self.pageByteCount = pageByteCount
        let pagesPerPiece = DevicePool.pagesPerPiece(
            device.description, pageByteCount: pageByteCount)
        pages = PagePool(pageCount: byteCount / pageByteCount, pagesPerPiece: pagesPerPiece)
        var pieces: [DeviceBuffer] = []
        for first in stride(from: 0, to: pages.pageCount, by: pagesPerPiece) {
            let count = min(pagesPerPiece, pages.pageCount - first)
            pieces.append(try DeviceBuffer(count * pageByteCount, on: .device, of: device))
        }
        self.pieces = pieces
    }

    var pageCount: Int { pages.pageCount }
    var freePageCount: Int { pages.freeCount }

    /// Pages side by side, after moving others where they lie apart; nil when too few are free.
    ///
    /// - Parameter beforeMoving: waits for whoever writes pages beside steps.
    func take(
        _ count: Int, beforeMoving: () throws(DeviceError) -> Void
    ) throws(DeviceError) -> PagePool.ID? {
        if let id = pages.take(count) { return id }
        guard count <= pages.freeCount else { return nil }
        try beforeMoving()
        let moves = pages.compact()
        try device.submit { recorder in
            for move in moves {
                // Page by page, as places may overlap.
                for (from, to) in zip(move.from, move.to) {
                    let (source, target) = (place(page: from), place(page: to))
                    recorder.copy(
                        pageByteCount, from: source.memory, at: source.offset, to: target.memory,
                        at: target.offset)
                    recorder.barrier()
                }
            }
        }
        generation += 1
        return pages.take(count)
    }

    func give(_ id: PagePool.ID) { pages.give(id) }

    /// Where pages begin, until the generation changes.
    func place(of id: PagePool.ID) -> DevicePlace {
        let run = pages[id]
        let place = place(page: run.lowerBound)
        return DevicePlace(
            memory: place.memory, offset: place.offset, byteCount: run.count * pageByteCount)
    }

    private func place(page: Int) -> DevicePlace {
        let (piece, number) = page.quotientAndRemainder(dividingBy: pages.pagesPerPiece)
        return DevicePlace(
            memory: pieces[piece], offset: number * pageByteCount, byteCount: pageByteCount)
    }
}
