internal import Tensors

extension ModelConfiguration {
    /// Reads a GGUF file's metadata.
    package init(gguf file: GGUFFile) throws(ModelFileError) {
        let path = file.path
        let architecture = file.metadata["general.architecture"]?.string ?? ""
        let kind = file.metadata["general.type"]?.string ?? "model"
        guard kind == "model" else {
            throw ModelFileError(
                .unsupportedFile,
                "\(path) holds \(kind == "adapter" ? "an adapter" : kind), not a model")
        }
        guard let family = Family.all.first(where: { $0.architecture == architecture }) else {
            let supported = Family.all.compactMap(\.architecture).joined(separator: ", ")
            throw ModelFileError(
                .unsupportedModel,
                "\(path): the architecture \"\(architecture)\" is not supported; supported are \(supported)"
            )
        }
        let fields = GGUFFields(file: file, architecture: architecture)
        self.family = family
        hiddenSize = try fields.integer("embedding_length")
        intermediateSize = try fields.integer("feed_forward_length")
        layerCount = try fields.integer("block_count")
        headCount = try fields.integer("attention.head_count")
        keyValueHeadCount = try fields.integer("attention.head_count_kv", default: headCount)
        let quotient = headCount > 0 ? hiddenSize / headCount : 0
        headDimension = try fields.integer("attention.key_length", default: quotient)
        let valueDimension = try fields.integer("attention.value_length", default: headDimension)
        let rotated = try fields.integer("rope.dimension_count", default: headDimension)
        if rotated != headDimension, family.defaults.rotatesPartly {
            departures.rotaryDimension = rotated
        }
        guard valueDimension == headDimension,
            rotated == departures.rotaryDimension ?? headDimension
        else {
            throw ModelFileError(
                .unsupportedField,
                "\(path): key, value and rotary dimensions differ; supported is one size for all")
        }
        normEpsilon = Float(try fields.number("attention.layer_norm_rms_epsilon", default: 1e-5))
        contextLength = try fields.integer("context_length", default: 2048)
        rope = RopeParameters(
            theta: Float(try fields.number("rope.freq_base", default: 10_000)), scaling: .none)
        // A file without a type but with a factor is scaled linearly, as llama.cpp reads it.
        let hasFactor = file.metadata["\(architecture).rope.scaling.factor"] != nil
        let scaling: String = try fields.value(
            "rope.scaling.type", \.string, default: hasFactor ? "linear" : "none")
        switch scaling {
        case "none": break
        case "linear":
            rope.scaling = .linear(factor: Float(try fields.number("rope.scaling.factor")))
        case "yarn":
            var yarn = RopeParameters.Yarn(
                factor: try fields.factor("rope.scaling.factor", default: 1),
                originalContext: try fields.integer(
                    "rope.scaling.original_context_length", default: contextLength))
            yarn.fast = try fields.factor("rope.scaling.yarn_beta_fast", default: 32)
            yarn.slow = try fields.factor("rope.scaling.yarn_beta_slow", default: 1)
            yarn.angleScale *= try fields.factor("rope.scaling.attn_factor", default: 1)
            for name in ["yarn_ext_factor", "yarn_attn_factor", "yarn_log_multiplier"]
            where fields.has("rope.scaling.\(name)") {
                throw ModelFileError(
                    .unsupportedField, "\(path): \(architecture).rope.scaling.\(name)")
            }
            rope.scaling = .yarn(yarn)
        default:
            throw ModelFileError(
                .unsupportedField,
                "\(path): \(architecture).rope.scaling.type is \(scaling); supported: none, linear, yarn"
            )
        }
        let embedding = file.tensors["token_embd.weight"]
        vocabularySize = embedding?.rowCount ?? 0
        tiesEmbeddings = file.tensors["output.weight"] == nil
        if let given = try rope(dividedBy: fields) { rope.scaling = given }
        try family.readGGUF(&self, fields)
        self = try validated(source: path)
    }

    /// Tensors that are numbers of the configuration: divisors of rotary frequencies.
    static let ggufRopeTensors = [
        "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight",
    ]

    private func rope(
        dividedBy fields: GGUFFields
    ) throws(ModelFileError) -> RopeParameters.Scaling? {
        let path = fields.file.path
        func divisors(_ name: String) throws(ModelFileError) -> [Float]? {
            guard let tensor = fields.file.tensors[name] else { return nil }
            guard rope.scaling == .none else {
                throw ModelFileError(
                    .unsupportedField, "\(path): \(name) beside another rope.scaling.type")
            }
            guard tensor.shape == [rotaryDimension / 2] else {
                throw ModelFileError(
                    .wrongShape, "\(path): \(name) has shape \(tensor.shape)")
            }
            do {
                return try tensor.values()
            } catch {
                throw ModelFileError(.nonFiniteValue, "\(path): \(error)")
            }
        }
        let names = ModelConfiguration.ggufRopeTensors
        let (all, short, long) = (
            try divisors(names[0]), try divisors(names[1]), try divisors(names[2])
        )
        // Of YaRN it is read there.
        let angleScale = try fields.factor("rope.scaling.attn_factor", default: 1)
        guard short == nil, long == nil else {
            guard let short, let long, all == nil else {
                throw ModelFileError(
                    .missingTensor, "\(path): of \(names.joined(separator: ", ")) some are missing")
            }
            return .longrope(
                RopeParameters.LongRope(
                    short: short, long: long,
                    originalContext: try fields.integer("rope.scaling.original_context_length"),
                    angleScale: angleScale))
        }
        if case .yarn = rope.scaling { return nil }
        guard angleScale == 1 else {
            throw ModelFileError(
                .unsupportedField,
                "\(path): \(fields.architecture).rope.scaling.attn_factor is \(angleScale)")
        }
        return all.map { .divisors($0) }
    }
}
