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
        // GGUF calls Mistral's architecture llama: without a window they are the same.
        let families: [Family] = [.llama, .qwen2, .qwen3]
        guard let family = families.first(where: { $0.rawValue == architecture }) else {
            let supported = families.map(\.rawValue).joined(separator: ", ")
            throw ModelFileError(
                .unsupportedModel,
                "\(path): the architecture \"\(architecture)\" is not supported; supported are \(supported)"
            )
        }
        func field<Value>(
            _ name: String, _ read: (GGUFValue) -> Value?, default fallback: Value? = nil
        ) throws(ModelFileError) -> Value {
            let key = "\(architecture).\(name)"
            if let value = file.metadata[key] {
                if let value = read(value) { return value }
                throw ModelFileError(.invalidField, "\(path): \(key) has the wrong type")
            }
            if let fallback { return fallback }
            throw ModelFileError(.invalidField, "\(path): \(key) is missing")
        }

        self.family = family
        hiddenSize = try field("embedding_length", \.integer)
        intermediateSize = try field("feed_forward_length", \.integer)
        layerCount = try field("block_count", \.integer)
        headCount = try field("attention.head_count", \.integer)
        keyValueHeadCount = try field("attention.head_count_kv", \.integer, default: headCount)
        let quotient = headCount > 0 ? hiddenSize / headCount : 0
        headDimension = try field("attention.key_length", \.integer, default: quotient)
        let valueDimension = try field("attention.value_length", \.integer, default: headDimension)
        let rotated = try field("rope.dimension_count", \.integer, default: headDimension)
        guard valueDimension == headDimension, rotated == headDimension else {
            throw ModelFileError(
                .unsupportedField,
                "\(path): key, value and rotary dimensions differ; supported is one size for all")
        }
        normEpsilon = Float(try field("attention.layer_norm_rms_epsilon", \.number, default: 1e-5))
        contextLength = try field("context_length", \.integer, default: 2048)
        rope = RopeParameters(
            theta: Float(try field("rope.freq_base", \.number, default: 10_000)), scaling: .none)
        // A file without a type but with a factor is scaled linearly, as llama.cpp reads it.
        let hasFactor = file.metadata["\(architecture).rope.scaling.factor"] != nil
        let scaling: String = try field(
            "rope.scaling.type", \.string, default: hasFactor ? "linear" : "none")
        switch scaling {
        case "none": break
        case "linear":
            rope.scaling = .linear(factor: Float(try field("rope.scaling.factor", \.number)))
        default:
            throw ModelFileError(
                .unsupportedField,
                "\(path): \(architecture).rope.scaling.type is \(scaling); supported: none, linear")
        }
        if let divisors = file.tensors["rope_freqs.weight"] {
            guard rope.scaling == .none else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(path): rope_freqs.weight beside rope.scaling.type \(scaling)")
            }
            guard divisors.shape == [headDimension / 2] else {
                throw ModelFileError(
                    .wrongShape, "\(path): rope_freqs.weight has shape \(divisors.shape)")
            }
            do {
                rope.scaling = .divisors(try divisors.values())
            } catch {
                throw ModelFileError(.nonFiniteValue, "\(path): \(error)")
            }
        }
        let window: Int = try field("attention.sliding_window", \.integer, default: 0)
        slidingWindow = window > 0 ? window : nil
        windowedLayers = Array(repeating: window > 0, count: max(0, min(layerCount, 1024)))
        if file.metadata["\(architecture).attention.sliding_window_pattern"] != nil, window > 0 {
            throw ModelFileError(
                .unsupportedField, "\(path): \(architecture).attention.sliding_window_pattern")
        }
        let embedding = file.tensors["token_embd.weight"]
        vocabularySize = embedding?.rowCount ?? 0
        tiesEmbeddings = file.tensors["output.weight"] == nil
        self = try validated(source: path)
    }
}
