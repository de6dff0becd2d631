package import ModelFiles
package import Tensors

/// What an adapter has in the place of the base's weights, and its change of the embedding. Most have
/// none of it, so a step asks once whether any row has.
package final class OwnWeights: Sendable {
    /// Rows of a table by their tokens.
    package struct TokenRows: Sendable {
        /// A token's row.
        package let places: [Int32: Int]
        /// (tokens, hidden size).
        package let rows: PackedMatrix

        /// Ascending.
        private let tokens: [(token: Int, row: Int)]
        /// In the order of the rows.
        package let tokensOfRows: [Int32]

        /// Those of a part of the vocabulary.
        package func tokens(in range: Range<Int>) -> ArraySlice<(token: Int, row: Int)> {
            func place(_ token: Int) -> Int {
                var (low, high) = (0, tokens.count)
                while low < high {
                    let middle = (low + high) / 2
                    if tokens[middle].token < token { low = middle + 1 } else { high = middle }
                }
                return low
            }
            return tokens[place(range.lowerBound)..<place(range.upperBound)]
        }

        init(tokens: [Int32], rows: PackedMatrix) {
            self.rows = rows
            tokensOfRows = tokens
            places = Dictionary(uniqueKeysWithValues: zip(tokens, tokens.indices))
            self.tokens = tokens.enumerated().map { (Int($1), $0) }.sorted { $0.token < $1.token }
        }
    }

    /// y = gain · (embedding + scale · A[token] · B).
    package struct EmbeddingChange: Sendable {
        package let scale: Float
        /// (vocabulary, rank).
        package let a: Matrix
        /// (rank, hidden size).
        package let b: Matrix
        package let gain: Matrix?
    }

    let matrices: [Checkpoint.Role: PackedMatrix]
    let norms: [Checkpoint.Role: Matrix]
    private let embeddingRows: TokenRows?
    package let headRows: TokenRows?
    package let change: EmbeddingChange?
    /// (classes, hidden size).
    package let scores: Matrix?

    init(
        matrices: [Checkpoint.Role: PackedMatrix], norms: [Checkpoint.Role: Matrix],
        embeddingRows: TokenRows?, headRows: TokenRows?, change: EmbeddingChange?,
        scores: Matrix?
    ) {
        self.matrices = matrices
        self.norms = norms
        self.embeddingRows = embeddingRows
        self.headRows = headRows
        self.change = change
        self.scores = scores
    }

    /// A weight matrix in the place of the base's.
    package func matrix(_ role: Checkpoint.Role) -> PackedMatrix? { matrices[role] }

    /// One row, in the place of the base's norm.
    package func norm(_ role: Checkpoint.Role) -> Matrix? { norms[role] }

    var tables: [AdapterFile.Target: TokenRows] {
        [.embedding: embeddingRows, .head: headRows].compactMapValues { $0 }
    }

    /// Where everything begins in the adapter's memory.
    var places: [Int] {
        let vectors =
            Array(norms.values) + [change?.a, change?.b, change?.gain, scores].compactMap(\.self)
        return matrices.values.map(\.byteOffset) + vectors.map(\.byteOffset)
            + tables.values.map(\.rows.byteOffset)
    }

    var changesLogits: Bool {
        matrices[.head] != nil || headRows != nil || norms[.finalNorm] != nil
    }

    /// Where a token's embedding is, and whether the change is still to come; nil for the base's table.
    package func embedding(
        of token: Int32
    ) -> (table: PackedMatrix?, row: Int, isChanged: Bool) {
        if let place = embeddingRows?.places[token] { return (embeddingRows?.rows, place, false) }
        return (matrices[.embedding], Int(token), change != nil)
    }

    /// Turns the base's embedding of a token into the adapter's.
    ///
    /// - Parameter row: of `hidden`, which holds the base's.
    package func embed(_ token: Int32, into hidden: Matrix, row: Int) {
        let (table, place, isChanged) = embedding(of: token)
        table?.unpackRow(place, into: hidden, row: row)
        guard isChanged, let change else { return }
        for rank in 0..<change.b.rowCount {
            let factor = change.scale * change.a[row: Int(token), column: rank]
            hidden.add(factor, times: change.b, row: rank, toRow: row)
        }
        if let gain = change.gain { hidden.multiply(row: row, by: gain) }
    }
}
