import DeviceTransformer
import TestSupport
import Testing

/// Whatever is taken, given back and moved: no page is lost or has two owners, and what is there stays as it was.
struct PagePoolTests {
    /// A pool and what a device would hold for it: each page's owner and which page of the owner's it is.
    struct Shadow {
        var pool: PagePool
        var contents: [[Int]?]
        var held: [PagePool.ID: Int] = [:]

        init(pageCount: Int, pagesPerPiece: Int) {
            pool = PagePool(pageCount: pageCount, pagesPerPiece: pagesPerPiece)
            contents = Array(repeating: nil, count: pageCount)
        }

        mutating func take(_ count: Int) -> Bool {
            guard let id = pool.take(count) else { return false }
            for (index, page) in pool[id].enumerated() {
                #expect(contents[page] == nil, "page \(page) has two owners")
                contents[page] = [id, index]
            }
            held[id] = count
            return true
        }

        mutating func give(_ id: PagePool.ID) {
            for page in pool[id] { contents[page] = nil }
            pool.give(id)
            held[id] = nil
        }

        /// Page by page, as a device copies.
        mutating func compact() {
            for move in pool.compact() {
                #expect(move.to.lowerBound < move.from.lowerBound)
                for (from, to) in zip(move.from, move.to) {
                    contents[to] = contents[from]
                    contents[from] = nil
                }
            }
        }

        func check() {
            #expect(pool.freeCount == contents.filter { $0 == nil }.count)
            #expect(pool.runCount == held.count)
            for (id, count) in held {
                let run = pool[id]
                #expect(run.count == count)
                #expect(
                    run.lowerBound / pool.pagesPerPiece == (run.upperBound - 1) / pool.pagesPerPiece
                )
                for (index, page) in run.enumerated() { #expect(contents[page] == [id, index]) }
            }
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func noPageIsLostOrShared(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let perPiece = Int.random(in: 4...40, using: &generator)
        var shadow = Shadow(
            pageCount: Int.random(in: 1...90, using: &generator), pagesPerPiece: perPiece)
        for _ in 0..<400 {
            let largest = min(perPiece, Bool.random(using: &generator) ? 1 : 9)
            let count = Int.random(in: 1...largest, using: &generator)
            if Int.random(in: 0..<5, using: &generator) < 3 {
                let isThere = shadow.take(count)
                if !isThere, count <= shadow.pool.freeCount {
                    shadow.compact()
                    let fits = shadow.take(count)
                    // In one piece of memory what is free is then side by side.
                    #expect(fits || shadow.pool.pageCount > perPiece)
                }
            } else if let id = shadow.held.keys.sorted().randomElement(using: &generator) {
                shadow.give(id)
            }
            shadow.check()
        }
        for id in shadow.held.keys { shadow.give(id) }
        #expect(shadow.pool.freeCount == shadow.pool.pageCount)
    }
}
