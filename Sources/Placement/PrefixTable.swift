/// Which replicas have recently computed how texts begin: their caches may still have it.
///
/// Bounded: when half of it is full, the older half is forgotten.
package struct PrefixTable: Sendable {
    /// Bytes of a request's text for one hash, and about how many tokens that is.
    package static let pieceByteCount = 512
    static let pieceTokens = 128.0
    /// Pieces that are looked at.
    package static let pieceLimit = 64

    private var recent: [UInt64: Int] = [:]
    private var older: [UInt64: Int] = [:]
    private let limit: Int

    /// - Parameter limit: hashes in all.
    package init(limit: Int = 65_536) { self.limit = limit }

    /// A hash for each whole piece of a text, which covers all before it.
    ///
    /// - Parameter salt: texts with different ones share nothing: an adapter's keys and values are its own.
    package static func hashes(of text: some Sequence<UInt8>, salt: String) -> [UInt64] {
        var hash = ByteHash()
        for byte in salt.utf8 { hash.add(byte) }
        var hashes: [UInt64] = []
        var count = 0
        for byte in text {
            hash.add(byte)
            count += 1
            guard count % pieceByteCount == 0 else { continue }
            hashes.append(hash.value)
            if hashes.count == pieceLimit { break }
        }
        return hashes
    }

    /// How many pieces, from the first on, each replica has computed.
    func find(_ hashes: [UInt64]) -> [Int: Int] {
        var found: [Int: Int] = [:]
        for (number, hash) in hashes.enumerated() {
            guard let place = recent[hash] ?? older[hash] else { break }
            found[place] = number + 1
        }
        return found
    }

    mutating func note(_ hashes: [UInt64], at place: Int) {
        for hash in hashes { recent[hash] = place }
        guard recent.count > limit / 2 else { return }
        older = recent
        recent = [:]
    }
}
