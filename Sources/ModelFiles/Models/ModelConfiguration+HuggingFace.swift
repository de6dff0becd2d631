internal import Foundation
package import JSONTree

func power(_ base: Float, _ exponent: Float) -> Float { powf(base, exponent) }
func naturalLogarithm(_ value: Float) -> Float { logf(value) }
func naturalLogarithm(_ value: Double) -> Double { log(value) }

extension ModelConfiguration {
    /// Reads a `config.json`. Fields that would change the arithmetic in a way that is not
    /// implemented are refused by name; the defaults are those of transformers.
    package init(huggingFace config: JSON, source: String) throws(ModelFileError) {
        let fields = Fields(config: config, source: source)
        let type = try fields.string("model_type")
        guard let family = Family.all.first(where: { $0.name == type }) else {
            let supported = Family.all.map(\.name).joined(separator: ", ")
            throw ModelFileError(
                .unsupportedModel,
                "\(source): the model family \"\(type)\" is not supported; supported are \(supported)"
            )
        }
        let defaults = family.defaults
        let activation = try fields.string(
            defaults.activationField, default: defaults.activation)
        guard activation == defaults.activation else {
            throw fields.unsupported(
                defaults.activationField, activation, supported: defaults.activation)
        }
        self.family = family
        vocabularySize = try fields.integer("vocab_size")
        hiddenSize = try fields.integer("hidden_size")
        intermediateSize = try fields.integer("intermediate_size")
        layerCount = try fields.integer("num_hidden_layers")
        headCount = try fields.integer("num_attention_heads")
        keyValueHeadCount = try fields.integer(
            "num_key_value_heads",
            default: fields.isNull("num_key_value_heads")
                ? headCount : defaults.keyValueHeadCount ?? headCount)
        let quotient = headCount > 0 ? hiddenSize / headCount : 0
        headDimension = try fields.integer("head_dim", default: defaults.headDimension ?? quotient)
        normEpsilon = Float(try fields.number("rms_norm_eps", default: defaults.normEpsilon))
        contextLength = try fields.integer(
            "max_position_embeddings", default: defaults.contextLength)
        let ropeFields = RopeParameters.section(of: fields)
        rope = try RopeParameters(
            ropeFields, in: fields, contextLength: contextLength, defaults: defaults)
        let partly = try ropeFields.number(
            "partial_rotary_factor", default: fields.number("partial_rotary_factor", default: 1))
        if partly != 1 {
            guard defaults.rotatesPartly, partly > 0, partly < 1 else {
                throw fields.unsupported("partial_rotary_factor", "\(partly)", supported: "1")
            }
            departures.rotaryDimension = Int(Double(min(max(headDimension, 0), 1024)) * partly)
        }
        tiesEmbeddings = try fields.bool(
            "tie_word_embeddings", default: defaults.tiesEmbeddings)
        try family.read(&self, fields)
        self = try validated(source: source)
    }

    /// Which layers have the window: `layer_types`, or what the family says.
    mutating func setWindows(
        _ fields: Fields, isWindowed: (Int) -> Bool
    ) throws(ModelFileError) {
        let hasWindow = slidingWindow != nil
        windowedLayers = layers.map { hasWindow && isWindowed($0) }
        guard let types = fields.config["layer_types"]?.arrayValue else { return }
        guard types.count == layerCount else {
            throw ModelFileError(
                .invalidField,
                "\(fields.source): layer_types has \(types.count) entries for \(layerCount) layers")
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
}

extension RopeParameters {
    /// `rope_theta` and `rope_scaling`, or the newer `rope_parameters` that holds both.
    ///
    /// Where a file has both, transformers takes `rope_scaling`, its own theta included. Where layers with a window have
    /// one of their own, these are the others'.
    fileprivate static func section(of fields: Fields) -> Fields {
        let scaling = fields.present("rope_scaling")
        var config = scaling ?? fields.present("rope_parameters") ?? [:]
        if let part = config["full_attention"], config["sliding_attention"] != nil { config = part }
        return Fields(
            config: config,
            source: "\(fields.source), \(scaling == nil ? "rope_parameters" : "rope_scaling")")
    }

    /// Of layers with a window, in the form of transformers 5 or before.
    static func ofWindows(
        _ fields: Fields, defaultTheta: Double
    ) throws(ModelFileError) -> RopeParameters {
        let theta = try fields.number("rope_local_base_freq", default: defaultTheta)
        guard let part = fields.present("rope_parameters")?["sliding_attention"] else {
            return RopeParameters(theta: Float(theta), scaling: .none)
        }
        let section = Fields(config: part, source: "\(fields.source), rope_parameters")
        guard try section.number("partial_rotary_factor", default: 1) == 1 else {
            throw section.unsupported("partial_rotary_factor", "another", supported: "1")
        }
        return try RopeParameters(
            section, in: Fields(config: [:], source: fields.source), contextLength: 0,
            defaults: Family.Defaults(contextLength: 0, ropeTheta: theta))
    }

    fileprivate init(
        _ section: Fields, in fields: Fields, contextLength: Int, defaults: Family.Defaults
    ) throws(ModelFileError) {
        for (name, value) in section.config.objectValue?.members ?? []
        where value.objectValue != nil {
            throw section.unsupported(name, "an object", supported: "one form for all layers")
        }
        let theta = try fields.number("rope_theta", default: defaults.ropeTheta)
        self.theta = Float(try section.number("rope_theta", default: theta))
        let type = try section.string(
            "rope_type", default: try section.string("type", default: "default"))
        switch defaults.ropeTypeAliases[type] ?? type {
        case "default": self.scaling = .none
        case "linear": self.scaling = .linear(factor: Float(try section.number("factor")))
        case "llama3":
            self.scaling = .llama3(
                factor: Float(try section.number("factor")),
                lowFrequency: Float(try section.number("low_freq_factor")),
                highFrequency: Float(try section.number("high_freq_factor")),
                originalContext: try RopeParameters.originalContext(
                    section, in: fields, contextLength: contextLength))
        case "yarn":
            self.scaling = .yarn(
                try RopeParameters.yarn(section, in: fields, contextLength: contextLength))
        case "longrope":
            self.scaling = .longrope(
                try RopeParameters.longRope(section, in: fields, contextLength: contextLength))
        default:
            throw section.unsupported(
                "rope_type", type, supported: "default, linear, llama3, longrope, yarn")
        }
    }
}

extension RopeParameters {
    /// What the model was trained on before it was stretched: the outer field wins.
    private static func originalContext(
        _ section: Fields, in fields: Fields, contextLength: Int
    ) throws(ModelFileError) -> Int {
        let name = "original_max_position_embeddings"
        return try fields.integer(
            name, default: try section.integer(name, default: contextLength))
    }

    fileprivate static func yarn(
        _ section: Fields, in fields: Fields, contextLength: Int
    ) throws(ModelFileError) -> Yarn {
        let original = try originalContext(section, in: fields, contextLength: contextLength)
        let factor = try section.factor("factor", default: 1)
        var yarn = Yarn(factor: factor, originalContext: original)
        yarn.fast = try section.factor("beta_fast", default: 32)
        yarn.slow = try section.factor("beta_slow", default: 1)
        yarn.truncates = try section.bool("truncate", default: true)
        let (some, all) = (
            try section.number("mscale", default: 0),
            try section.number("mscale_all_dim", default: 0)
        )
        if some != 0, all != 0 {
            yarn.angleScale = Yarn.scale(factor, Float(some)) / Yarn.scale(factor, Float(all))
        }
        if section.present("attention_factor") != nil {
            yarn.angleScale = try section.factor("attention_factor", default: 1)
        }
        return yarn
    }

    fileprivate static func longRope(
        _ section: Fields, in fields: Fields, contextLength: Int
    ) throws(ModelFileError) -> LongRope {
        let original = try originalContext(section, in: fields, contextLength: contextLength)
        guard original > 1, contextLength > 0 else {
            throw ModelFileError(
                .invalidField,
                "\(fields.source): original_max_position_embeddings is \(original)")
        }
        let factor = try section.factor(
            "factor", default: Double(contextLength) / Double(original))
        return LongRope(
            short: try section.numbers("short_factor"), long: try section.numbers("long_factor"),
            originalContext: original,
            angleScale: try section.factor(
                "attention_factor", default: LongRope.scale(Double(factor), original)))
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

    /// A field that is there and not empty.
    func present(_ name: String) -> JSON? {
        guard let field = config[name], !field.isNull, field.objectValue?.isEmpty != true else {
            return nil
        }
        return field
    }

    /// A number above 0.
    func factor(_ name: String, default fallback: Double) throws(ModelFileError) -> Float {
        let factor = Float(try number(name, default: fallback))
        guard factor > 0, factor.isFinite else {
            throw ModelFileError(.invalidField, "\(source): \(name) is \(factor)")
        }
        return factor
    }

    /// A number above 0; 0 for none, which a null is.
    func cap(_ name: String, default fallback: Double) throws(ModelFileError) -> Float {
        if isNull(name) || fallback == 0 && config[name] == nil { return 0 }
        return try factor(name, default: fallback)
    }

    /// `sliding_window`; a null is none.
    func window(default fallback: Int?) throws(ModelFileError) -> Int? {
        config["sliding_window"] == nil ? fallback : try optionalInteger("sliding_window")
    }

    /// Whole numbers, or nil where there are none.
    func integers(_ name: String, count: Int? = nil) throws(ModelFileError) -> [Int]? {
        guard let field = config[name], !field.isNull else { return nil }
        let numbers = field.arrayValue?.compactMap(\.integerValue) ?? []
        guard let list = field.arrayValue, numbers.count == count ?? list.count else {
            throw ModelFileError(
                .invalidField,
                "\(source): \(name) does not have \(count.map { "\($0) " } ?? "")whole numbers")
        }
        return numbers
    }

    /// A list of numbers.
    func numbers(_ name: String) throws(ModelFileError) -> [Float] {
        let list = config[name]?.arrayValue ?? []
        let numbers = list.compactMap(\.doubleValue).map { Float($0) }
        guard !numbers.isEmpty, numbers.count == list.count else {
            throw ModelFileError(.invalidField, "\(source): \(name) is not a list of numbers")
        }
        return numbers
    }

    /// Of all four of attention, by `attention_bias`.
    func attentionBiases() throws(ModelFileError) -> Set<Projection> {
        try bool("attention_bias", default: false) ? [.query, .key, .value, .output] : []
    }

    /// The same, and of all three of feed-forward, by `mlp_bias`.
    func biases() throws(ModelFileError) -> Set<Projection> {
        let feedForward = try bool("mlp_bias", default: false)
        return try attentionBiases().union(feedForward ? [.gate, .up, .down] : [])
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
