package import JSONTree

/// An `adapter_config.json`, read by PEFT's rules (0.21). What would change the result and is not
/// implemented is refused by the field's name.
package struct PEFTConfiguration: Sendable {
    /// Which biases of the base were trained too, and are in the file.
    package enum Bias: String, Sendable {
        case none, all
        /// Those of modules with a low-rank change.
        case adapted = "lora_only"
    }

    package var rank: Int
    package var alpha: Double
    package var usesRankStabilization: Bool
    package var rankPattern: [(pattern: ModulePattern, rank: Int)]
    package var alphaPattern: [(pattern: ModulePattern, alpha: Double)]
    package var targets: TargetModules
    /// Whether the file has a head that scores texts.
    package let isClassifier: Bool
    /// Stacked weights of experts and routers that have a low-rank change, by transformers' names or their ends.
    package var parameters: [String]
    package var saved: SavedModules
    package var trainableTokens: TrainableTokens
    /// Tokens from whose last occurrence on the adapter acts; empty for everywhere (aLoRA).
    package var invocation: [Int32]
    /// On a base whose head is its embedding: whether the adapter's are one too.
    package var tiesWeights: Bool
    package var bias: Bias
    /// Whether B has a bias of its own.
    package var hasBias: Bool
    package var usesDoRA: Bool
    package var baseModelName: String?
    private let patternBudget = PatternBudget()

    /// Fields without effect on a trained adapter's result, or read elsewhere in this file.
    private static let knownFields: Set<String> = [
        "peft_type", "task_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern",
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "bias",
        "lora_bias", "fan_in_fan_out", "use_dora", "modules_to_save", "trainable_token_indices",
        "target_parameters", "layer_replication", "alora_invocation_tokens", "use_qalora",
        "use_bdlora", "arrow_config", "kasa_config", "monteclora_config", "velora_config",
        "init_lora_weights", "base_model_name_or_path",
        "lora_dropout", "inference_mode", "revision", "auto_mapping", "peft_version",
        "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config",
        "lora_ga_config", "nvfp4_merge_aware", "qalora_group_size", "ensure_weight_tying",
        "runtime_config",
    ]

    /// Fields that are refused unless absent, null, false or empty.
    private static let unsupportedFields = [
        "layer_replication", "use_qalora", "use_bdlora", "arrow_config",
        "kasa_config", "monteclora_config", "velora_config",
    ]

    /// Initialisations after which the file's tensors are all there is to the adapter.
    private static let harmlessInitializations = ["gaussian", "eva", "orthogonal"]

    package init(
        _ config: JSON, base: ModelConfiguration, limits: AdapterLimits, source: String
    ) throws(ModelFileError) {
        guard let members = config.objectValue?.members else {
            throw ModelFileError(.malformedFile, "\(source) is not a JSON object")
        }
        let fields = Fields(config: config, source: source)
        let type = try fields.string("peft_type", default: "")
        guard type == "LORA" else {
            throw ModelFileError(
                .unsupportedPEFTType, "\(source): peft_type is \"\(type)\"; supported is LORA")
        }
        let task = try fields.string("task_type", default: "CAUSAL_LM")
        isClassifier = task == "SEQ_CLS"
        guard task == "CAUSAL_LM" || isClassifier else {
            throw ModelFileError(
                .unsupportedTask,
                "\(source): task_type is \(task); supported are CAUSAL_LM and SEQ_CLS")
        }
        for (name, value) in members
        where !PEFTConfiguration.knownFields.contains(name) && !value.isDefault {
            throw ModelFileError(
                .unknownField,
                "\(source): the field \(name) is not known, and it is set to \(value.text())")
        }
        for name in PEFTConfiguration.unsupportedFields {
            if let value = config[name], !value.isDefault {
                throw fields.unsupported(name, value.text(), supported: "null")
            }
        }
        let biases = try fields.string("bias", default: "none")
        guard let bias = Bias(rawValue: biases) else {
            throw ModelFileError(
                .invalidField, "\(source): bias is \(biases), expected none, all or lora_only")
        }
        self.bias = bias
        if let value = config["init_lora_weights"], !value.isNull, value.boolValue == nil {
            let name = value.stringValue ?? value.text()
            guard PEFTConfiguration.harmlessInitializations.contains(name) else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(source): init_lora_weights is \(name), so the tensors are relative to a changed base; "
                        + "save with path_initial_model_for_weight_conversion to make them ordinary"
                )
            }
        }
        // How the base stores its weights; PEFT sets it to false itself for linear modules.
        _ = try fields.bool("fan_in_fan_out", default: false)

        // PEFT's defaults are for absent fields; with null it fails.
        for name in ["r", "lora_alpha"] where config[name]?.isNull == true {
            throw ModelFileError(.invalidField, "\(source): \(name) is null, expected a number")
        }
        rank = try fields.integer("r", default: 8)
        guard rank > 0 else { throw ModelFileError(.invalidField, "\(source): r is \(rank)") }
        alpha = try fields.number("lora_alpha", default: 8)
        usesRankStabilization = try fields.bool("use_rslora", default: false)
        hasBias = try fields.bool("lora_bias", default: false)
        usesDoRA = try fields.bool("use_dora", default: false)
        guard !(hasBias && usesDoRA) else {
            throw ModelFileError(
                .invalidField, "\(source): lora_bias and use_dora exclude each other in PEFT")
        }
        // PEFT knows what is meant by none for some families only.
        let hasParameters = fields.present("target_parameters")?.isDefault == false
        targets = try TargetModules(
            fields: fields, budget: patternBudget,
            defaults: hasParameters && base.family.name == "qwen3_moe" ? [] : ["q_proj", "v_proj"])
        saved = try SavedModules(fields: fields)
        parameters = try PEFTConfiguration.parameters(fields, base: base)
        if !parameters.isEmpty {
            for name in [
                "lora_bias", "use_dora", "lora_dropout", "fan_in_fan_out",
                "alora_invocation_tokens",
            ] where config[name].map({ !$0.isDefault && $0.doubleValue != 0 }) ?? false {
                throw ModelFileError(
                    .invalidField,
                    "\(source): target_parameters and \(name) exclude each other in PEFT")
            }
        }
        trainableTokens = try TrainableTokens(fields: fields, base: base)
        tiesWeights = try fields.bool("ensure_weight_tying", default: false)
        invocation = try PEFTConfiguration.invocation(fields, base: base, limits: limits)
        baseModelName = config["base_model_name_or_path"]?.stringValue

        rankPattern = []
        for (key, value) in try PEFTConfiguration.patterns("rank_pattern", fields) {
            guard let rank = value.integerValue, rank > 0 else {
                throw ModelFileError(
                    .invalidField, "\(source): rank_pattern has \(value.text()) for \(key)")
            }
            rankPattern.append(
                (try PEFTConfiguration.pattern(key, "rank_pattern", source, patternBudget), rank))
        }
        alphaPattern = []
        for (key, value) in try PEFTConfiguration.patterns("alpha_pattern", fields) {
            guard let alpha = value.doubleValue else {
                throw ModelFileError(
                    .invalidField, "\(source): alpha_pattern has \(value.text()) for \(key)")
            }
            alphaPattern.append(
                (try PEFTConfiguration.pattern(key, "alpha_pattern", source, patternBudget), alpha))
        }
    }

    private static func invocation(
        _ fields: Fields, base: ModelConfiguration, limits: AdapterLimits
    ) throws(ModelFileError) -> [Int32] {
        let name = "alora_invocation_tokens"
        guard let value = fields.config[name], !value.isNull else { return [] }
        let tokens = try value.tokens(of: base, "\(fields.source): \(name)")
        guard !tokens.isEmpty else { return [] }
        guard tokens.count <= limits.invocation else {
            throw ModelFileError(
                .limitExceeded,
                "\(fields.source): \(name) has \(tokens.count) tokens; the limit is \(limits.invocation)"
            )
        }
        guard try !fields.bool("use_dora", default: false) else {
            throw ModelFileError(
                .invalidField, "\(fields.source): \(name) and use_dora exclude each other in PEFT")
        }
        guard try !fields.string("task_type", default: "").isEmpty else {
            throw ModelFileError(
                .invalidField,
                "\(fields.source): without a task_type PEFT ignores \(name); set it to CAUSAL_LM")
        }
        return tokens
    }

    private static func parameters(
        _ fields: Fields, base: ModelConfiguration
    ) throws(ModelFileError) -> [String] {
        let name = "target_parameters"
        guard let value = fields.config[name], !value.isDefault else { return [] }
        let names = value.arrayValue?.compactMap(\.stringValue) ?? []
        guard names.count == value.arrayValue?.count, base.departures.experts != nil else {
            throw fields.unsupported(
                name, value.text(), supported: "null, or a list of weights of experts and routers")
        }
        for parameter in names {
            let others =
                base.roles.map { base.name(of: $0) } + ["model.layers.0.mlp.experts.weight"]
            guard ExpertParameter.allCases.contains(where: { $0.isMeant(by: parameter, layer: 0) }),
                !others.contains(where: { $0.hasLastPart(parameter) })
            else {
                throw fields.unsupported(
                    name, parameter,
                    supported: "mlp.experts.gate_up_proj, mlp.experts.down_proj, mlp.gate.weight")
            }
        }
        return names
    }

    private static func patterns(
        _ name: String, _ fields: Fields
    ) throws(ModelFileError) -> [(name: String, value: JSON)] {
        guard let value = fields.config[name], !value.isNull else { return [] }
        guard let object = value.objectValue else {
            throw ModelFileError(
                .invalidField, "\(fields.source): \(name) is \(value.kind), expected an object")
        }
        guard object.count <= patternLimit else {
            throw ModelFileError(
                .limitExceeded,
                "\(fields.source): \(name) has \(object.count) patterns; the limit is \(patternLimit)"
            )
        }
        return object.members
    }

    private static let patternLimit = 4096

    /// - Throws: `ModelFileError` with the code `limit_exceeded` when the patterns took so long that
    ///   they were not asked to the end.
    func checkPatterns(_ source: String) throws(ModelFileError) {
        guard patternBudget.isSpent else { return }
        throw ModelFileError(
            .limitExceeded,
            "\(source): its patterns take too long to match; name the modules in plain text")
    }

    /// PEFT matches `(.*\.)?(key)$` from the start of the module's name.
    private static func pattern(
        _ key: String, _ field: String, _ source: String, _ budget: PatternBudget
    ) throws(ModelFileError) -> ModulePattern {
        try ModulePattern.parsing(key, field, source) { (key) throws(ModulePatternError) in
            try ModulePattern(end: key, budget: budget)
        }
    }

    /// The first pattern that matches decides, in the file's order; else the default.
    package func rank(of module: String) -> Int {
        rankPattern.first { $0.pattern.matchesWhole(module) }?.rank ?? rank
    }

    /// alpha / rank, or alpha / √rank with rank stabilization. Computed as PEFT does, in doubles.
    package func scale(of module: String) -> Float {
        let alpha = alphaPattern.first { $0.pattern.matchesWhole(module) }?.alpha ?? alpha
        let rank = Double(rank(of: module))
        return Float(usesRankStabilization ? alpha / rank.squareRoot() : alpha / rank)
    }
}

extension JSON {
    /// Whether a field says nothing: null, false, or empty.
    var isDefault: Bool {
        switch self {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let object): object.isEmpty
        default: false
        }
    }
}
