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

    /// Byte offsets of what `OwnWeights` holds.
    struct Own: Sendable {
        var matrices: [Checkpoint.Role: Int] = [:]
        var norms: [Checkpoint.Role: Int] = [:]
        var tokenRows: [AdapterFile.Target: Int] = [:]
        var change: (a: Int, b: Int, gain: Int?)?
        var scores: Int?
    }

    package let format: WeightFormat
    /// Of what replaces the base's weights: never quantized.
    private let ownFormat: WeightFormat
    private let shape: AdapterShape
    private let base: ModelConfiguration
    /// By `DeviceAdapter.update`; nil where the adapter changes nothing.
    let updates: [Update?]
    /// By `DeviceAdapter.expertUpdate`; empty where it changes no expert and no router.
    private let expertUpdates: [Update?]
    private var own = Own()
    package private(set) var byteCount = 0

    package init(_ shape: AdapterShape, base: ModelConfiguration, format: WeightFormat) {
        self.format = format
        self.shape = shape
        // Tables and changes of them are as long as the adapter's vocabulary.
        var base = base
        base.vocabularySize = shape.vocabularySize
        self.base = base
        ownFormat = format == .f32 ? .f32 : .bf16
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
        func update(_ targets: [AdapterFile.Target]) -> Update? {
            let parts = targets.map { shape.parts[$0] }
            func width(_ part: AdapterShape.Part?) -> Int {
                part?.laidRank.roundedUp(toMultipleOf: format.inputMultiple) ?? 0
            }
            let total = parts.reduce(0) { $0 + width($1) }
            guard total > 0 else { return nil }
            let inputCount = base.inputCount(of: targets[0])
            let shrink = matrix(outputCount: total, inputCount: inputCount)
            var column = 0
            let expansions = zip(targets, parts).map { target, part -> Expansion? in
                guard let part else { return nil }
                defer { column += width(part) }
                let count = base.outputCount(of: target)
                func vector() -> Int { take(Matrix.byteCount(rowCount: 1, columnCount: count)) }
                return Expansion(
                    part: part, column: column, outputCount: count,
                    weights: matrix(outputCount: count, inputCount: part.laidRank),
                    gain: part.hasGain ? vector() : nil, bias: part.hasBias ? vector() : nil)
            }
            return Update(
                width: total, inputCount: inputCount, shrink: shrink, expansions: expansions)
        }
        updates = DeviceAdapter.updateTargets(of: base).map(update)
        expertUpdates =
            shape.parts.keys.contains(where: \.isOfExperts)
            ? DeviceAdapter.expertTargets(of: base).map(update) : []
        for role in shape.replaced {
            let size = base.shape(of: role) ?? []
            if size.count == 2 {
                own.matrices[role] = take(
                    PackedMatrix.byteCount(
                        format: ownFormat, outputCount: size[0], inputCount: size[1]))
            } else {
                own.norms[role] = take(Matrix.byteCount(rowCount: 1, columnCount: size[0]))
            }
        }
        if shape.tiesReplaced { own.matrices[.head] = own.matrices[.embedding] }
        for (target, tokens) in shape.tokens.sorted(by: { $0.key < $1.key }) {
            own.tokenRows[target] = take(
                PackedMatrix.byteCount(
                    format: ownFormat, outputCount: tokens.count, inputCount: base.hiddenSize))
        }
        if shape.classCount > 0 {
            own.scores = take(
                Matrix.byteCount(rowCount: shape.classCount, columnCount: base.hiddenSize))
        }
        if let part = shape.parts[.embedding] {
            func take(_ rowCount: Int, _ columnCount: Int) -> Int {
                end += Matrix.byteCount(rowCount: rowCount, columnCount: columnCount)
                return end - Matrix.byteCount(rowCount: rowCount, columnCount: columnCount)
            }
            own.change = (
                take(base.vocabularySize, part.rank), take(part.rank, base.hiddenSize),
                part.hasGain ? take(1, base.hiddenSize) : nil
            )
        }
        byteCount = end
    }

    /// What `OwnWeights` has in a buffer that is laid out like this; nil when it is nothing.
    ///
    /// - Precondition: the buffer has `byteCount` bytes.
    func ownWeights(in buffer: Buffer) -> OwnWeights? {
        precondition(buffer.byteCount == byteCount, "The memory is of another adapter.")
        guard shape.hasOwnWeights else { return nil }
        func matrix(_ outputCount: Int, _ inputCount: Int, at place: Int) -> PackedMatrix {
            PackedMatrix(
                format: ownFormat, outputCount: outputCount, inputCount: inputCount, in: buffer,
                at: place)
        }
        func size(_ role: Checkpoint.Role) -> [Int] { base.shape(of: role) ?? [] }
        func rows(_ target: AdapterFile.Target) -> OwnWeights.TokenRows? {
            guard let tokens = shape.tokens[target], let place = own.tokenRows[target] else {
                return nil
            }
            return OwnWeights.TokenRows(
                tokens: tokens, rows: matrix(tokens.count, base.hiddenSize, at: place))
        }
        return OwnWeights(
            matrices: Dictionary(
                uniqueKeysWithValues: own.matrices.map { role, place in
                    (role, matrix(size(role)[0], size(role)[1], at: place))
                }),
            norms: Dictionary(
                uniqueKeysWithValues: own.norms.map { role, place in
                    (role, Matrix(rowCount: 1, columnCount: size(role)[0], in: buffer, at: place))
                }),
            embeddingRows: rows(.embedding), headRows: rows(.head),
            change: embeddingChange(in: buffer),
            scores: own.scores.map {
                Matrix(
                    rowCount: shape.classCount, columnCount: base.hiddenSize, in: buffer, at: $0)
            })
    }

    private func embeddingChange(in buffer: Buffer) -> OwnWeights.EmbeddingChange? {
        guard let part = shape.parts[.embedding], let change = own.change else { return nil }
        return OwnWeights.EmbeddingChange(
            scale: part.scale,
            a: Matrix(
                rowCount: base.vocabularySize, columnCount: part.rank, in: buffer, at: change.a),
            b: Matrix(
                rowCount: part.rank, columnCount: base.hiddenSize, in: buffer, at: change.b),
            gain: change.gain.map {
                Matrix(rowCount: 1, columnCount: base.hiddenSize, in: buffer, at: $0)
            })
    }

    /// The matrices and vectors in a buffer that is laid out like this.
    ///
    /// - Precondition: the buffer has `byteCount` bytes.
    func table(in buffer: Buffer) -> LowRankTable { table(updates, in: buffer) }

    /// The same of what changes experts and routers; nil where nothing does.
    func expertTable(in buffer: Buffer) -> LowRankTable? {
        expertUpdates.isEmpty ? nil : table(expertUpdates, in: buffer)
    }

    private func table(_ updates: [Update?], in buffer: Buffer) -> LowRankTable {
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

extension AdapterShape.Part {
    /// A bias alone rides on a change of rank 1 whose numbers are zero.
    fileprivate var laidRank: Int { max(rank, 1) }
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
                format: format, outputCount: outputCount, inputCount: part.laidRank, in: buffer,
                at: weights),
            gain: vector(gain), bias: vector(bias))
    }
}
