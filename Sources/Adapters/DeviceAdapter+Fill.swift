internal import ModelFiles
internal import Tensors

extension LowRankUpdate {
    /// Writes an adapter's numbers where they belong.
    func fill(
        from file: AdapterFile, targets: [AdapterFile.Target], base: Checkpoint, pace: () -> Void
    ) throws {
        var placed: [(column: Int, a: Matrix)] = []
        let team = WorkerTeam(memberCount: 1)
        for (target, expansion) in zip(targets, expansions) {
            guard let expansion else { continue }
            let delta = file.deltas[target]
            let scale = delta?.scale ?? 1
            let own = try delta?.bias?.values().map { $0 * scale }
            let biases = [own, try file.biasChange(target, base: base)].compactMap { $0 }
            if let first = biases.first {
                expansion.bias?.setRow(
                    0, biases.dropFirst().reduce(first) { zip($0, $1).map(+) })
            }
            guard let delta else { continue }
            let a = try delta.a.matrix()
            try expansion.weights.pack(team: team) { index, row in
                try delta.b.read(row: index, into: &row)
            }
            if delta.magnitude != nil {
                let weights = try file.weights(target, base: base)
                expansion.gain?.setRow(0, try delta.gains(of: weights, a: a, pace: pace))
            }
            placed.append((expansion.column, a))
        }
        let rows = placed
        shrink.pack(team: team) { index, target in
            guard let (column, a) = rows.last(where: { $0.column <= index }) else { return }
            // Rows that only pad a rank to the format's multiple are zero.
            for k in 0..<target.count {
                target[k] = index - column < a.rowCount ? a[row: index - column, column: k] : 0
            }
        }
    }
}

extension OwnWeights {
    /// Writes an adapter's numbers where they belong.
    func fill(from file: AdapterFile, base: Checkpoint, pace: () -> Void) throws {
        let team = WorkerTeam(memberCount: 1)
        for (role, matrix) in matrices {
            // The head's memory is the embedding's.
            if role == .head, file.hasOneTable { continue }
            guard let tensor = file.replaced[role] else { continue }
            pace()
            try matrix.pack(team: team) { index, row in try tensor.read(row: index, into: &row) }
        }
        for (role, norm) in norms {
            if let tensor = file.replaced[role] { norm.setRow(0, try tensor.vector()) }
        }
        for (target, rows) in tables {
            guard let own = file.tokenRows[target] else { continue }
            try rows.rows.pack(team: team) { index, row in try own.read(row: index, into: &row) }
        }
        if let scores, let tensor = file.scores {
            for row in 0..<scores.rowCount {
                try scores.withMutableRow(row) { (values) throws(NonFiniteValue) in
                    try tensor.read(row: row, into: &values)
                }
            }
        }
        guard let change, let delta = file.deltas[.embedding] else { return }
        let (a, b) = (try delta.a.matrix(), try delta.b.matrix())
        for rank in 0..<delta.rank {
            for token in 0..<a.columnCount {
                change.a[row: token, column: rank] = a[row: rank, column: token]
            }
            for column in 0..<b.rowCount {
                change.b[row: rank, column: column] = b[row: column, column: rank]
            }
        }
        if delta.magnitude != nil {
            let weights = try file.weights(.embedding, base: base)
            change.gain?.setRow(0, try delta.embeddingGains(of: weights, change, pace: pace))
        }
    }
}

extension AdapterFile {
    /// What a low-rank change is added to.
    fileprivate func weights(_ target: Target, base: Checkpoint) throws -> StoredTensor {
        let stored = replaced[target.role] ?? base[target.role]
        guard let stored = target == .head ? stored ?? base[.embedding] : stored else {
            throw ModelFileError(.missingTensor, "the base lacks \(target.moduleName)")
        }
        return stored
    }

    /// The adapter's bias in the base's place, less the base's, which is added to every row.
    fileprivate func biasChange(_ target: Target, base: Checkpoint) throws -> [Float]? {
        guard case .projection(let layer, let projection) = target,
            let bias = replaced[.bias(layer: layer, projection)]
        else { return nil }
        let own = try bias.vector()
        guard let before = base[.bias(layer: layer, projection)] else { return own }
        return zip(own, try before.vector()).map { $0 - $1 }
    }
}

extension AdapterFile.Delta {
    /// DoRA's m / n, n being the norm of each output's row of W + scale · B A, with W as the base's
    /// file has it (https://arxiv.org/abs/2402.09353, as PEFT computes it at inference).
    fileprivate func gains(
        of stored: StoredTensor, a: Matrix, pace: () -> Void
    ) throws -> [Float] {
        let b = try b.matrix()
        let weights = Matrix(rowCount: 1, columnCount: stored.columnCount)
        var squares: [Double] = []
        for output in 0..<stored.rowCount {
            if output % 64 == 0 { pace() }
            try weights.withMutableRow(0) { row in try stored.read(row: output, into: &row) }
            for rank in 0..<a.rowCount {
                weights.add(scale * b[row: output, column: rank], times: a, row: rank, toRow: 0)
            }
            squares.append(
                weights.withRow(0) { row in
                    row.indices.reduce(0.0) { $0 + Double(row[$1]) * Double(row[$1]) }
                })
        }
        return try gains(norms: squares)
    }

    /// The same for an embedding, whose norms are over all tokens, one for each column.
    fileprivate func embeddingGains(
        of stored: StoredTensor, _ change: OwnWeights.EmbeddingChange, pace: () -> Void
    ) throws -> [Float] {
        let weights = Matrix(rowCount: 1, columnCount: stored.columnCount)
        var squares = Array(repeating: 0.0, count: stored.columnCount)
        for token in 0..<stored.rowCount {
            if token % 64 == 0 { pace() }
            try weights.withMutableRow(0) { row in try stored.read(row: token, into: &row) }
            for rank in 0..<change.b.rowCount {
                weights.add(
                    change.scale * change.a[row: token, column: rank], times: change.b, row: rank,
                    toRow: 0)
            }
            weights.withRow(0) { row in
                for column in row.indices {
                    squares[column] += Double(row[column]) * Double(row[column])
                }
            }
        }
        return try gains(norms: squares)
    }

    private func gains(norms squares: [Double]) throws -> [Float] {
        guard let magnitude else { return [] }
        return try zip(try magnitude.values(), squares).enumerated().map { index, pair in
            let gain = pair.0 / Float(pair.1.squareRoot())
            guard gain.isFinite else { throw NonFiniteValue(tensor: magnitude.name, row: index) }
            return gain
        }
    }
}
