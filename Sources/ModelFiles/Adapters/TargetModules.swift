internal import JSONTree

/// Which modules an adapter changes: PEFT's `target_modules`, `exclude_modules`,
/// `layers_to_transform` and `layers_pattern`.
package struct TargetModules: Sendable {
    private enum Selector: Sendable {
        case names(Set<String>)
        case pattern(ModulePattern)
        case allLinear

        /// A list matches whole names or their ends after a dot; a string is a whole-match pattern.
        func matches(_ module: String) -> Bool {
            switch self {
            case .names(let names):
                // As many ends as the name has parts, however long the list is.
                module.indices.contains {
                    ($0 == module.startIndex || module[module.index(before: $0)] == ".")
                        && names.contains(String(module[$0...]))
                }
            case .pattern(let pattern): pattern.matchesWhole(module)
            case .allLinear:
                module.hasSuffix("_proj")
                    || [".gate", ".w1", ".w2", ".w3"].contains(where: module.hasSuffix)
            }
        }
    }

    private let selected: Selector
    private let excluded: Selector?
    private let layers: Set<Int>?
    private let layerPatterns: [String]

    /// - Parameter defaults: names where the field is null.
    init(
        fields: Fields, budget: PatternBudget, defaults: Set<String>
    ) throws(ModelFileError) {
        selected =
            try TargetModules.selector("target_modules", fields, budget)
            ?? .names(defaults)
        excluded = try TargetModules.selector("exclude_modules", fields, budget)
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

    /// Whether `ensure_weight_tying` takes it that the embedding or the head is meant.
    var namesTable: Bool {
        let tables = ["embed_tokens", "lm_head"]
        return switch selected {
        case .names(let names): names.contains { name in tables.contains { name.hasLastPart($0) } }
        case .pattern(let pattern): tables.contains { pattern.matchesWhole($0) }
        case .allLinear: false
        }
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
        _ name: String, _ fields: Fields, _ budget: PatternBudget
    ) throws(ModelFileError) -> Selector? {
        guard let value = fields.config[name], !value.isNull else { return nil }
        if let text = value.stringValue {
            if name == "target_modules", text.lowercased() == "all-linear" { return .allLinear }
            return .pattern(
                try ModulePattern.parsing(text, name, fields.source) {
                    (text) throws(ModulePatternError) in
                    try ModulePattern(text, budget: budget)
                })
        }
        let names = try strings(name, fields)
        let hasParameters = fields.present("target_parameters")?.isDefault == false
        guard !names.isEmpty || name != "target_modules" || hasParameters else {
            throw ModelFileError(.invalidField, "\(fields.source): target_modules is empty")
        }
        return .names(Set(names))
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
    static func parsing(
        _ text: String, _ field: String, _ source: String,
        _ make: (String) throws(ModulePatternError) -> ModulePattern
    ) throws(ModelFileError) -> ModulePattern {
        do {
            return try make(text)
        } catch {
            throw ModelFileError(
                .unsupportedField,
                "\(source): \(field) has the pattern \(text.prefix(200)), which uses \(error)")
        }
    }
}
