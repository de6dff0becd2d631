internal import Foundation
internal import JSONTree
internal import Tensors

extension AdapterFile {
    /// Reads a folder with `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// - Parameter reading: see `open`.
    init(
        folder: String, base: Checkpoint, limits: AdapterLimits, reading: FileReading
    ) throws(ModelFileError) {
        let configPath = folder + "/adapter_config.json"
        guard FileManager.default.fileExists(atPath: configPath) else {
            let inside = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            let last = inside.filter { $0.hasPrefix("checkpoint-") }
                .max { $0.compare($1, options: .numeric) == .orderedAscending }
            throw ModelFileError(
                .missingFile,
                "\(folder) has no adapter_config.json; it is not a PEFT adapter"
                    + (last.map { ". Give a checkpoint of the training: \(folder)/\($0)" } ?? ""))
        }
        let configurationText = try readJSON(configPath, byteLimit: limits.configuration)
        let tensors: [String: StoredTensor]
        do throws(ModelFileError) {
            tensors = try SafetensorsFile(
                path: try AdapterFile.tensorPath(in: folder), headerLimit: limits.header,
                reading: reading
            ).tensors
            vocabularySize = PEFTReader.vocabularySize(of: tensors, base: base.configuration)
        } catch {
            // What is wrong with the configuration is said first.
            _ = try PEFTConfiguration(
                configurationText, base: base.configuration, limits: limits, source: configPath)
            throw error
        }
        let base = vocabularySize.map(base.withVocabulary) ?? base
        let configuration = try PEFTConfiguration(
            configurationText, base: base.configuration, limits: limits, source: configPath)
        try limits.check(tensors, source: folder)
        let parameters = ExpertParameters(configuration, base: base.configuration)
        var reader = PEFTReader(
            configuration: configuration, base: base, limits: limits, folder: folder,
            comparesValues: reading != .header,
            targets: PEFTReader.targets(configuration, base: base.configuration)
                .union(parameters.targets),
            saved: try PEFTReader.saved(configuration, base: base, source: configPath),
            left: try PEFTReader.places(
                of: tensors, base: base.configuration, parameters: parameters, folder: folder),
            parameters: parameters)
        try reader.checkConfiguration()
        path = folder
        deltas = try reader.takeDeltas()
        replaced = try reader.takeReplaced()
        tokenRows = try reader.takeTokenRows()
        try reader.checkTables(&replaced, &tokenRows, of: deltas)
        scores = try reader.takeScores()
        try configuration.checkPatterns(folder)
        invocation = configuration.invocation
        baseModelName = configuration.baseModelName
        try readText(folder, base: base, limits: limits)
        try reader.checkNothingIsLeft()
        // Tokens before the invocation are the base's.
        guard
            invocation.isEmpty || replaced.isEmpty && tokenRows.isEmpty && vocabularySize == nil
        else {
            throw ModelFileError(
                .unsupportedField,
                "\(folder): alora_invocation_tokens is not supported beside weights that replace the base's, or another vocabulary"
            )
        }
    }

    private static func tensorPath(in folder: String) throws(ModelFileError) -> String {
        let path = folder + "/adapter_model.safetensors"
        if FileManager.default.fileExists(atPath: path) { return path }
        if FileManager.default.fileExists(atPath: folder + "/adapter_model.bin") {
            throw ModelFileError(
                .pickleRefused,
                "\(folder)/adapter_model.bin is a pickle, which can run code and is never read; "
                    + "save the adapter with safe_serialization=True")
        }
        throw ModelFileError(.missingFile, "\(folder) has no adapter_model.safetensors")
    }
}

/// Takes an adapter's tensors one after another by what the configuration calls for. PEFT 0.21 drops
/// in silence what is left over, or puts it in the base's place; here it is refused.
struct PEFTReader {
    /// Where a tensor belongs, by its name.
    enum Place: Hashable {
        case part(AdapterFile.Target, Part)
        /// `module.weight` or `module.bias`, as the base has it.
        case own(Checkpoint.Role)
        /// The same of a module that also has a low-rank change: `module.base_layer.weight`.
        case underneath(Checkpoint.Role)
        case tokenRows(AdapterFile.Target)
        case copy(Checkpoint.Role, TableCopy)
        /// The head of a classifier.
        case scores
    }

    /// What an embedding or a head that is there once more is the same as.
    enum TableCopy {
        case ofBase, ofSaved
        /// The base's from before the training.
        case withoutUse
    }

    /// Of a low-rank change.
    enum Part: Hashable {
        case a, b, bias, magnitude
    }

    let configuration: PEFTConfiguration
    let base: Checkpoint
    let limits: AdapterLimits
    let folder: String
    let comparesValues: Bool
    /// What has a low-rank change.
    let targets: Set<AdapterFile.Target>
    let saved: Set<Checkpoint.Role>
    var left: [Place: StoredTensor]
    let parameters: ExpertParameters

    // MARK: What the configuration says

    static func saved(
        _ configuration: PEFTConfiguration, base: Checkpoint, source: String
    ) throws(ModelFileError) -> Set<Checkpoint.Role> {
        let saved = try configuration.saved.roles(
            of: base, others: configuration.isClassifier ? ["classifier", "score"] : [],
            source: source)
        let isTied = base.configuration.tiesEmbeddings && configuration.tiesWeights
        return isTied && configuration.saved.namesTable
            ? saved.union([.embedding, .head]) : saved
    }

    /// Whether embedding and head are changed or saved as one.
    private var tiesTables: Bool {
        base.configuration.tiesEmbeddings && configuration.tiesWeights
            && (configuration.saved.namesTable || configuration.targets.namesTable)
    }

    static func isTargeted(_ module: String, _ configuration: PEFTConfiguration) -> Bool {
        configuration.targets.contains(module) && !configuration.saved.excludes(module)
    }

    static func targets(
        _ configuration: PEFTConfiguration, base: ModelConfiguration
    ) -> Set<AdapterFile.Target> {
        var targets = Set(
            AdapterFile.Target.all(for: base).filter {
                isTargeted(base.moduleName(of: $0), configuration)
            })
        if base.tiesEmbeddings, configuration.tiesWeights, configuration.targets.namesTable,
            !configuration.saved.namesTable
        {
            targets.formUnion([.embedding, .head])
        }
        return targets
    }

    /// Refuses combinations that PEFT refuses, ignores or cannot load again, and the few that it
    /// computes and this project does not.
    func checkConfiguration() throws(ModelFileError) {
        let c = base.configuration
        func refuse(
            _ condition: Bool, _ code: ModelFileError.Code, _ reason: String
        ) throws(ModelFileError) {
            if condition { throw ModelFileError(code, "\(folder)/adapter_config.json: \(reason)") }
        }
        var others = ["model.norm", "model", "model.layers"]
        for layer in 0..<c.layerCount {
            let norms = c.norms(layer).filter { c.shape(of: $0.role) != nil }
            let parts = ["", ".self_attn", ".mlp"] + norms.map { ".\($0.name)" }
            others += parts.map { "model.layers.\(layer)\($0)" }
        }
        for module in others where PEFTReader.isTargeted(module, configuration) {
            try refuse(
                true, .unsupportedField,
                "target_modules matches \(module); supported are projections, embed_tokens and lm_head"
            )
        }
        for target in targets.sorted() {
            try refuse(
                saved.contains(target.role), .invalidField,
                "\(c.moduleName(of: target)) is in target_modules and in modules_to_save")
        }
        let tables = targets.intersection([.embedding, .head])
        try refuse(
            targets.contains(.embedding) && configuration.hasBias, .invalidField,
            "lora_bias is not possible for embeddings in PEFT")
        try checkTokens(tables, refuse)
        guard !configuration.invocation.isEmpty else { return }
        try refuse(
            !saved.isEmpty || !configuration.trainableTokens.tokens.isEmpty
                || configuration.bias != .none || targets.contains(.embedding), .unsupportedField,
            "alora_invocation_tokens is not supported beside modules_to_save, trainable_token_indices, bias or embed_tokens"
        )
    }

    private func checkTokens(
        _ tables: Set<AdapterFile.Target>,
        _ refuse: (Bool, ModelFileError.Code, String) throws(ModelFileError) -> Void
    ) throws(ModelFileError) {
        let (tokens, isTied) = (
            configuration.trainableTokens.tokens, base.configuration.tiesEmbeddings
        )
        for target in tokens.keys.sorted() {
            try refuse(
                tables.contains(target) || saved.contains(target.role), .invalidField,
                "trainable_token_indices names \(target.moduleName), which is also in target_modules or modules_to_save"
            )
        }
        guard isTied, let embedding = tokens[.embedding] else { return }
        try refuse(
            saved.contains(.head), .invalidField,
            "trainable_token_indices for a tied embedding and modules_to_save for lm_head exclude each other"
        )
        try refuse(
            configuration.tiesWeights && tokens[.head].map { $0 != embedding } ?? false,
            .invalidField, "ensure_weight_tying is set, but the tokens of embedding and head differ"
        )
        try refuse(
            configuration.usesDoRA && tables.contains(.head), .invalidField,
            "use_dora for a tied lm_head and trainable_token_indices exclude each other in PEFT")
    }

    // MARK: Taking

    mutating func take(
        _ place: Place, named name: @autoclosure () -> String
    ) throws(ModelFileError) -> StoredTensor {
        guard let tensor = left.removeValue(forKey: place) else {
            throw ModelFileError(
                .missingTensor, "\(folder): base_model.model.\(name()) is missing")
        }
        return tensor
    }

    func checkNothingIsLeft() throws(ModelFileError) {
        if let tensor = left.values.min(by: { $0.name < $1.name }) {
            throw PEFTReader.unexpected(tensor, folder, base.configuration)
        }
    }

    mutating func takeDeltas() throws(ModelFileError) -> [AdapterFile.Target: AdapterFile.Delta] {
        var deltas: [AdapterFile.Target: AdapterFile.Delta] = [:]
        let config = configuration
        for target in targets.sorted() {
            let module =
                parameters.name(of: target) ?? base.configuration.moduleName(of: target)
            let names =
                target == .embedding
                ? ("lora_embedding_A", "lora_embedding_B") : ("lora_A.weight", "lora_B.weight")
            let a = try take(.part(target, .a), named: "\(module).\(names.0)")
            let b = try take(.part(target, .b), named: "\(module).\(names.1)")
            let bias =
                config.hasBias
                ? try take(.part(target, .bias), named: "\(module).lora_B.bias") : nil
            let magnitude =
                config.usesDoRA
                ? try take(.part(target, .magnitude), named: "\(module).lora_magnitude_vector")
                : nil
            guard a.shape.count == 2 else {
                throw ModelFileError(
                    .wrongShape, "\(folder): tensor \(a.name) has shape \(a.shape)")
            }
            let delta = AdapterFile.Delta(
                a: a, b: b, bias: bias, magnitude: magnitude, scale: config.scale(of: module))
            try AdapterFile.checkShapes(
                delta, of: target, base: base.configuration, limits: limits, source: folder,
                trainedOn: configuration.baseModelName)
            guard delta.rank == config.rank(of: module) else {
                throw ModelFileError(
                    .rankMismatch,
                    "\(folder): \(module) has rank \(delta.rank) in the file and \(config.rank(of: module)) in the configuration"
                )
            }
            deltas[target] = delta
        }
        guard !deltas.isEmpty else {
            throw ModelFileError(
                .invalidField,
                "\(folder): target_modules matches nothing in this base, or all of it is in modules_to_save"
            )
        }
        if comparesValues, tiesTables, let embedding = deltas[.embedding],
            let head = deltas[.head]
        {
            for (a, b) in [(embedding.a, head.b), (embedding.b, head.a)] {
                guard try a.holdsTheTranspose(of: b) else { throw differ(a, b) }
            }
        }
        return deltas
    }

    mutating func takeReplaced() throws(ModelFileError) -> [Checkpoint.Role: StoredTensor] {
        var replaced: [Checkpoint.Role: StoredTensor] = [:]
        for role in saved {
            replaced[role] = try takeOwn(role)
        }
        if tiesTables, let embedding = replaced[.embedding], let head = replaced[.head] {
            if comparesValues {
                guard try embedding.holdsTheSame(as: head) else { throw differ(embedding, head) }
            }
            replaced[.embedding] = head
        }
        try takeBiases(into: &replaced)
        try takeTables(into: &replaced)
        try dropCopies(saved: replaced)
        try takeOthers(into: &replaced)
        return replaced
    }

    private mutating func takeOwn(_ role: Checkpoint.Role) throws(ModelFileError) -> StoredTensor {
        let c = base.configuration
        return c.completed(
            try shaped(try take(.own(role), named: c.name(of: role)), as: role), as: role)
    }

    func shaped(
        _ tensor: StoredTensor, as role: Checkpoint.Role
    ) throws(ModelFileError) -> StoredTensor {
        let shape = base.configuration.shape(of: role) ?? []
        if role == .embedding || role == .head, tensor.shape.count == 2, shape.count == 2,
            tensor.shape[1] == shape[1], tensor.shape[0] != shape[0]
        {
            throw AdapterFile.mismatch(
                tensor, tensor.shape[0], shape[0], role == .head ? .head : .embedding,
                isInput: role == .embedding, base: base.configuration, source: folder,
                trainedOn: configuration.baseModelName)
        }
        guard tensor.shape == shape else {
            throw ModelFileError(
                .wrongShape,
                "\(folder): tensor \(tensor.name) has shape \(tensor.shape); this base needs \(shape)"
            )
        }
        return tensor
    }

    /// PEFT would let the head's win.
    func differ(_ embedding: StoredTensor, _ head: StoredTensor) -> ModelFileError {
        ModelFileError(
            .malformedFile,
            "\(folder): embedding and head are one, but \(embedding.name) and \(head.name) differ")
    }

    private mutating func takeBiases(
        into replaced: inout [Checkpoint.Role: StoredTensor]
    ) throws(ModelFileError) {
        guard configuration.bias != .none else { return }
        for role in base.configuration.roles {
            guard case .bias(let layer, let projection) = role, base[role] != nil,
                !saved.contains(role)
            else { continue }
            let target = AdapterFile.Target.projection(layer: layer, projection)
            if targets.contains(target) {
                let bias = try take(
                    .underneath(role), named: "\(target.moduleName).base_layer.bias")
                replaced[role] = try shaped(bias, as: role)
            } else if configuration.bias == .all {
                replaced[role] = try takeOwn(role)
            }
        }
    }
}

extension StoredTensor {
    /// Whether row i of this is column i of the other.
    fileprivate func holdsTheTranspose(of other: StoredTensor) throws(ModelFileError) -> Bool {
        guard shape == other.shape.reversed() else { return false }
        do {
            let (rows, columns) = (try matrix(), try other.matrix())
            return (0..<rowCount).allSatisfy { row in
                (0..<columnCount).allSatisfy {
                    rows[row: row, column: $0] == columns[row: $0, column: row]
                }
            }
        } catch {
            throw ModelFileError(.nonFiniteValue, "\(error)")
        }
    }

    /// Rows that another table has in another way or lacks, whatever it has more.
    ///
    /// - Returns: one more than `limit` at most.
    func rows(
        unlike other: StoredTensor, atMost limit: Int
    ) throws(ModelFileError) -> [Int32] {
        var unlike: [Int32] = []
        let rows = Matrix(rowCount: 2, columnCount: columnCount)
        do {
            for index in 0..<rowCount where unlike.count <= limit {
                var isSame = index < other.rowCount && columnCount == other.columnCount
                if isSame {
                    for (place, tensor) in [self, other].enumerated() {
                        try rows.withMutableRow(place) { (row) throws(NonFiniteValue) in
                            try tensor.read(row: index, into: &row)
                        }
                    }
                    isSame = rows.rowsAreEqual(0, 1)
                }
                if !isSame { unlike.append(Int32(index)) }
            }
            return unlike
        } catch {
            throw ModelFileError(.nonFiniteValue, "\(error)")
        }
    }

    /// Whether every number is the same, however they are stored.
    func holdsTheSame(as other: StoredTensor) throws(ModelFileError) -> Bool {
        guard shape == other.shape else { return false }
        return try rows(unlike: other, atMost: 0).isEmpty
    }
}
