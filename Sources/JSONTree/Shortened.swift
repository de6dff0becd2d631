extension String {
    /// For a message that repeats what somebody sent: at most two thousand bytes of it, cut between
    /// scalars.
    package var shortened: String {
        let limit = 2000
        guard utf8.count > limit else { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end > startIndex, end.samePosition(in: unicodeScalars) == nil {
            end = utf8.index(before: end)
        }
        return String(self[..<end]) + "…"
    }
}
