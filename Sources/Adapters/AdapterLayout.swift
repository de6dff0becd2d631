package import ModelFiles
package import Tensors

/// Where an adapter's panels and vectors lie in one piece of memory. It follows from the adapter's
/// shape, the base and the format alone, so a file of that memory need not say it.
package struct AdapterLayout: Sendable {
    /// One projection's way back from the shrunk input.
    struct Expansion: Sendable {
        var part: AdapterShape.Part
        /// Where its columns begin in the shrunk input.
        var column: Int
        var outputCount: Int
        /// Byte offsets, as below.
        var weights: Int
        var gain: Int?
        var bias: Int?
    }

    /// The change at one site of one layer.
    struct Update: Sendable {
        /// Rows of all A matrices below each other, padding included.
        var width: Int
        var inputCount: Int
        var shrink: Int
        /// By the projection's place at its site.
        var expansions: [Expansion?]
    }

    package let format: WeightFormat
    /// By `DeviceAdapter.update`; nil where the adapter changes nothing.
    let updates: [Update?]
    package private(set) var byteCount = 0

    package init(_ shape: AdapterShape, base: ModelConfiguration, format: WeightFormat) {
        self.format = format
        var end = 0
        func take(_ byteCount: Int) -> Int {
            defer { end = (end + byteCount).roundedUp(toMultipleOf: Buffer.alignment) }
            return end
        }
        func matrix(outputCount: Int, inputCount: Int) -> Int {
            take(
                PackedMatrix.byteCount(
                    format: format, outputCount: outputCount, inputCount: inputCount))
        }
        func update(_ layer: Int, _ site: Projection.Site) -> Update? {
            let parts = site.projections.map {
                shape.parts[AdapterFile.Target(layer: layer, projection: $0)]
            }
            func width(_ part: AdapterShape.Part?) -> Int {
                part?.rank.roundedUp(toMultipleOf: format.inputMultiple) ?? 0
            }
            let total = parts.reduce(0) { $0 + width($1) }
            guard total > 0 else { return nil }
            let inputCount = base.inputCount(of: site)
            let shrink = matrix(outputCount: total, inputCount: inputCount)
            var column = 0
            let expansions = zip(site.projections, parts).map { projection, part -> Expansion? in
                guard let part else { return nil }
                defer { column += width(part) }
                let count = base.outputCount(of: projection)
                func vector() -> Int { take(Matrix.byteCount(rowCount: 1, columnCount: count)) }
                return Expansion(
                    part: part, column: column, outputCount: count,
                    weights: matrix(outputCount: count, inputCount: part.rank),
                    gain: part.hasGain ? vector() : nil, bias: part.hasBias ? vector() : nil)
            }
            return Update(
                width: total, inputCount: inputCount, shrink: shrink, expansions: expansions)
        }
        updates = (0..<base.layerCount).flatMap { layer in
            Projection.Site.allCases.map { update(layer, $0) }
        }
        byteCount = end
    }

    /// The matrices and vectors in a buffer that is laid out like this.
    ///
    /// - Precondition: the buffer has `byteCount` bytes.
    func table(in buffer: Buffer) -> LowRankTable {
        precondition(buffer.byteCount == byteCount, "The memory is of another adapter.")
        return LowRankTable(
            format: format,
            updates: updates.map { update in
                update.map { update in
                    LowRankUpdate(
                        shrink: PackedMatrix(
                            format: format, outputCount: update.width,
                            inputCount: update.inputCount, in: buffer, at: update.shrink),
                        expansions: update.expansions.map { $0?.expansion(format, in: buffer) })
                }
            })
    }
}

extension AdapterLayout.Expansion {
    fileprivate func expansion(
        _ format: WeightFormat, in buffer: Buffer
    ) -> LowRankUpdate.Expansion {
        func vector(_ place: Int?) -> Matrix? {
            place.map { Matrix(rowCount: 1, columnCount: outputCount, in: buffer, at: $0) }
        }
        return LowRankUpdate.Expansion(
            column: column, scale: part.scale,
            weights: PackedMatrix(
                format: format, outputCount: outputCount, inputCount: part.rank, in: buffer,
                at: weights),
            gain: vector(gain), bias: vector(bias))
    }
}
