internal import Foundation
package import JSONTree

func power(_ base: Float, _ exponent: Float) -> Float { powf(base, exponent) }

extension ModelConfiguration {
    /// Reads a `config.json`. Fields that would change the arithmetic in a way that is not
    /// implemented are refused by name; the defaults are those of transformers.
    package init(huggingFace config: JSON, source: String) throws(ModelFileError) {
        let fields = Fields(config: config, source: source)
        let type = try fields.string("model_type")
        guard let family = Family(rawValue: type) else {
            let supported = Family.allCases.map(\.rawValue).joined(separator: ", ")
            throw ModelFileError(
                .unsupportedModel,
                "\(source): the model family \"\(type)\" is not supported; supported are \(supported)"
            )
        }
        try fields.refuse("quantization_config", because: "quantized checkpoints load from GGUF")
        let activation = try fields.string("hidden_act", default: "silu")
        guard activation == "silu" else {
            throw fields.unsupported("hidden_act", activation, supported: "silu")
        }
        if let partial = config["partial_rotary_factor"]?.doubleValue, partial != 1 {
            throw fields.unsupported("partial_rotary_factor", "\(partial)", supported: "1")
        }

        self.family = family
        vocabularySize = try fields.integer("vocab_size")
        hiddenSize = try fields.integer("hidden_size")
        intermediateSize = try fields.integer("intermediate_size")
        layerCount = try fields.integer("num_hidden_layers")
        headCount = try fields.integer("num_attention_heads")
        let defaultGroups = family == .mistral ? 8 : family == .llama ? headCount : 32
        keyValueHeadCount = try fields.integer(
            "num_key_value_heads",
            default: fields.isNull("num_key_value_heads") ? headCount : defaultGroups)
        let quotient = headCount > 0 ? hiddenSize / headCount : 0
        headDimension = try fields.integer("head_dim", default: family == .qwen3 ? 128 : quotient)
        normEpsilon = Float(try fields.number("rms_norm_eps", default: 1e-6))
        let context =
            switch family {
            case .llama: 2048
            case .mistral: 131_072
            case .qwen2, .qwen3: 32_768
            }
        contextLength = try fields.integer("max_position_embeddings", default: context)
        rope = try RopeParameters(fields: fields, contextLength: contextLength)
        tiesEmbeddings = try fields.bool("tie_word_embeddings", default: false)

        let attention: Set<Projection> = [.query, .key, .value, .output]
        let hasAttentionBias = try fields.bool("attention_bias", default: false)
        let hasFeedForwardBias = try fields.bool("mlp_bias", default: false)
        biasedProjections =
            switch family {
            case .llama:
                (hasAttentionBias ? attention : [])
                    .union(hasFeedForwardBias ? [.gate, .up, .down] : [])
            case .mistral: []
            case .qwen2: [.query, .key, .value]
            case .qwen3: hasAttentionBias ? attention : []
            }

        // An absent window is transformers' default, a null one is none.
        let window =
            config["sliding_window"] == nil ? 4096 : try fields.optionalInteger("sliding_window")
        let usesWindow =
            family == .mistral
            ? window != nil
            : try fields.bool("use_sliding_window", default: false) && family != .llama
        slidingWindow = usesWindow ? window : nil
        let firstWindowed =
            family == .mistral ? 0 : try fields.integer("max_window_layers", default: 28)
        let hasWindow = slidingWindow != nil
        windowedLayers = (0..<max(0, min(layerCount, 1024))).map {
            hasWindow && $0 >= firstWindowed
        }
        if let types = config["layer_types"]?.arrayValue {
            guard types.count == layerCount else {
                throw ModelFileError(
                    .invalidField,
                    "\(source): layer_types has \(types.count) entries for \(layerCount) layers")
            }
            windowedLayers = []
            for type in types {
                switch type.stringValue {
                case "full_attention": windowedLayers.append(false)
                case "sliding_attention": windowedLayers.append(hasWindow)
                default:
                    throw fields.unsupported(
                        "layer_types", type.text(), supported: "full_attention, sliding_attention")
                }
            }
        }
        self = try validated(source: source)
    }
}

extension RopeParameters {
    /// `rope_theta` and `rope_scaling`, or the newer `rope_parameters` that holds both.
    ///
    /// Where a file has both, transformers takes `rope_scaling`, its own theta included.
    fileprivate init(fields: Fields, contextLength: Int) throws(ModelFileError) {
        func present(_ name: String) -> JSON? {
            guard let field = fields.config[name], !field.isNull,
                field.objectValue?.isEmpty != true
            else { return nil }
            return field
        }
        let scaling = present("rope_scaling")
        let section = Fields(
            config: scaling ?? present("rope_parameters") ?? [:],
            source: "\(fields.source), \(scaling == nil ? "rope_parameters" : "rope_scaling")")
        for (name, value) in section.config.objectValue?.members ?? []
        where value.objectValue != nil {
            throw section.unsupported(name, "an object", supported: "one form for all layers")
        }
        if let partial = section.config["partial_rotary_factor"]?.doubleValue, partial != 1 {
            throw section.unsupported("partial_rotary_factor", "\(partial)", supported: "1")
        }
        let defaultTheta = try fields.number("rope_theta", default: 10_000)
        theta = Float(try section.number("rope_theta", default: defaultTheta))
        let type = try section.string(
            "rope_type", default: try section.string("type", default: "default"))
        switch type {
        case "default": self.scaling = .none
        case "linear": self.scaling = .linear(factor: Float(try section.number("factor")))
        case "llama3":
            let original = "original_max_position_embeddings"
            let inner = try section.integer(original, default: contextLength)
            self.scaling = .llama3(
                factor: Float(try section.number("factor")),
                lowFrequency: Float(try section.number("low_freq_factor")),
                highFrequency: Float(try section.number("high_freq_factor")),
                originalContext: try fields.integer(original, default: inner))
        default:
            throw section.unsupported("rope_type", type, supported: "default, linear, llama3")
        }
    }
}

/// Typed reading of a configuration's fields, with errors that name them. A null is an absent field.
package struct Fields {
    package let config: JSON
    package let source: String

    package init(config: JSON, source: String) {
        self.config = config
        self.source = source
    }

    package func integer(_ name: String, default fallback: Int? = nil) throws(ModelFileError) -> Int
    {
        try value(name, fallback, "an integer", \.integerValue)
    }

    func isNull(_ name: String) -> Bool { config[name]?.isNull ?? false }

    package func optionalInteger(_ name: String) throws(ModelFileError) -> Int? {
        guard let field = config[name], !field.isNull else { return nil }
        return try integer(name)
    }

    package func number(_ name: String, default fallback: Double? = nil) throws(ModelFileError)
        -> Double
    {
        try value(name, fallback, "a number", \.doubleValue)
    }

    package func string(_ name: String, default fallback: String? = nil) throws(ModelFileError)
        -> String
    {
        try value(name, fallback, "a string", \.stringValue)
    }

    package func bool(_ name: String, default fallback: Bool? = nil) throws(ModelFileError) -> Bool
    {
        try value(name, fallback, "true or false", \.boolValue)
    }

    package func refuse(_ name: String, because reason: String) throws(ModelFileError) {
        guard let field = config[name], !field.isNull else { return }
        throw ModelFileError(.unsupportedField, "\(source): \(name) is not supported: \(reason)")
    }

    package func unsupported(_ name: String, _ value: String, supported: String) -> ModelFileError {
        ModelFileError(
            .unsupportedField, "\(source): \(name) is \(value); supported: \(supported)")
    }

    private func value<Value>(
        _ name: String, _ fallback: Value?, _ kind: String, _ read: (JSON) -> Value?
    ) throws(ModelFileError) -> Value {
        guard let field = config[name], !field.isNull else {
            if let fallback { return fallback }
            throw ModelFileError(.invalidField, "\(source): \(name) is missing")
        }
        guard let value = read(field) else {
            throw ModelFileError(
                .invalidField, "\(source): \(name) is \(field.kind), expected \(kind)")
        }
        return value
    }
}
