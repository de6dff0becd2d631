internal import CMartletKernels

/// The number format that weights are multiplied in.
///
/// Sums are 32-bit floats in every format; the format decides how weights, the activations they
/// meet, and cached keys and values are stored.
package enum ComputeFormat: String, Sendable, CaseIterable {
    /// 32-bit floats throughout: the reference.
    case f32
    /// Brain floats, rounded to nearest even.
    case bf16

    package var elementByteCount: Int {
        switch self {
        case .f32: 4
        case .bf16: 2
        }
    }

    /// What the input side of a product is rounded up to: bf16 is multiplied in pairs.
    package var inputMultiple: Int {
        switch self {
        case .f32: 1
        case .bf16: 2
        }
    }
}

/// Sixteen: the outputs of a panel and the positions of a key/value block.
package enum Lanes {
    package static let count = CMK_LANES
}
