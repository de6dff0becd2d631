internal import Tensors

/// Embeddings and heads, or rows of them.
extension PEFTReader {
    /// Whether the adapter has another vocabulary than the base. PEFT puts its tables in the base's place then.
    private var isResized: Bool {
        base[.embedding]?.rowCount != base.configuration.vocabularySize
    }

    /// The rows of whole tables, where these are not as many as the base's and are the same in all.
    static func vocabularySize(
        of tensors: [String: StoredTensor], base: ModelConfiguration
    ) -> Int? {
        var sizes: Set<Int> = []
        for (name, tensor) in tensors {
            let isTable = places(of: name, base: base).contains { place, _ in
                switch place {
                case .own(.embedding), .own(.head), .underneath(.embedding), .underneath(.head),
                    .copy:
                    true
                default: false
                }
            }
            guard isTable, tensor.shape.count == 2, tensor.shape[1] == base.hiddenSize else {
                continue
            }
            sizes.insert(tensor.shape[0])
        }
        guard sizes.count == 1, let size = sizes.first, size > 0, size != base.vocabularySize else {
            return nil
        }
        return size
    }

    /// The tables that PEFT writes whole, whatever the configuration says, once the vocabulary is another.
    mutating func takeOthers(
        into replaced: inout [Checkpoint.Role: StoredTensor]
    ) throws(ModelFileError) {
        guard isResized else { return }
        for role in [Checkpoint.Role.embedding, .head] where replaced[role] == nil {
            let table =
                left.removeValue(forKey: .own(role))
                ?? left.removeValue(forKey: .copy(role, .ofBase))
            if let table { replaced[role] = try shaped(table, as: role) }
        }
        guard base.configuration.tiesEmbeddings, !configuration.isClassifier else { return }
        let (embedding, head) = (replaced[.embedding], replaced[.head])
        replaced[.embedding] = embedding ?? head
        replaced[.head] = head ?? embedding
    }

    /// Sees to it that an adapter with another vocabulary has its tables, and leaves of them the rows that the base has not.
    func checkTables(
        _ replaced: inout [Checkpoint.Role: StoredTensor],
        _ tokenRows: inout [AdapterFile.Target: AdapterFile.TokenRows],
        of deltas: [AdapterFile.Target: AdapterFile.Delta]
    ) throws(ModelFileError) {
        guard isResized, let known = base[.embedding]?.rowCount else { return }
        let (c, size) = (base.configuration, base.configuration.vocabularySize)
        guard size - known <= limits.tokens else {
            throw ModelFileError(
                .limitExceeded,
                "\(folder): it has \(size - known) tokens more than this base; the limit is \(limits.tokens)"
            )
        }
        for target in [AdapterFile.Target.embedding, .head]
        where target == .embedding || !configuration.isClassifier {
            guard let table = replaced[target.role] else {
                throw ModelFileError(
                    .wrongShape,
                    "\(folder): it has a vocabulary of \(size) tokens, this base one of \(known), and \(c.name(of: target.role)) is missing: it has to be whole"
                )
            }
            let delta = deltas[target]
            // A change of the embedding is not of rows by tokens, and magnitudes are of the whole.
            guard comparesValues, delta?.magnitude == nil, delta == nil || target == .head,
                let own = base[target.role] ?? base[.embedding]
            else { continue }
            let has = Set(tokenRows[target]?.tokens ?? [])
            let others = try table.rows(unlike: own, atMost: limits.tokens).filter {
                !has.contains($0)
            }
            guard others.count <= limits.tokens else { continue }
            if tokenRows[target] == nil {
                guard !others.isEmpty else {
                    replaced[target.role] = nil
                    continue
                }
                tokenRows[target] = AdapterFile.TokenRows(others, of: table)
                if tokenRows[target] != nil { replaced[target.role] = nil }
            } else if tokenRows[target]?.add(others, of: table) == true {
                replaced[target.role] = nil
            }
        }
    }

    /// PEFT writes both tables whole when the vocabulary is not that of the base's repository: they are the base's, once it
    /// has been resized. What is another stays, to be refused: PEFT would put it in the base's place, for all adapters.
    mutating func dropCopies(
        saved: [Checkpoint.Role: StoredTensor]
    ) throws(ModelFileError) {
        for role in [Checkpoint.Role.embedding, .head] {
            left[.copy(role, .withoutUse)] = nil
            let same: [(Place, StoredTensor?)] = [
                (.copy(role, .ofSaved), saved[role]),
                (.copy(role, .ofBase), base[role] ?? base[.embedding]),
                (.own(role), base[role] ?? base[.embedding]),
            ]
            for (place, table) in same {
                guard let copy = left[place], let table else { continue }
                let tensor = try shaped(copy, as: role)
                let isSame =
                    comparesValues
                    ? try tensor.holdsTheSame(as: table) : tensor.shape == table.shape
                if isSame { left[place] = nil }
            }
        }
    }

    /// The embedding and head that PEFT saves beneath changes of them (`save_embedding_layers`), usually
    /// the base's own. On a base that ties them, each of the two is both.
    mutating func takeTables(
        into replaced: inout [Checkpoint.Role: StoredTensor]
    ) throws(ModelFileError) {
        var found: [Checkpoint.Role: StoredTensor] = [:]
        for target in [AdapterFile.Target.embedding, .head] where targets.contains(target) {
            guard let table = left.removeValue(forKey: .underneath(target.role)) else { continue }
            found[target.role] = try shaped(table, as: target.role)
        }
        guard comparesValues else {
            if isResized { replaced.merge(found) { $1 } }
            return
        }
        if base.configuration.tiesEmbeddings, let any = found[.head] ?? found[.embedding] {
            if let other = found[.embedding], try !any.holdsTheSame(as: other) {
                throw differ(other, any)
            }
            for role in [Checkpoint.Role.embedding, .head] where !saved.contains(role) {
                found[role] = any
            }
        }
        // On a base that ties them, what holds for one holds for the other.
        var isOwn: Bool?
        for (role, tensor) in found {
            guard let own = base[role] ?? base[.embedding] else { continue }
            if isOwn == nil || !base.configuration.tiesEmbeddings {
                isOwn = try tensor.holdsTheSame(as: own)
            }
            if isOwn != true { replaced[role] = tensor }
        }
    }

    /// A row for each class.
    mutating func takeScores() throws(ModelFileError) -> StoredTensor? {
        guard configuration.isClassifier else { return nil }
        guard !PEFTReader.isTargeted("score", configuration) else {
            throw ModelFileError(
                .unsupportedField, "\(folder)/adapter_config.json: target_modules matches score")
        }
        guard configuration.invocation.isEmpty else {
            throw ModelFileError(
                .unsupportedField,
                "\(folder)/adapter_config.json: alora_invocation_tokens is not supported for classifiers"
            )
        }
        let tensor = try take(.scores, named: "score.weight")
        guard tensor.shape.count == 2, tensor.shape[1] == base.configuration.hiddenSize,
            (1...4096).contains(tensor.shape[0])
        else {
            throw ModelFileError(
                .wrongShape,
                "\(folder): tensor \(tensor.name) has shape \(tensor.shape); a score has 1 to 4096 rows of \(base.configuration.hiddenSize)"
            )
        }
        return tensor
    }

    mutating func takeTokenRows() throws(ModelFileError) -> [AdapterFile.Target: AdapterFile
        .TokenRows]
    {
        var rows: [AdapterFile.Target: AdapterFile.TokenRows] = [:]
        var tokens = configuration.trainableTokens.tokens
        let isShared =
            base.configuration.tiesEmbeddings && tokens[.embedding] != nil
            && (tokens[.head] == nil || tokens[.head] == tokens[.embedding])
        if isShared { tokens[.head] = nil }
        for (target, tokens) in tokens {
            let tensor = try take(
                .tokenRows(target),
                named: "\(target.moduleName).token_adapter.trainable_tokens_delta")
            let shape = [tokens.count, base.configuration.hiddenSize]
            guard tokens.count <= limits.tokens else {
                throw ModelFileError(
                    .limitExceeded,
                    "\(folder): trainable_token_indices has \(tokens.count) tokens; the limit is \(limits.tokens)"
                )
            }
            guard tensor.shape == shape else {
                throw ModelFileError(
                    .wrongShape,
                    "\(folder): tensor \(tensor.name) has shape \(tensor.shape); the configuration's tokens need \(shape)"
                )
            }
            rows[target] = AdapterFile.TokenRows(tokens: tokens, rows: tensor)
        }
        if isShared, let embedding = rows[.embedding] {
            rows[.head] = embedding
            // Once the vocabulary has grown, PEFT writes them for both.
            if let copy = left[.tokenRows(.head)] {
                let isSame =
                    comparesValues ? try embedding.pieces[0].holdsTheSame(as: copy) : true
                if isSame { left[.tokenRows(.head)] = nil }
            }
        }
        return rows
    }
}
