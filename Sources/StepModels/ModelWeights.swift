package import ModelFiles
package import Tensors

/// A base model's weights, packed in panels.
package struct ModelWeights: Sendable {
    package let configuration: ModelConfiguration
    package let format: WeightFormat
    /// (vocabulary, hidden). With tied embeddings it is the head too.
    package let embedding: PackedMatrix
    package let head: PackedMatrix
    package let finalNorm: Matrix
    package let layers: [Layer]
    package let byteCount: Int

    package final class Layer: Sendable {
        /// Before attention and feed-forward, where the family has norms there.
        package let attentionNorm: Matrix?
        package let feedForwardNorm: Matrix?
        /// Behind them.
        package let attentionOutputNorm: Matrix?
        package let feedForwardOutputNorm: Matrix?
        package let queryNorm: Matrix?
        package let keyNorm: Matrix?
        package let attentionInput: LinearGroup
        package let attentionOutput: LinearGroup
        package let feedForwardInput: LinearGroup
        package let feedForwardOutput: LinearGroup
        /// In the place of the one feed-forward part, whose groups are empty then.
        package let experts: ExpertWeights?

        init(
            attentionNorm: Matrix?, feedForwardNorm: Matrix?, attentionOutputNorm: Matrix?,
            feedForwardOutputNorm: Matrix?, queryNorm: Matrix?, keyNorm: Matrix?,
            attentionInput: LinearGroup, attentionOutput: LinearGroup,
            feedForwardInput: LinearGroup, feedForwardOutput: LinearGroup,
            experts: ExpertWeights?
        ) {
            self.attentionNorm = attentionNorm
            self.feedForwardNorm = feedForwardNorm
            self.attentionOutputNorm = attentionOutputNorm
            self.feedForwardOutputNorm = feedForwardOutputNorm
            self.queryNorm = queryNorm
            self.keyNorm = keyNorm
            self.attentionInput = attentionInput
            self.attentionOutput = attentionOutput
            self.feedForwardInput = feedForwardInput
            self.feedForwardOutput = feedForwardOutput
            self.experts = experts
        }

        var byteCount: Int {
            let groups =
                [attentionInput, attentionOutput, feedForwardInput, feedForwardOutput]
                + (experts.map { $0.inputs + $0.outputs } ?? [])
            return groups.flatMap(\.weights).reduce(experts?.router.byteCount ?? 0) {
                $0 + $1.byteCount
            }
        }
    }

    /// Feed-forward parts of which a row takes a few.
    package final class ExpertWeights: Sendable {
        /// (experts, hidden size), never quantized: what a rounding changes is which experts a row takes.
        package let router: PackedMatrix
        /// Gate and up, of each expert.
        package let inputs: [LinearGroup]
        package let outputs: [LinearGroup]

        init(router: PackedMatrix, inputs: [LinearGroup], outputs: [LinearGroup]) {
            self.router = router
            self.inputs = inputs
            self.outputs = outputs
        }
    }

    /// Reads and packs every tensor.
    ///
    /// - Parameter progress: told the share that is done, 0 ... 1, after each layer.
    /// - Throws: `ModelFileError` with `non_finite_value` when a weight is a NaN or an infinity.
    package init(
        _ checkpoint: Checkpoint, format: WeightFormat, team: WorkerTeam,
        progress: (Double) -> Void = { _ in }
    ) throws(ModelFileError) {
        let configuration = checkpoint.configuration
        let reader = Reader(checkpoint: checkpoint, format: format, team: team)
        checkpoint.readAhead()
        do {
            embedding = try reader.matrix(.embedding, format.embeddingFormat)
            head =
                configuration.tiesEmbeddings
                ? embedding : try reader.matrix(.head, format.embeddingFormat)
            finalNorm = try reader.vector(.finalNorm)
            var layers: [Layer] = []
            for layer in 0..<configuration.layerCount {
                progress(Double(layer) / Double(configuration.layerCount))
                layers.append(try reader.layer(layer))
            }
            self.layers = layers
        } catch let error as NonFiniteValue {
            throw ModelFileError(.nonFiniteValue, "\(checkpoint.path): \(error)")
        } catch let error as ModelFileError {
            throw error
        } catch {
            throw ModelFileError(.malformedFile, "\(checkpoint.path): \(error)")
        }
        progress(1)
        checkpoint.releasePages()
        self.configuration = configuration
        self.format = format
        byteCount =
            embedding.byteCount + (configuration.tiesEmbeddings ? 0 : head.byteCount)
            + layers.reduce(0) { $0 + $1.byteCount }
    }

    private struct Reader {
        let checkpoint: Checkpoint
        let format: WeightFormat
        let team: WorkerTeam

        func tensor(_ role: Checkpoint.Role) throws -> StoredTensor {
            guard let tensor = checkpoint[role] else {
                throw ModelFileError(.missingTensor, "\(checkpoint.path): \(role) is missing")
            }
            return tensor
        }

        func matrix(_ role: Checkpoint.Role, _ format: WeightFormat) throws -> PackedMatrix {
            try matrices([role], format)[0]
        }

        /// Matrices that one product splits over the team.
        func matrices(
            _ roles: [Checkpoint.Role], _ format: WeightFormat
        ) throws -> [PackedMatrix] {
            let tensors = try roles.map(tensor)
            let packed = tensors.map {
                PackedMatrix(format: format, outputCount: $0.rowCount, inputCount: $0.columnCount)
            }
            try PackedMatrix.pack(packed, team: team) {
                (place, index, row) throws(NonFiniteValue) in
                try tensors[place].read(row: index, into: &row)
            }
            return packed
        }

        func vector(_ role: Checkpoint.Role) throws -> Matrix {
            Matrix(rows: [try tensor(role).vector()])
        }

        func group(_ layer: Int, _ site: Projection.Site) throws -> LinearGroup {
            let own = checkpoint.configuration.projections(layer: layer)
            guard site.projections.allSatisfy(own.contains) else {
                return LinearGroup(site: site, weights: [], biases: [])
            }
            let roles = site.projections.map { Checkpoint.Role.weight(layer: layer, $0) }
            return LinearGroup(
                site: site,
                // Gate and up are split each by itself, see `DecoderModel.pieces`.
                weights: site == .feedForwardInput
                    ? try roles.map { try matrix($0, format) } : try matrices(roles, format),
                biases: try site.projections.map { projection in
                    let role = Checkpoint.Role.bias(layer: layer, projection)
                    return checkpoint[role] == nil ? nil : try vector(role)
                })
        }

        func experts(_ layer: Int) throws -> ExpertWeights? {
            guard let experts = checkpoint.configuration.departures.experts,
                checkpoint.configuration.hasExperts(layer: layer)
            else { return nil }
            func groups(_ site: Projection.Site) throws -> [LinearGroup] {
                try (0..<experts.count).map { expert in
                    LinearGroup(
                        site: site,
                        weights: try site.projections.map {
                            try matrix(.expert(layer: layer, expert, $0), format)
                        }, biases: site.projections.map { _ in nil })
                }
            }
            return ExpertWeights(
                router: try matrix(.router(layer: layer), format == .f32 ? .f32 : .bf16),
                inputs: try groups(.feedForwardInput), outputs: try groups(.feedForwardOutput))
        }

        func layer(_ layer: Int) throws -> Layer {
            func norm(_ role: Checkpoint.Role) throws -> Matrix? {
                checkpoint[role] == nil ? nil : try vector(role)
            }
            return Layer(
                attentionNorm: try norm(.attentionNorm(layer: layer)),
                feedForwardNorm: try norm(.feedForwardNorm(layer: layer)),
                attentionOutputNorm: try norm(.attentionOutputNorm(layer: layer)),
                feedForwardOutputNorm: try norm(.feedForwardOutputNorm(layer: layer)),
                queryNorm: try norm(.queryNorm(layer: layer)),
                keyNorm: try norm(.keyNorm(layer: layer)),
                attentionInput: try group(layer, .attentionInput),
                attentionOutput: try group(layer, .attentionOutput),
                feedForwardInput: try group(layer, .feedForwardInput),
                feedForwardOutput: try group(layer, .feedForwardOutput),
                experts: try experts(layer))
        }
    }
}
