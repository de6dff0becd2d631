package import ModelFiles
package import Tensors

/// An adapter ready to compute: A and B packed like base weights, one shrink for each shared input.
///
/// Immutable. Whoever holds a reference keeps it alive, so a sequence finishes on the adapter that
/// it began with, whatever its name points to by then.
package final class DeviceAdapter: Sendable {
    package let digest: AdapterDigest
    package let rank: Int
    /// What the adapter says it was trained on.
    package let baseModelName: String?
    package let targets: [AdapterFile.Target]
    /// By `DeviceAdapter.update`.
    package let table: LowRankTable

    package var byteCount: Int { table.byteCount }

    /// The place of a layer's site in the table.
    package static func update(layer: Int, _ site: Projection.Site) -> Int {
        layer * Projection.Site.allCases.count + site.rawValue
    }

    /// Packs an adapter.
    ///
    /// - Parameters:
    ///   - base: needed for DoRA, whose norms are of the base's weights with the change added.
    ///   - format: f32 or bf16.
    /// - Throws: `ModelFileError` with `non_finite_value` for a NaN or an infinity.
    package init(
        _ file: AdapterFile, base: Checkpoint, format: WeightFormat
    ) throws(ModelFileError) {
        digest = AdapterDigest(of: file)
        rank = file.rank
        baseModelName = file.baseModelName
        targets = file.deltas.keys.sorted()
        var updates: [LowRankUpdate?] = []
        for layer in 0..<base.configuration.layerCount {
            for site in Projection.Site.allCases {
                do {
                    updates.append(
                        try LowRankUpdate(
                            file, layer: layer, site: site, base: base, format: format))
                } catch let error as NonFiniteValue {
                    throw ModelFileError(.nonFiniteValue, "\(file.path): \(error)")
                } catch let error as ModelFileError {
                    throw error
                } catch {
                    throw ModelFileError(.malformedFile, "\(file.path): \(error)")
                }
            }
        }
        table = LowRankTable(format: format, updates: updates)
    }
}

extension LowRankUpdate {
    /// - Returns: nil when the adapter changes none of the site's projections in this layer.
    fileprivate init?(
        _ file: AdapterFile, layer: Int, site: Projection.Site, base: Checkpoint,
        format: WeightFormat
    ) throws {
        var placed: [(column: Int, a: Matrix)] = []
        var expansions: [Expansion?] = []
        var width = 0
        let team = WorkerTeam(memberCount: 1)
        for projection in site.projections {
            let target = AdapterFile.Target(layer: layer, projection: projection)
            guard let delta = file.deltas[target] else {
                expansions.append(nil)
                continue
            }
            let a = try delta.a.matrix()
            let columnCount = delta.rank.roundedUp(toMultipleOf: format.inputMultiple)
            let weights = PackedMatrix(
                format: format, outputCount: delta.b.rowCount, inputCount: delta.rank)
            try weights.pack(team: team) { index, row in try delta.b.read(row: index, into: &row) }
            expansions.append(
                Expansion(
                    column: width, scale: delta.scale, weights: weights,
                    gain: try delta.magnitude.map {
                        try LowRankUpdate.gain(magnitude: $0, delta, a, target, base: base)
                    },
                    bias: try delta.bias.map { bias in
                        Matrix(rows: [try bias.values().map { $0 * delta.scale }])
                    }))
            placed.append((width, a))
            width += columnCount
        }
        guard width > 0 else { return nil }
        let rows = placed
        let shrink = PackedMatrix(
            format: format, outputCount: width, inputCount: base.configuration.inputCount(of: site))
        shrink.pack(team: team) { index, target in
            guard let (column, a) = rows.last(where: { $0.column <= index }) else { return }
            // Rows that only pad a rank to the format's multiple are zero.
            for k in 0..<target.count {
                target[k] = index - column < a.rowCount ? a[row: index - column, column: k] : 0
            }
        }
        self.init(shrink: shrink, expansions: expansions)
    }

    /// DoRA's m / n, n being the norm of each output's row of W + scale · B A, with W as the base's
    /// file has it (https://arxiv.org/abs/2402.09353, as PEFT computes it at inference).
    private static func gain(
        magnitude: StoredTensor, _ delta: AdapterFile.Delta, _ a: Matrix,
        _ target: AdapterFile.Target, base: Checkpoint
    ) throws -> Matrix {
        guard let stored = base[.weight(layer: target.layer, target.projection)] else {
            throw ModelFileError(.missingTensor, "the base lacks \(target.moduleName)")
        }
        let b = try delta.b.matrix()
        let magnitudes = try magnitude.values()
        let weights = Matrix(rowCount: 1, columnCount: stored.columnCount)
        var gains: [Float] = []
        for output in 0..<stored.rowCount {
            try weights.withMutableRow(0) { row in
                try stored.read(row: output, into: &row)
                for rank in 0..<a.rowCount {
                    let factor = delta.scale * b[row: output, column: rank]
                    a.withRow(rank) { a in
                        for k in 0..<row.count { row[k] += factor * a[k] }
                    }
                }
            }
            let square = weights.withRow(0) { row in
                (0..<row.count).reduce(0.0) { $0 + Double(row[$1]) * Double(row[$1]) }
            }
            let gain = magnitudes[output] / Float(square.squareRoot())
            guard gain.isFinite else { throw NonFiniteValue(tensor: magnitude.name, row: output) }
            gains.append(gain)
        }
        return Matrix(rows: [gains])
    }
}
