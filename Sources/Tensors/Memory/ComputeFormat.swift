internal import CMartletKernels

/// The number format of activations and of cached keys and values. Sums are 32-bit floats always.
package enum ComputeFormat: String, Sendable, CaseIterable {
    /// 32-bit floats: the reference.
    case f32
    /// Brain floats, rounded to nearest even.
    case bf16

    package var elementByteCount: Int {
        switch self {
        case .f32: 4
        case .bf16: 2
        }
    }

    /// What the inner side of an attention product is rounded up to: bf16 is multiplied in pairs.
    package var inputMultiple: Int {
        switch self {
        case .f32: 1
        case .bf16: 2
        }
    }
}

/// The number format that weights are stored and multiplied in.
package enum WeightFormat: String, Sendable, CaseIterable {
    case f32, bf16
    /// Integers of 8 and of 4 bits in blocks of 32 inputs with a scale each, for q4 a minimum too.
    /// What they multiply is quantized to 8 bits, row by row in blocks of 32.
    case q8, q4

    package var isQuantized: Bool { self == .q8 || self == .q4 }

    /// What the input side of a product is rounded up to.
    package var inputMultiple: Int {
        switch self {
        case .f32: 1
        case .bf16: 2
        case .q8: 4
        case .q4: 64
        }
    }

    /// Inputs of a row that share a scale.
    package var blockLength: Int {
        switch self {
        case .f32, .bf16: 1
        case .q8, .q4: 32
        }
    }

    /// Bytes of one panel, 16 outputs with all their inputs.
    func panelByteCount(inputCount: Int) -> Int {
        cmk_panel_bytes(kind, inputCount)
    }

    /// What multiplies weights in this format and activations that are as exact as they are.
    private var kind: cmk_kind {
        switch self {
        case .f32: CMK_F32
        case .bf16: CMK_BF16
        case .q8: CMK_Q8
        case .q4: CMK_Q4
        }
    }

    /// The format of adapters beside weights in this one, unless another is asked for.
    package var adapterFormat: WeightFormat { self == .f32 ? .f32 : .bf16 }

    /// The format of the embedding and the head: 4 bits would cost more there than they save.
    package var embeddingFormat: WeightFormat { self == .q4 ? .q8 : self }
}

/// Sixteen: the outputs of a panel and the positions of a key/value block.
package enum Lanes {
    package static let count = CMK_LANES
}
