package import ModelFiles
package import Tensors

/// Adapters whose scaled changes are added up, as PEFT's `add_weighted_adapter` does with
/// `combination_type="cat"`: y = W x + Σ scale · (alpha / r) · B A x. It becomes an adapter like any other, with the
/// parts' A matrices one below the other and their B matrices side by side.
///
/// The order of the parts changes nothing: they are sorted by digest and scale first.
package struct AdapterMix: Sendable {
    package struct Part: Sendable {
        package var adapter: DeviceAdapter
        package var scale: Float

        package init(_ adapter: DeviceAdapter, scale: Float) {
            self.adapter = adapter
            self.scale = scale
        }
    }

    package let digest: AdapterDigest
    private let parts: [Part]
    private let shape: AdapterShape
    private let layout: AdapterLayout

    /// - Throws: `ModelFileError` with `adapter_cannot_be_mixed` when the sum is no low-rank change or does not say how
    ///   its conversations are written, with `limit_exceeded` when its rank is too large.
    package init(
        _ parts: [Part], base: ModelConfiguration, format: WeightFormat,
        limits: AdapterLimits = AdapterLimits()
    ) throws(ModelFileError) {
        for part in parts { try AdapterMix.check(part.adapter) }
        let texts = parts.compactMap(\.adapter.text)
        guard texts.allSatisfy({ $0 == texts.first }) else {
            throw ModelFileError(
                .notMixable,
                "Adapters of a mix have different chat templates, ends or defaults of their own.")
        }
        self.parts = parts.sorted {
            ($0.adapter.digest.description, $0.scale) < ($1.adapter.digest.description, $1.scale)
        }
        digest = AdapterDigest(mix: self.parts.map { ($0.adapter.digest, $0.scale) })
        var changes: [AdapterFile.Target: AdapterShape.Part] = [:]
        for part in self.parts {
            for (target, change) in part.adapter.shape.parts {
                let scale = change.scale * part.scale
                var sum =
                    changes[target]
                    ?? AdapterShape.Part(rank: 0, scale: scale, hasGain: false, hasBias: false)
                sum.rank += AdapterMix.width(of: change.rank, format)
                if abs(scale) > abs(sum.scale) { sum.scale = scale }
                guard sum.rank <= limits.rank, scale.isFinite else {
                    throw ModelFileError(
                        .limitExceeded,
                        "The ranks of the mix come to \(sum.rank) at \(target.moduleName); at most \(limits.rank) are supported."
                    )
                }
                changes[target] = sum
            }
        }
        shape = AdapterShape(mixed: changes, base: base)
        layout = AdapterLayout(shape, base: base, format: format)
    }

    package var byteCount: Int { layout.byteCount }

    /// Columns that a part takes in a B of the sum: parts of different sizes share no scale.
    fileprivate static func width(of rank: Int, _ format: WeightFormat) -> Int {
        rank.roundedUp(toMultipleOf: max(format.inputMultiple, format.blockLength))
    }

    private static func check(_ adapter: DeviceAdapter) throws(ModelFileError) {
        let shape = adapter.shape
        var reason: String?
        if shape.parts.values.contains(where: \.hasGain) { reason = "uses DoRA" }
        if adapter.expertTable != nil { reason = "changes experts" }
        if adapter.own != nil { reason = "replaces or changes weights of its own" }
        if shape.hasOwnVocabulary { reason = "has a vocabulary of its own" }
        if !shape.invocation.isEmpty { reason = "begins at its invocation tokens" }
        if shape.parts.values.contains(where: \.hasBias) { reason = "has biases" }
        guard let reason else { return }
        throw ModelFileError(
            .notMixable,
            "An adapter of the mix, \(adapter.digest.short), \(reason). Only plain LoRA adapters are mixed."
        )
    }

    /// Adds the parts up.
    ///
    /// - Parameter pace: called between pieces of the work.
    package func adapter(pace: () -> Void = {}) -> DeviceAdapter {
        let memory = Buffer(byteCount: layout.byteCount)
        let table = layout.table(in: memory)
        for (index, update) in table.updates.enumerated() {
            pace()
            update?.fill(
                adding: parts.compactMap { part in
                    part.adapter.table.updates[index].map { ($0, part.scale) }
                })
        }
        return DeviceAdapter(
            digest: digest, shape: shape, text: parts.lazy.compactMap(\.adapter.text).first,
            isTokenized: parts.contains(where: \.adapter.isTokenized),
            baseModelName: parts.lazy.compactMap(\.adapter.baseModelName).first, table: table,
            expertTable: nil, own: nil, memory: memory)
    }
}

extension ModelFileError.Code {
    package static let notMixable = Self("adapter_cannot_be_mixed")
}

extension LowRankUpdate {
    /// One part's rows of A and columns of B in a sum.
    private struct Piece {
        var update: LowRankUpdate
        var expansion: Expansion
        /// Where it begins in the sum's shrunk input, and in the sum's B.
        var row: Int
        var column: Int
        /// What B is multiplied by: its scale over the sum's, at most 1.
        var factor: Float
    }

    /// Writes the scaled sum of other updates.
    fileprivate func fill(adding parts: [(update: LowRankUpdate, scale: Float)]) {
        var pieces: [Piece] = []
        let team = WorkerTeam(memberCount: 1)
        for (place, sum) in expansions.enumerated() {
            guard let sum else { continue }
            let first = pieces.count
            var column = 0
            for (update, scale) in parts {
                guard let expansion = update.expansions[place] else { continue }
                let factor = sum.scale == 0 ? 0 : expansion.scale * scale / sum.scale
                pieces.append(
                    Piece(
                        update: update, expansion: expansion, row: sum.column + column,
                        column: column, factor: factor))
                column += AdapterMix.width(
                    of: expansion.weights.inputCount, expansion.weights.format)
            }
            let own = pieces[first...]
            sum.weights.pack(team: team) { index, row in
                for k in 0..<row.count { row[k] = 0 }
                for piece in own {
                    let weights = piece.expansion.weights
                    let staging = Matrix(rowCount: 1, columnCount: weights.inputCount)
                    weights.unpackRow(index, into: staging, row: 0)
                    staging.withRow(0) { values in
                        for k in 0..<values.count {
                            row[piece.column + k] = piece.factor * values[k]
                        }
                    }
                }
            }
        }
        let rows = pieces
        shrink.pack(team: team) { index, row in
            guard let piece = rows.last(where: { $0.row <= index }),
                index - piece.row < piece.expansion.weights.inputCount
            else {
                for k in 0..<row.count { row[k] = 0 }
                return
            }
            let staging = Matrix(rowCount: 1, columnCount: row.count)
            piece.update.shrink.unpackRow(
                piece.expansion.column + index - piece.row, into: staging, row: 0)
            staging.withRow(0) { values in for k in 0..<row.count { row[k] = values[k] } }
        }
    }
}
