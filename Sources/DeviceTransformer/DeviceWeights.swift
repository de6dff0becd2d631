internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// A base model's weights in a device's memory, in the same panels as in the host's.
struct DeviceWeights {
    /// A matrix in panels: y = x · wᵀ.
    struct Panels {
        var address: UInt64
        var panelCount: Int
        var outputCount: Int
        /// Words of a row of inputs, and of a panel's lane.
        var words: Int
    }

    struct Group {
        var weights: [Panels]
        /// Addresses; 0 where there is none.
        var biases: [UInt64]
        /// Where each projection's outputs begin.
        var columns: [Int]
        var width: Int
    }

    struct Layer {
        var attentionNorm: UInt64
        var feedForwardNorm: UInt64
        var queryNorm: UInt64
        var keyNorm: UInt64
        /// By site.
        var groups: [Group]

        subscript(site: Projection.Site) -> Group { groups[site.rawValue] }
    }

    let embedding: Panels
    let head: Panels
    let finalNorm: UInt64
    let layers: [Layer]
    let arena: DeviceArena

    init(
        _ weights: ModelWeights, on device: Device, element: DeviceElement, upload: DeviceUpload
    ) throws(DeviceError) {
        var writer = Writer(
            arena: DeviceArena(device, largestPiece: device.description.largestAllocation),
            upload: upload, element: element)
        embedding = try writer.panels(weights.embedding)
        head =
            weights.configuration.tiesEmbeddings ? embedding : try writer.panels(weights.head)
        finalNorm = try writer.vector(weights.finalNorm)
        var layers: [Layer] = []
        for layer in weights.layers {
            var groups: [Group] = []
            for group in [
                layer.attentionInput, layer.attentionOutput, layer.feedForwardInput,
                layer.feedForwardOutput,
            ] { groups.append(try writer.group(group)) }
            layers.append(
                Layer(
                    attentionNorm: try writer.vector(layer.attentionNorm),
                    feedForwardNorm: try writer.vector(layer.feedForwardNorm),
                    queryNorm: try writer.vector(layer.queryNorm),
                    keyNorm: try writer.vector(layer.keyNorm), groups: groups))
        }
        self.layers = layers
        arena = writer.arena
    }

    private struct Writer {
        var arena: DeviceArena
        let upload: DeviceUpload
        let element: DeviceElement

        mutating func panels(_ matrix: PackedMatrix) throws(DeviceError) -> Panels {
            let place = try arena.place(matrix.byteCount)
            try upload.copy(
                matrix.buffer, at: matrix.byteOffset, count: matrix.byteCount, to: place)
            return Panels(matrix, at: place.address, element)
        }

        /// The address of a matrix' first row; 0 for none.
        mutating func vector(_ matrix: Matrix?) throws(DeviceError) -> UInt64 {
            guard let matrix else { return 0 }
            let byteCount = matrix.columnCount * MemoryLayout<Float>.stride
            let place = try arena.place(byteCount)
            try upload.copy(matrix.buffer, at: matrix.byteOffset, count: byteCount, to: place)
            return place.address
        }

        mutating func group(_ group: LinearGroup) throws(DeviceError) -> Group {
            var (weights, biases): ([Panels], [UInt64]) = ([], [])
            for matrix in group.weights { weights.append(try panels(matrix)) }
            for bias in group.biases { biases.append(try vector(bias)) }
            return Group(
                weights: weights, biases: biases, columns: group.columns, width: group.width)
        }
    }
}

extension DeviceUpload {
    /// Copies a part of the host's memory to a place.
    func copy(
        _ buffer: Buffer, at offset: Int, count: Int, to place: DevicePlace
    ) throws(DeviceError) {
        try buffer.withBytes(offset..<offset + count) { (bytes) throws(DeviceError) in
            try copy(bytes, to: place)
        }
    }
}

extension DeviceWeights.Panels {
    init(_ matrix: PackedMatrix, at address: UInt64, _ element: DeviceElement) {
        self.init(
            address: address, panelCount: matrix.panelCount, outputCount: matrix.outputCount,
            words: element.words(matrix.paddedInputCount))
    }
}
