package import JSONTree
package import Tensors

/// A LoRA adapter as its files hold it, checked against the base it is for: the change of each
/// projection of each layer, and nothing that was not understood.
package struct AdapterFile: Sendable {
    /// The change of one projection: y += scale · B(A x), and what goes with it.
    package struct Delta: Sendable {
        /// (rank, inputs).
        package var a: StoredTensor
        /// (outputs, rank).
        package var b: StoredTensor
        /// (outputs); y += scale · bias.
        package var bias: StoredTensor?
        /// (outputs); DoRA's magnitudes.
        package var magnitude: StoredTensor?
        package var scale: Float

        package var rank: Int { a.rowCount }
    }

    /// A projection of a layer.
    package struct Target: Hashable, Sendable, Comparable {
        package var layer: Int
        package var projection: Projection

        package init(layer: Int, projection: Projection) {
            self.layer = layer
            self.projection = projection
        }

        /// Hugging Face's name of the module.
        package var moduleName: String { "model.layers.\(layer).\(projection.rawValue)" }

        package static func < (a: Target, b: Target) -> Bool {
            (a.layer, a.projection.rawValue) < (b.layer, b.projection.rawValue)
        }
    }

    package var path: String
    package var deltas: [Target: Delta]
    /// What the adapter says it was trained on; advisory.
    package var baseModelName: String?
    /// What the configuration means for the arithmetic, in a form that does not depend on how it
    /// was written; part of the adapter's digest.
    package var normalizedConfiguration: JSON

    /// The largest rank.
    package var rank: Int { deltas.values.map(\.rank).max() ?? 0 }

    /// Opens a PEFT folder or a GGUF LoRA file for a base.
    ///
    /// - Throws: `ModelFileError`; its code and the field or tensor it names say why.
    package static func open(
        path: String, base: ModelConfiguration, limits: AdapterLimits
    ) throws(ModelFileError) -> AdapterFile {
        path.hasSuffix(".gguf") || GGUFFile.isGGUF(path: path)
            ? try AdapterFile(ggufPath: path, base: base, limits: limits)
            : try AdapterFile(folder: path, base: base, limits: limits)
    }

    /// Checks a delta's shapes against the base and each other.
    static func checkShapes(
        _ delta: Delta, of target: Target, base: ModelConfiguration, limits: AdapterLimits,
        source: String
    ) throws(ModelFileError) {
        let inputs = base.inputCount(of: target.projection.site)
        let outputs = base.outputCount(of: target.projection)
        let rank = delta.rank
        func check(_ tensor: StoredTensor?, _ shape: [Int]) throws(ModelFileError) {
            guard let tensor, tensor.shape != shape else { return }
            throw ModelFileError(
                .wrongShape,
                "\(source): tensor \(tensor.name) has shape \(tensor.shape); this base and rank need \(shape)"
            )
        }
        guard rank > 0, rank <= limits.rank else {
            throw ModelFileError(
                .limitExceeded,
                "\(source): tensor \(delta.a.name) has rank \(rank); the limit is \(limits.rank)")
        }
        try check(delta.a, [rank, inputs])
        try check(delta.b, [outputs, rank])
        try check(delta.bias, [outputs])
        try check(delta.magnitude, [outputs])
    }
}

/// Bounds on an adapter, checked before anything is allocated for it.
package struct AdapterLimits: Sendable {
    package var rank = 512
    package var byteCount = 4 << 30

    package init() {}
}

extension ModelFileError.Code {
    public static let unknownField = Self("unknown_field")
    public static let unsupportedTask = Self("unsupported_task")
    public static let unsupportedPEFTType = Self("unsupported_peft_type")
    public static let pickleRefused = Self("pickle_refused")
    public static let wrongBaseModel = Self("wrong_base_model")
    public static let limitExceeded = Self("limit_exceeded")
    public static let rankMismatch = Self("rank_mismatch")
}
