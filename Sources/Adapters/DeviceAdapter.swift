package import ModelFiles
package import Tensors

/// An adapter ready to compute: A and B packed like base weights, one shrink for each shared input,
/// all of it in one piece of memory.
///
/// Immutable. Whoever holds a reference keeps it alive, so a sequence finishes on the adapter that
/// it began with, whatever its name points to by then.
package final class DeviceAdapter: Sendable {
    package let digest: AdapterDigest
    package let shape: AdapterShape
    /// What the adapter says it was trained on.
    package let baseModelName: String?
    /// By `DeviceAdapter.update`.
    package let table: LowRankTable
    let memory: Buffer

    package var rank: Int { shape.rank }
    package var targets: [AdapterFile.Target] { shape.targets }
    package var byteCount: Int { memory.byteCount }

    /// The place of a layer's site in the table.
    package static func update(layer: Int, _ site: Projection.Site) -> Int {
        layer * Projection.Site.allCases.count + site.rawValue
    }

    /// Packs an adapter.
    ///
    /// - Parameters:
    ///   - base: needed for DoRA, whose norms are of the base's weights with the change added.
    ///   - format: f32, bf16 or q8.
    ///   - pace: called between pieces of the work.
    /// - Throws: `ModelFileError` with `non_finite_value` for a NaN or an infinity.
    package convenience init(
        _ file: AdapterFile, base: Checkpoint, format: WeightFormat, pace: () -> Void = {}
    ) throws(ModelFileError) {
        let shape = AdapterShape(file)
        let layout = AdapterLayout(shape, base: base.configuration, format: format)
        let memory = Buffer(byteCount: layout.byteCount)
        let table = layout.table(in: memory)
        do {
            for layer in 0..<base.configuration.layerCount {
                for site in Projection.Site.allCases {
                    pace()
                    let update = table.updates[DeviceAdapter.update(layer: layer, site)]
                    try update?.fill(from: file, layer: layer, site: site, base: base)
                }
            }
        } catch let error as NonFiniteValue {
            throw ModelFileError(.nonFiniteValue, "\(file.path): \(error)")
        } catch let error as ModelFileError {
            throw error
        } catch {
            throw ModelFileError(.malformedFile, "\(file.path): \(error)")
        }
        self.init(
            digest: AdapterDigest(of: file, pace: pace), shape: shape,
            baseModelName: file.baseModelName, table: table, memory: memory)
    }

    init(
        digest: AdapterDigest, shape: AdapterShape, baseModelName: String?, table: LowRankTable,
        memory: Buffer
    ) {
        self.digest = digest
        self.shape = shape
        self.baseModelName = baseModelName
        self.table = table
        self.memory = memory
    }
}

extension LowRankUpdate {
    /// Writes an adapter's numbers where they belong.
    fileprivate func fill(
        from file: AdapterFile, layer: Int, site: Projection.Site, base: Checkpoint
    ) throws {
        var placed: [(column: Int, a: Matrix)] = []
        let team = WorkerTeam(memberCount: 1)
        for (projection, expansion) in zip(site.projections, expansions) {
            let target = AdapterFile.Target(layer: layer, projection: projection)
            guard let expansion, let delta = file.deltas[target] else { continue }
            let a = try delta.a.matrix()
            try expansion.weights.pack(team: team) { index, row in
                try delta.b.read(row: index, into: &row)
            }
            if let magnitude = delta.magnitude {
                expansion.gain?.setRow(
                    0, try LowRankUpdate.gain(magnitude: magnitude, delta, a, target, base: base))
            }
            if let bias = delta.bias {
                expansion.bias?.setRow(0, try bias.values().map { $0 * delta.scale })
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

    /// DoRA's m / n, n being the norm of each output's row of W + scale · B A, with W as the base's
    /// file has it (https://arxiv.org/abs/2402.09353, as PEFT computes it at inference).
    private static func gain(
        magnitude: StoredTensor, _ delta: AdapterFile.Delta, _ a: Matrix,
        _ target: AdapterFile.Target, base: Checkpoint
    ) throws -> [Float] {
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
        return gains
    }
}
