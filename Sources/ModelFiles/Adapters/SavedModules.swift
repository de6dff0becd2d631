internal import JSONTree

/// PEFT's `modules_to_save`: modules that the adapter's file holds whole, instead of the base's.
package struct SavedModules: Sendable {
    /// Ends of module names; PEFT does not ask for a dot before them, so "norm" is every norm.
    package let entries: [String]

    /// - Throws: `ModelFileError` with `invalid_field` for anything but a list of parts of names.
    init(fields: Fields) throws(ModelFileError) {
        let name = "modules_to_save"
        guard let value = fields.config[name], !value.isNull else {
            entries = []
            return
        }
        var entries: [String] = []
        var seen: Set<String> = []
        for (index, element) in (value.arrayValue ?? [value]).enumerated() {
            guard value.arrayValue != nil, let entry = element.stringValue, !entry.isEmpty,
                entry.unicodeScalars.allSatisfy({
                    $0 == "_" || $0 == "." || $0.isASCII && $0.properties.isAlphabetic
                        || ("0"..."9").contains($0)
                })
            else {
                throw ModelFileError(
                    .invalidField,
                    "\(fields.source): \(name) has \(element.kind) or no name at \(index), expected a list of module names"
                )
            }
            if seen.insert(entry).inserted { entries.append(entry) }
        }
        guard entries.count <= 1000 else {
            throw ModelFileError(
                .limitExceeded,
                "\(fields.source): \(name) has \(entries.count) entries; the limit is 1000")
        }
        self.entries = entries
    }

    /// Whether an entry names the embedding or the head.
    var namesTable: Bool {
        entries.contains { $0.hasLastPart("embed_tokens") || $0.hasLastPart("lm_head") }
    }

    /// Whether the module is saved and gets no low-rank change, even if it is a target. This rule of
    /// PEFT is another than the one for what is saved: whole parts of the name, and all inside them.
    func excludes(_ module: String) -> Bool {
        entries.contains { ".\(module).".contains(".\($0).") }
    }

    /// The tensors of the base that saved modules bring their own of.
    ///
    /// - Throws: `ModelFileError` with `invalid_field` for an entry that PEFT would ignore or cannot
    ///   load again.
    ///
    /// - Parameter others: entries that PEFT adds itself, which need not match.
    func roles(
        of base: Checkpoint, others: Set<String>, source: String
    ) throws(ModelFileError) -> Set<Checkpoint.Role> {
        func invalid(_ entry: String, _ why: String) -> ModelFileError {
            ModelFileError(.invalidField, "\(source): modules_to_save names \(entry), \(why)")
        }
        var tensors: [(role: Checkpoint.Role, name: String)] = []
        for role in base.configuration.roles where base[role] != nil || role == .head {
            tensors.append((role, base.configuration.name(of: role)))
        }
        let modules = Set(tensors.flatMap { SavedModules.modules(holding: $0.name) })

        var saved: Set<String> = []
        for entry in entries {
            let matched = modules.filter { $0.hasSuffix(entry) }
            if matched.isEmpty, others.contains(entry) { continue }
            guard !matched.isEmpty else { throw invalid(entry, "which is no module of this base") }
            guard matched.isDisjoint(with: ["model", "model.layers"]) else {
                throw invalid(entry, "which is the whole model")
            }
            saved.formUnion(matched)
        }
        for module in saved where !saved.isDisjoint(with: SavedModules.modules(holding: module)) {
            throw invalid(module, "and what is around it, too")
        }
        return Set(
            tensors.filter { !saved.isDisjoint(with: SavedModules.modules(holding: $0.name)) }
                .map(\.role))
    }

    /// The module that a tensor belongs to, and the modules around it.
    private static func modules(holding tensor: String) -> [String] {
        let parts = tensor.split(separator: ".")
        return (1..<max(parts.count, 1)).map { parts[..<$0].joined(separator: ".") }
    }
}

/// PEFT's `trainable_token_indices`: tokens whose rows of the embedding, or of the head, the adapter
/// brings its own of.
package struct TrainableTokens: Sendable {
    /// In the order of the tensor's rows.
    package let tokens: [AdapterFile.Target: [Int32]]

    /// - Throws: `ModelFileError` when the field is not a list of different tokens of the base for the
    ///   embedding, or such lists by the names of embedding and head.
    init(fields: Fields, base: ModelConfiguration) throws(ModelFileError) {
        let name = "trainable_token_indices"
        var tokens: [AdapterFile.Target: [Int32]] = [:]
        if let value = fields.config[name], !value.isNull {
            if let lists = value.objectValue {
                for (module, list) in lists.members {
                    let target = try TrainableTokens.target(module, name, fields.source)
                    guard tokens[target] == nil else {
                        throw ModelFileError(
                            .invalidField,
                            "\(fields.source): \(name) names \(target.moduleName) twice")
                    }
                    tokens[target] = try list.tokens(
                        of: base, "\(fields.source): \(name) for \(module)")
                }
            } else {
                tokens[.embedding] = try value.tokens(of: base, "\(fields.source): \(name)")
            }
            for (target, list) in tokens where list.isEmpty || Set(list).count < list.count {
                throw ModelFileError(
                    .invalidField,
                    "\(fields.source): \(name) for \(target.moduleName) is empty or names a token twice"
                )
            }
        }
        self.tokens = tokens
    }

    /// PEFT takes any module whose name ends like this, with no dot before it.
    private static func target(
        _ module: String, _ field: String, _ source: String
    ) throws(ModelFileError) -> AdapterFile.Target {
        let found = [AdapterFile.Target.embedding, .head].filter {
            $0.moduleName.hasSuffix(module) && !module.isEmpty
        }
        guard found.count == 1 else {
            // PEFT would replace rows of its weights, and drop its bias.
            let isProjection = module.hasSuffix("_proj")
            throw ModelFileError(
                isProjection ? .unsupportedField : .invalidField,
                "\(source): \(field) names \(module); supported are embed_tokens and lm_head")
        }
        return found[0]
    }
}

extension String {
    /// Whether a dotted name ends like this.
    func hasLastPart(_ part: String) -> Bool { self == part || hasSuffix(".\(part)") }
}

extension JSON {
    /// A list of tokens that the base has.
    func tokens(
        of base: ModelConfiguration, _ what: String
    ) throws(ModelFileError) -> [Int32] {
        var tokens: [Int32] = []
        for (index, element) in (arrayValue ?? [self]).enumerated() {
            guard arrayValue != nil, let token = element.integerValue,
                (0..<base.vocabularySize).contains(token)
            else {
                throw ModelFileError(
                    .invalidField,
                    "\(what) has \(element.integerValue.map(String.init) ?? "\(element.kind)") at \(index), expected a list of tokens below \(base.vocabularySize)"
                )
            }
            tokens.append(Int32(token))
        }
        return tokens
    }
}
