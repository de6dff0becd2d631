internal import Tensors

/// Embeddings and heads, or rows of them.
extension PEFTReader {
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
                let isSame = comparesValues ? try tensor.holdsTheSame(as: table) : true
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
        guard comparesValues else { return }
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
                let isSame = comparesValues ? try embedding.rows.holdsTheSame(as: copy) : true
                if isSame { left[.tokenRows(.head)] = nil }
            }
        }
        return rows
    }
}
