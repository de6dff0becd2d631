/// Which pages of a device's memory belong to whom: blocks of the cache and parts of adapters from one pool, so that
/// each may use what the other leaves.
///
/// A plain value that knows numbers of pages only. Single pages come from the low end, longer runs from the high
/// one. When the free pages suffice but lie apart, `compact` says what is to be moved.
package struct PagePool {
    package typealias ID = Int

    /// What `compact` moves: pages to a lower place, which may overlap the one before.
    package struct Move: Equatable {
        package var id: ID
        package var from: Range<Int>
        package var to: Range<Int>
    }

    package let pageCount: Int
    /// Runs do not cross multiples of this: there one piece of memory ends.
    package let pagesPerPiece: Int
    package private(set) var freeCount: Int
    private var runs: [ID: Range<Int>] = [:]
    /// By page; -1 for nobody.
    private var owners: [ID]
    private var lastID = 0
    /// No page below is free.
    private var lowest = 0

    package init(pageCount: Int, pagesPerPiece: Int) {
        precondition(pageCount >= 0 && pagesPerPiece > 0, "Not a pool.")
        self.pageCount = pageCount
        self.pagesPerPiece = pagesPerPiece
        freeCount = pageCount
        owners = Array(repeating: -1, count: pageCount)
    }

    package var runCount: Int { runs.count }

    /// - Precondition: it was taken and not given back.
    package subscript(id: ID) -> Range<Int> {
        guard let run = runs[id] else { preconditionFailure("Nobody has these pages.") }
        return run
    }

    /// Pages side by side; nil when there are none, though there may be after `compact`.
    package mutating func take(_ count: Int) -> ID? {
        precondition(count > 0, "Nothing is not to be taken.")
        guard count <= freeCount, let first = count == 1 ? lowestFree() : highestRun(count) else {
            return nil
        }
        lastID += 1
        let run = first..<first + count
        runs[lastID] = run
        for page in run { owners[page] = lastID }
        freeCount -= count
        return lastID
    }

    package mutating func give(_ id: ID) {
        let run = self[id]
        runs[id] = nil
        for page in run { owners[page] = -1 }
        freeCount += run.count
        lowest = min(lowest, run.lowerBound)
    }

    private mutating func lowestFree() -> Int? {
        while lowest < pageCount, owners[lowest] >= 0 { lowest += 1 }
        return lowest < pageCount ? lowest : nil
    }

    private func highestRun(_ count: Int) -> Int? {
        var length = 0
        for page in owners.indices.reversed() {
            // Above this page a piece ends.
            if (page + 1) % pagesPerPiece == 0 { length = 0 }
            length = owners[page] < 0 ? length + 1 : 0
            if length == count { return page }
        }
        return nil
    }

    /// Moves everything to the low end, in its order.
    ///
    /// - Returns: the moves, to be made one after another. None goes past where it was.
    package mutating func compact() -> [Move] {
        var moves: [Move] = []
        var end = 0
        for (id, run) in runs.sorted(by: { $0.value.lowerBound < $1.value.lowerBound }) {
            let left = pagesPerPiece - end % pagesPerPiece
            if run.count > left { end += left }
            let target = end..<end + run.count
            end = target.upperBound
            guard target != run else { continue }
            for page in run { owners[page] = -1 }
            for page in target { owners[page] = id }
            runs[id] = target
            moves.append(Move(id: id, from: run, to: target))
        }
        lowest = 0
        return moves
    }
}
