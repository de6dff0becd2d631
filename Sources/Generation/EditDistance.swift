/// Levenshtein's distance, for "did you mean".
package enum EditDistance {
    /// Longer names get no hint, and no more cells than these are computed for one: a hint is worth
    /// a millisecond.
    private static let longestName = 64
    private static let cellLimit = 500_000

    package static func nearest(to name: String, among names: [String]) -> [String] {
        let wanted = Array(name.lowercased().utf8)
        guard wanted.count <= longestName else { return [] }
        let limit = max(1, (wanted.count + 2) / 3)
        var cellCount = 0
        var near: [(distance: Int, name: String)] = []
        for candidate in names where abs(candidate.utf8.count - wanted.count) <= limit {
            cellCount += candidate.utf8.count * wanted.count
            guard cellCount <= cellLimit else { break }
            let distance = distance(wanted, Array(candidate.lowercased().utf8))
            if distance <= limit { near.append((distance, candidate)) }
        }
        return near.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(3).map(\.name)
    }

    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
