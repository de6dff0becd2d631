internal import Synchronization
internal import Tensors

/// How an adapter's memory is cut for a device whose memory is handed out in pages: parts that each stand in pages side by
/// side, mostly in one. A matrix is never cut.
package struct AdapterParts: Sendable {
    package struct Part: Sendable, Equatable {
        /// Of the adapter's memory, the table behind it included.
        package var bytes: Range<Int>
        package var pageCount: Int
    }

    package let parts: [Part]
    /// Where the device's table begins, behind everything else.
    package let tableOffset: Int
    package let pageCount: Int

    /// - Parameters:
    ///   - starts: where matrices and vectors begin, ascending.
    ///   - byteCount: of the memory.
    ///   - tableByteCount: of a table that the device's kernels read, which stands behind it.
    init(starts: [Int], byteCount: Int, tableByteCount: Int, pageByteCount: Int) {
        precondition(pageByteCount > 0, "A page has bytes.")
        tableOffset = byteCount.roundedUp(toMultipleOf: Buffer.alignment)
        let end = tableOffset + tableByteCount
        var parts: [Part] = []
        var start = 0
        func close(at place: Int) {
            guard place > start else { return }
            let count = (place - start + pageByteCount - 1) / pageByteCount
            parts.append(Part(bytes: start..<place, pageCount: count))
            start = place
        }
        let places = starts.drop { $0 == 0 } + [tableOffset, end]
        for (index, place) in places.enumerated() where place > start {
            // What is between the last place and this one does not fit beside what came before it.
            let last = index == 0 ? 0 : places[places.startIndex + index - 1]
            if place - start > pageByteCount { close(at: last) }
            if place - start > pageByteCount { close(at: place) }
        }
        close(at: end)
        self.parts = parts
        pageCount = parts.reduce(0) { $0 + $1.pageCount }
    }

    /// The part that a byte is in.
    package func index(of offset: Int) -> Int {
        var (low, high) = (0, parts.count - 1)
        while low < high {
            let middle = (low + high + 1) / 2
            if parts[middle].bytes.lowerBound <= offset { low = middle } else { high = middle - 1 }
        }
        return low
    }
}

extension DeviceAdapter {
    /// How the adapter is cut into pages. Computed once for a size of pages.
    package func parts(pageByteCount: Int, tableByteCount: Int) -> AdapterParts {
        lastParts.withLock { last in
            if let last, last.pageByteCount == pageByteCount { return last.parts }
            let parts = AdapterParts(
                starts: starts, byteCount: byteCount, tableByteCount: tableByteCount,
                pageByteCount: pageByteCount)
            last = (pageByteCount, parts)
            return parts
        }
    }

    /// Where matrices and vectors begin, ascending.
    private var starts: [Int] {
        var places = own?.places ?? []
        for update in table.updates {
            guard let update else { continue }
            places.append(update.shrink.byteOffset)
            for part in update.expansions {
                guard let part else { continue }
                places.append(part.weights.byteOffset)
                places += [part.gain, part.bias].compactMap { $0?.byteOffset }
            }
        }
        return places.sorted()
    }
}
