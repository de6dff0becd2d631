package import JSONTree

/// An `adapter_config.json`, read by PEFT's rules (0.21). What would change the result and is not
/// implemented is refused by the field's name.
package struct PEFTConfiguration: Sendable {
    package var rank: Int
    package var alpha: Double
    package var usesRankStabilization: Bool
    package var rankPattern: [(pattern: ModulePattern, rank: Int)]
    package var alphaPattern: [(pattern: ModulePattern, alpha: Double)]
    package var targets: TargetModules
    package var hasBias: Bool
    package var usesDoRA: Bool
    package var baseModelName: String?

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
        "lora_ga_config", "qalora_group_size", "ensure_weight_tying", "runtime_config",
    ]

    /// Fields that are refused unless absent, null, false or empty.
    private static let unsupportedFields = [
        "modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication",
        "alora_invocation_tokens", "use_qalora", "use_bdlora", "arrow_config", "kasa_config",
        "monteclora_config", "velora_config",
    ]

    /// Initialisations after which the file's tensors are all there is to the adapter.
    private static let harmlessInitializations = ["gaussian", "eva", "orthogonal"]

    package init(_ config: JSON, source: String) throws(ModelFileError) {
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
        guard task == "CAUSAL_LM" else {
            throw ModelFileError(
                .unsupportedTask, "\(source): task_type is \(task); supported is CAUSAL_LM")
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
        let bias = try fields.string("bias", default: "none")
        guard bias == "none" else { throw fields.unsupported("bias", bias, supported: "none") }
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
        targets = try TargetModules(fields: fields)
        baseModelName = config["base_model_name_or_path"]?.stringValue

        rankPattern = []
        for (key, value) in try PEFTConfiguration.patterns("rank_pattern", fields) {
            guard let rank = value.integerValue, rank > 0 else {
                throw ModelFileError(
                    .invalidField, "\(source): rank_pattern has \(value.text()) for \(key)")
            }
            rankPattern.append((try PEFTConfiguration.pattern(key, "rank_pattern", source), rank))
        }
        alphaPattern = []
        for (key, value) in try PEFTConfiguration.patterns("alpha_pattern", fields) {
            guard let alpha = value.doubleValue else {
                throw ModelFileError(
                    .invalidField, "\(source): alpha_pattern has \(value.text()) for \(key)")
            }
            alphaPattern.append(
                (try PEFTConfiguration.pattern(key, "alpha_pattern", source), alpha))
        }
    }

    private static func patterns(
        _ name: String, _ fields: Fields
    ) throws(ModelFileError) -> [(name: String, value: JSON)] {
        guard let value = fields.config[name], !value.isNull else { return [] }
        guard let object = value.objectValue else {
            throw ModelFileError(
                .invalidField, "\(fields.source): \(name) is \(value.kind), expected an object")
        }
        return object.members
    }

    /// PEFT matches `(.*\.)?(key)$` from the start of the module's name.
    private static func pattern(
        _ key: String, _ field: String, _ source: String
    ) throws(ModelFileError) -> ModulePattern {
        try ModulePattern.parsing("(.*\\.)?(\(key))$", field, source)
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

/// Which modules an adapter changes: PEFT's `target_modules`, `exclude_modules`,
/// `layers_to_transform` and `layers_pattern`.
package struct TargetModules: Sendable {
    private enum Selector: Sendable {
        case names([String])
        case pattern(ModulePattern)
        case allLinear

        /// A list matches whole names or their ends after a dot; a string is a whole-match pattern.
        func matches(_ module: String) -> Bool {
            switch self {
            case .names(let names): names.contains { module == $0 || module.hasSuffix(".\($0)") }
            case .pattern(let pattern): pattern.matchesWhole(module)
            case .allLinear: module.hasSuffix("_proj")
            }
        }
    }

    private let selected: Selector
    private let excluded: Selector?
    private let layers: Set<Int>?
    private let layerPatterns: [String]

    fileprivate init(fields: Fields) throws(ModelFileError) {
        selected =
            try TargetModules.selector("target_modules", fields) ?? .names(["q_proj", "v_proj"])
        excluded = try TargetModules.selector("exclude_modules", fields)
        layers = try TargetModules.integers("layers_to_transform", fields)
        layerPatterns = try TargetModules.strings("layers_pattern", fields)
        if layers != nil || !layerPatterns.isEmpty {
            switch selected {
            case .names: break
            default:
                throw ModelFileError(
                    .invalidField,
                    "\(fields.source): layers_to_transform and layers_pattern need target_modules to be a list"
                )
            }
        }
        guard layers != nil || layerPatterns.isEmpty else {
            throw ModelFileError(
                .invalidField, "\(fields.source): layers_pattern stands without layers_to_transform"
            )
        }
    }

    /// Whether PEFT would give the module an adapter.
    package func contains(_ module: String) -> Bool {
        if excluded?.matches(module) == true { return false }
        if case .names(let names) = selected, names.contains(module) { return true }
        guard selected.matches(module) else { return false }
        guard let layers else { return true }
        guard let layer = layerIndex(of: module) else { return false }
        return layers.contains(layer)
    }

    /// The number after the layer list's name: by default after the first dotted pair of names.
    private func layerIndex(of module: String) -> Int? {
        let parts = module.split(separator: ".", omittingEmptySubsequences: false)
        // There must be something before the list's name by default, and after the number.
        for index in parts.indices.dropLast() {
            guard let number = Int(parts[index]) else { continue }
            if layerPatterns.isEmpty {
                if index >= 2 { return number }
            } else if index >= 1, layerPatterns.contains(String(parts[index - 1])) {
                return number
            }
        }
        return nil
    }

    private static func selector(
        _ name: String, _ fields: Fields
    ) throws(ModelFileError) -> Selector? {
        guard let value = fields.config[name], !value.isNull else { return nil }
        if let text = value.stringValue {
            if name == "target_modules", text.lowercased() == "all-linear" { return .allLinear }
            return .pattern(try ModulePattern.parsing(text, name, fields.source))
        }
        let names = try strings(name, fields)
        guard !names.isEmpty || name != "target_modules" else {
            throw ModelFileError(.invalidField, "\(fields.source): target_modules is empty")
        }
        return .names(names)
    }

    private static func strings(_ name: String, _ fields: Fields) throws(ModelFileError) -> [String]
    {
        guard let value = fields.config[name], !value.isNull else { return [] }
        let elements = value.arrayValue ?? [value]
        let strings = elements.compactMap(\.stringValue)
        guard strings.count == elements.count else {
            throw ModelFileError(
                .invalidField, "\(fields.source): \(name) is not a string or a list of strings")
        }
        return strings
    }

    private static func integers(_ name: String, _ fields: Fields) throws(ModelFileError) -> Set<
        Int
    >? {
        guard let value = fields.config[name], !value.isNull else { return nil }
        let elements = value.arrayValue ?? [value]
        let numbers = elements.compactMap(\.integerValue)
        guard numbers.count == elements.count else {
            throw ModelFileError(
                .invalidField, "\(fields.source): \(name) is not an integer or a list of integers")
        }
        return numbers.isEmpty ? nil : Set(numbers)
    }
}

extension ModulePattern {
    fileprivate static func parsing(
        _ text: String, _ field: String, _ source: String
    ) throws(ModelFileError) -> ModulePattern {
        do {
            return try ModulePattern(text)
        } catch {
            throw ModelFileError(
                .unsupportedField,
                "\(source): \(field) has the pattern \(text), which uses \(error)")
        }
    }
}

extension JSON {
    /// Whether a field says nothing: null, false, or empty.
    fileprivate var isDefault: Bool {
        switch self {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let object): object.isEmpty
        default: false
        }
    }
}
