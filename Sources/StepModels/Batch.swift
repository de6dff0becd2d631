package import Adapters

/// The token rows of one forward pass, ordered so that rows of one sequence stand together and
/// sequences of one adapter stand together.
package struct Batch: Sendable {
    /// Consecutive positions of one sequence.
    package struct Run: Sendable {
        package var rows: Range<Int>
        package var firstPosition: Int
        /// The sequence's block table, long enough for the run's last position.
        package var blocks: [Int32]

        package init(rows: Range<Int>, firstPosition: Int, blocks: [Int32]) {
            self.rows = rows
            self.firstPosition = firstPosition
            self.blocks = blocks
        }
    }

    /// Consecutive rows on which one adapter acts. Base rows belong to no segment.
    package struct Segment: Sendable {
        package var rows: Range<Int>
        package var adapter: DeviceAdapter

        package init(rows: Range<Int>, adapter: DeviceAdapter) {
            self.rows = rows
            self.adapter = adapter
        }
    }

    package private(set) var tokens: [Int32] = []
    package private(set) var positions: [Int32] = []
    package private(set) var runs: [Run] = []
    package private(set) var segments: [Segment] = []

    package var rowCount: Int { tokens.count }

    package init() {}

    /// Makes room for the next pass, in the same memory.
    package mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        runs.removeAll(keepingCapacity: true)
        segments.removeAll(keepingCapacity: true)
    }

    /// Appends tokens of one sequence.
    ///
    /// - Parameter adapterStart: the first position where the adapter acts; rows before are the base's.
    /// - Precondition: sequences with the same adapter are appended one after another.
    package mutating func append(
        tokens newTokens: some Collection<Int32>, firstPosition: Int, blocks: [Int32],
        adapter: DeviceAdapter?, adapterStart: Int = 0
    ) {
        let rows = rowCount..<rowCount + newTokens.count
        tokens.append(contentsOf: newTokens)
        for offset in 0..<newTokens.count { positions.append(Int32(firstPosition + offset)) }
        runs.append(Run(rows: rows, firstPosition: firstPosition, blocks: blocks))
        let before = min(max(adapterStart, firstPosition) - firstPosition, newTokens.count)
        guard let adapter, before < newTokens.count else { return }
        let adapted = rows.lowerBound + before..<rows.upperBound
        if let last = segments.last, last.adapter === adapter,
            last.rows.upperBound == adapted.lowerBound
        {
            segments[segments.count - 1].rows = last.rows.lowerBound..<adapted.upperBound
        } else {
            segments.append(Segment(rows: adapted, adapter: adapter))
        }
    }

    /// The segments when only some rows are left, in their order.
    package func segments(of rows: [Int]) -> [Segment] {
        if rows.count == rowCount { return segments }
        var rest = rows[...]
        var start = 0
        return segments.compactMap { segment in
            let before = rest.prefix { $0 < segment.rows.lowerBound }.count
            rest = rest.dropFirst(before)
            let own = rest.prefix { $0 < segment.rows.upperBound }.count
            rest = rest.dropFirst(own)
            start += before + own
            return own == 0 ? nil : Segment(rows: start - own..<start, adapter: segment.adapter)
        }
    }
}

extension Sequence<Batch.Segment> {
    /// What a row's adapter has in the base's place, if anything.
    package func own(ofRow row: Int) -> OwnWeights? {
        first { $0.rows.contains(row) }?.adapter.own
    }
}

/// Rows of a batch whose logits are wanted, after the forward pass.
package struct WantedRows {
    package let count: Int
    package let segments: [Batch.Segment]

    package init(count: Int, segments: [Batch.Segment]) {
        self.count = count
        self.segments = segments
    }

    /// Whose logits are not the base's head's alone, counted from the first of some rows.
    package func segments(in rows: Range<Int>) -> [Batch.Segment] {
        segments.compactMap { segment in
            let own = segment.rows.clamped(to: rows)
            guard !own.isEmpty, segment.adapter.changesLogits else { return nil }
            return Batch.Segment(
                rows: own.lowerBound - rows.lowerBound..<own.upperBound - rows.lowerBound,
                adapter: segment.adapter)
        }
    }
}
