internal import HeapModule

/// Byte pair encoding: the merges of adjacent pieces, best first, until none applies.
struct BytePairEncoder: Sendable {
    /// Two adjacent pieces.
    struct Pair: Hashable, Sendable {
        var left: Int32
        var right: Int32
    }

    private struct Merge: Sendable {
        var rank: Int32
        var merged: Int32
    }

    private var merges: [Pair: Merge] = [:]

    mutating func reserve(_ count: Int) { merges.reserveCapacity(count) }

    /// Adds a merge. The lower rank goes first; a pair's first rank stays.
    mutating func add(_ left: Int32, _ right: Int32, into merged: Int32, rank: Int) {
        let pair = Pair(left: left, right: right)
        if merges[pair] == nil { merges[pair] = Merge(rank: Int32(rank), merged: merged) }
    }

    /// A merge that may be due: its rank, then its place, decide the order.
    private struct Candidate: Comparable {
        var rank: Int32
        var position: Int32
        var merged: Int32

        static func < (a: Candidate, b: Candidate) -> Bool {
            (a.rank, a.position) < (b.rank, b.position)
        }
    }

    /// Merges the pieces of one word, in O(n log n).
    func encode(_ pieces: [Int32]) -> [Int32] {
        guard pieces.count > 1 else { return pieces }
        var ids = pieces
        // A doubly linked list over the places; a merged-away place is marked dead by id -1.
        var next = (1...pieces.count).map { Int32($0) }
        var previous = (-1..<pieces.count - 1).map { Int32($0) }
        let end = Int32(pieces.count)
        var candidates: [Candidate] = []
        for position in 0..<pieces.count - 1 {
            if let merge = merges[Pair(left: ids[position], right: ids[position + 1])] {
                candidates.append(
                    Candidate(rank: merge.rank, position: Int32(position), merged: merge.merged))
            }
        }
        guard !candidates.isEmpty else { return ids }
        var queue = Heap(candidates)
        while let candidate = queue.popMin() {
            let position = Int(candidate.position)
            let right = next[position]
            guard ids[position] >= 0, right < end,
                let merge = merges[Pair(left: ids[position], right: ids[Int(right)])],
                merge.rank == candidate.rank, merge.merged == candidate.merged
            else { continue }
            ids[position] = merge.merged
            ids[Int(right)] = -1
            let after = next[Int(right)]
            next[position] = after
            if after < end { previous[Int(after)] = Int32(position) }
            let before = previous[position]
            if before >= 0, let merge = merges[Pair(left: ids[Int(before)], right: ids[position])] {
                queue.insert(Candidate(rank: merge.rank, position: before, merged: merge.merged))
            }
            if after < end, let merge = merges[Pair(left: ids[position], right: ids[Int(after)])] {
                queue.insert(
                    Candidate(rank: merge.rank, position: Int32(position), merged: merge.merged))
            }
        }
        return ids.filter { $0 >= 0 }
    }
}
