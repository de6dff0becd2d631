internal import Foundation
package import JSONTree
package import Tensors

/// An adapter as its files hold it, checked against the base it is for: what it changes, what it
/// replaces, and nothing that was not understood.
package struct AdapterFile: Sendable {
    /// The change of one module: y += scale · B(A x), and what goes with it.
    package struct Delta: Sendable {
        /// (rank, inputs).
        package var a: StoredTensor
        /// (outputs, rank).
        package var b: StoredTensor
        /// (outputs); y += scale · bias.
        package var bias: StoredTensor?
        /// (outputs); DoRA's magnitudes.
        package var magnitude: StoredTensor?
        package var scale: Float

        package var rank: Int { a.rowCount }
    }

    /// A module that can have a low-rank change.
    package enum Target: Hashable, Sendable, Comparable {
        /// Its input is a token: a column of A.
        case embedding
        case projection(layer: Int, Projection)
        case router(layer: Int)
        case expert(layer: Int, Int, Projection)
        case head

        /// Llama's name of the module, whatever the family's is.
        package var moduleName: String { String(role.name.dropLast(".weight".count)) }

        /// What the weights are changed of; nil for what has none.
        init?(_ role: Checkpoint.Role) {
            switch role {
            case .embedding: self = .embedding
            case .head: self = .head
            case .weight(let layer, let projection):
                self = .projection(layer: layer, projection)
            case .router(let layer): self = .router(layer: layer)
            case .expert(let layer, let expert, let projection):
                self = .expert(layer: layer, expert, projection)
            default: return nil
            }
        }

        package static func all(for base: ModelConfiguration) -> [Target] {
            [.embedding]
                + (0..<base.layerCount).flatMap { layer in
                    base.projections(layer: layer).map { .projection(layer: layer, $0) }
                        + base.expertRoles(layer: layer).compactMap { Target($0) }
                } + [.head]
        }

        /// The weights that the change is added to.
        package var role: Checkpoint.Role {
            switch self {
            case .embedding: .embedding
            case .projection(let layer, let projection): .weight(layer: layer, projection)
            case .router(let layer): .router(layer: layer)
            case .expert(let layer, let expert, let projection):
                .expert(layer: layer, expert, projection)
            case .head: .head
            }
        }

        /// First the embedding, then layer by layer, the head last.
        package static func < (a: Target, b: Target) -> Bool { a.order < b.order }

        private var order: (Int, Int, String) {
            switch self {
            case .embedding: (-1, 0, "")
            case .projection(let layer, let projection): (layer, -2, projection.rawValue)
            case .router(let layer): (layer, -1, "")
            case .expert(let layer, let expert, let projection):
                (layer, expert, projection.rawValue)
            case .head: (.max, 0, "")
            }
        }

        /// Whether it changes experts, or which of them a row takes.
        package var isOfExperts: Bool {
            switch self {
            case .router, .expert: true
            default: false
            }
        }
    }

    package var path: String
    package var deltas: [Target: Delta]
    /// Tensors that take the place of the base's.
    package var replaced: [Checkpoint.Role: StoredTensor] = [:]
    /// Of the embedding and of the head; they win over `replaced`.
    package var tokenRows: [Target: TokenRows] = [:]
    /// The adapter acts from the last occurrence of these tokens in a prompt on, or not at all if they
    /// do not occur. Empty: it acts everywhere.
    package var invocation: [Int32] = []
    /// (classes, hidden size) of a classifier: what it makes of the last hidden states behind the final norm.
    package var scores: StoredTensor?
    /// Rows of its embedding and head, where they are not as many as the base's. It has all those beyond the base's itself.
    package var vocabularySize: Int?
    package var text: AdapterText?
    /// Whether its files say which tokens it has. What `text` leaves out of that is as the base's tokenizer has it.
    package var isTokenized = false
    /// What the adapter says it was trained on; advisory.
    package var baseModelName: String?

    /// The largest rank.
    package var rank: Int { deltas.values.map(\.rank).max() ?? 0 }

    /// Opens a PEFT folder, one of mlx-lm's, or a GGUF LoRA file for a base.
    ///
    /// - Parameter reading: with `.header`, whether two copies of one matrix are the same is left open.
    /// - Throws: `ModelFileError`; its code and the field or tensor it names say why.
    package static func open(
        path: String, base: Checkpoint, limits: AdapterLimits, reading: FileReading = .copied
    ) throws(ModelFileError) -> AdapterFile {
        if path.hasSuffix(".gguf") || GGUFFile.isGGUF(path: path) {
            return try AdapterFile(
                ggufPath: path, base: base.configuration, limits: limits, reading: reading)
        }
        let file =
            FileManager.default.fileExists(atPath: path + "/" + mlxFileName)
            ? try AdapterFile(mlxFolder: path, base: base, limits: limits, reading: reading)
            : try AdapterFile(folder: path, base: base, limits: limits, reading: reading)
        if let size = file.vocabularySize, !limits.allowsOtherVocabularies {
            throw ModelFileError(
                .unsupportedVocabulary,
                "\(path): it has a vocabulary of \(size) tokens, this base one of \(base.configuration.vocabularySize). On GPUs both have to be of one size: serve it on the CPU, or resize the base and save it with the adapter's tokenizer"
            )
        }
        return file
    }

    /// Reads what a folder says beside its weights.
    mutating func readText(
        _ folder: String, base: Checkpoint, limits: AdapterLimits
    ) throws(ModelFileError) {
        let text = try AdapterText(
            folder: folder, tokenizer: base.tokenizer,
            vocabularySize: base.configuration.vocabularySize, limits: limits)
        if !text.isEmpty { self.text = text }
        isTokenized = AdapterText.isTokenized(folder)
    }

    /// The same with its text as somebody makes of it.
    package consuming func settled(
        _ settle: (AdapterText) throws(ModelFileError) -> AdapterText
    ) throws(ModelFileError) -> AdapterFile {
        guard let text else { return self }
        var file = self
        let settled = try settle(text)
        file.text = settled.isEmpty ? nil : settled
        return file
    }

    /// What the configuration means for the arithmetic, in a form that does not depend on how it was
    /// written; part of the adapter's digest.
    package var normalizedConfiguration: JSON {
        let modules = JSON.array(
            deltas.sorted { $0.key < $1.key }.map { target, delta in
                [
                    "module": .string(target.moduleName), "rank": .integer(delta.rank),
                    "scale": .number(Double(delta.scale)),
                ]
            })
        guard
            !replaced.isEmpty || !tokenRows.isEmpty || !invocation.isEmpty || text != nil
                || scores != nil || vocabularySize != nil
        else { return modules }
        func integers(_ values: [Int32]) -> JSON { .array(values.map { .integer(Int($0)) }) }
        let tokens = tokenRows.sorted { $0.key < $1.key }.map { target, rows -> JSON in
            ["module": .string(target.moduleName), "indices": integers(rows.tokens)]
        }
        var whole = JSON.Object([
            ("modules", modules),
            ("replaced", .array(replaced.keys.map(\.name).sorted().map { .string($0) })),
            ("tokens", .array(tokens)), ("invocation", integers(invocation)),
        ])
        whole["text"] = text?.json
        if let scores { whole["scores"] = .integer(scores.rowCount) }
        if let vocabularySize { whole["vocabulary"] = .integer(vocabularySize) }
        return .object(whole)
    }

    /// An adapter for a base of other sizes.
    ///
    /// - Parameters:
    ///   - found: a size of the tensor, of which the base's module has `wanted`.
    ///   - isInput: whether it is of the module's input.
    static func mismatch(
        _ tensor: StoredTensor, _ found: Int, _ wanted: Int, _ target: Target, isInput: Bool,
        base: ModelConfiguration, source: String, trainedOn: String?
    ) -> ModelFileError {
        let other = trainedOn.map { "\"\($0)\"" } ?? "another base"
        let isVocabulary = target == .embedding && isInput || target == .head && !isInput
        let reason =
            isVocabulary
            ? "it was trained with a vocabulary of \(found) tokens, and this base has \(wanted). The adapter has to bring embedding and head whole then, both in one size: save it with save_embedding_layers=True"
            : "it was trained on \(other), where \(target.moduleName) has \(found) \(isInput ? "inputs" : "outputs"); this base has \(wanted)"
        return ModelFileError(.wrongShape, "\(source): \(reason) (tensor \(tensor.name))")
    }

    /// Checks a delta's shapes against the base and each other.
    static func checkShapes(
        _ delta: Delta, of target: Target, base: ModelConfiguration, limits: AdapterLimits,
        source: String, trainedOn: String?
    ) throws(ModelFileError) {
        let inputs = base.inputCount(of: target)
        let outputs = base.outputCount(of: target)
        let rank = delta.rank
        guard delta.scale.isFinite else {
            throw ModelFileError(.nonFiniteValue, "\(source): the scale of \(delta.a.name)")
        }
        func check(_ tensor: StoredTensor?, _ shape: [Int]) throws(ModelFileError) {
            guard let tensor, tensor.shape != shape else { return }
            throw ModelFileError(
                .wrongShape,
                "\(source): tensor \(tensor.name) has shape \(tensor.shape); this base and rank need \(shape)"
            )
        }
        guard rank > 0, rank <= limits.rank else {
            throw ModelFileError(
                .limitExceeded,
                "\(source): tensor \(delta.a.name) has rank \(rank); the limit is \(limits.rank)")
        }
        for (tensor, dimension, wanted) in [(delta.a, 1, inputs), (delta.b, 0, outputs)]
        where tensor.shape.count == 2 && tensor.shape[dimension] != wanted {
            throw mismatch(
                tensor, tensor.shape[dimension], wanted, target, isInput: dimension == 1,
                base: base, source: source, trainedOn: trainedOn)
        }
        try check(delta.a, [rank, inputs])
        try check(delta.b, [outputs, rank])
        try check(delta.bias, [outputs])
        try check(delta.magnitude, [outputs])
    }
}

extension ModelConfiguration {
    package func inputCount(of target: AdapterFile.Target) -> Int {
        switch target {
        case .embedding: vocabularySize
        case .projection(_, let projection): inputCount(of: projection.site)
        case .router, .expert: shape(of: target.role)?.last ?? 0
        case .head: hiddenSize
        }
    }

    package func outputCount(of target: AdapterFile.Target) -> Int {
        switch target {
        case .embedding: hiddenSize
        case .projection(_, let projection): outputCount(of: projection)
        case .router, .expert: shape(of: target.role)?.first ?? 0
        case .head: vocabularySize
        }
    }
}

/// Bounds on an adapter, checked before anything is allocated for it.
package struct AdapterLimits: Sendable {
    package var rank = 512
    package var byteCount = 4 << 30
    /// Bytes of `adapter_config.json`.
    package var configuration = 1 << 20
    /// Bytes of the tensors' names and shapes.
    package var header = 4 << 20
    /// Tokens that invoke an adapter.
    package var invocation = 256
    /// Whether an adapter may have another vocabulary than the base.
    package var allowsOtherVocabularies = true
    /// Tokens whose rows of the embedding or the head an adapter brings, and tokens that the base lacks.
    package var tokens = 8192

    package init() {}

    /// - Throws: `ModelFileError` with `limit_exceeded` where tensors take more than an adapter may.
    func check(_ tensors: [String: StoredTensor], source: String) throws(ModelFileError) {
        guard tensors.values.reduce(0, { $0 + $1.byteRange.count }) <= byteCount else {
            throw ModelFileError(.limitExceeded, "\(source) is larger than \(byteCount) bytes")
        }
    }
}

extension ModelFileError.Code {
    public static let unknownField = Self("unknown_field")
    public static let unsupportedTask = Self("unsupported_task")
    public static let unsupportedPEFTType = Self("unsupported_peft_type")
    public static let pickleRefused = Self("pickle_refused")
    public static let wrongBaseModel = Self("wrong_base_model")
    public static let limitExceeded = Self("limit_exceeded")
    public static let unsupportedVocabulary = Self("unsupported_vocabulary")
    public static let rankMismatch = Self("rank_mismatch")
}
