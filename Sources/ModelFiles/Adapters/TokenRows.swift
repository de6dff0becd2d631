package import Tensors

extension AdapterFile {
    /// Rows that take the place of a table's, or come behind them.
    package struct TokenRows: Sendable {
        /// The token of each row.
        package private(set) var tokens: [Int32]
        /// The rows, in this order: each (some of the tokens, hidden size).
        package private(set) var pieces: [StoredTensor]
        /// The first row of each piece.
        private var starts = [0]

        package init(tokens: [Int32], rows: StoredTensor) {
            self.tokens = tokens
            pieces = [rows]
        }

        /// Some rows of a table that has one for each token.
        ///
        /// - Parameter tokens: ascending; not none.
        init?(_ tokens: [Int32], of table: StoredTensor) {
            self.tokens = []
            pieces = []
            starts = []
            guard add(tokens, of: table), !tokens.isEmpty else { return nil }
        }

        /// Adds rows for tokens that have none yet.
        ///
        /// - Returns: false where the table cannot be cut into its rows.
        mutating func add(_ more: [Int32], of table: StoredTensor) -> Bool {
            var run = 0
            while run < more.count {
                var end = run + 1
                while end < more.count, more[end] == more[end - 1] + 1 { end += 1 }
                let first = Int(more[run])
                guard let piece = table.rows(first..<first + end - run) else { return false }
                starts.append(tokens.count)
                pieces.append(piece)
                tokens += more[run..<end]
                run = end
            }
            return true
        }

        /// Decodes row `index`, counted over all pieces.
        ///
        /// - Throws: `NonFiniteValue` when it holds a NaN or an infinity.
        package func read(
            row index: Int, into row: inout MutableSpan<Float>
        ) throws(NonFiniteValue) {
            var (low, high) = (0, starts.count - 1)
            while low < high {
                let middle = (low + high + 1) / 2
                if starts[middle] <= index { low = middle } else { high = middle - 1 }
            }
            try pieces[low].read(row: index - starts[low], into: &row)
        }
    }
}
