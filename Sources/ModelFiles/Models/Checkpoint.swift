internal import Foundation
package import JSONTree
package import Tensors

/// A base model on disk: its configuration, its tensors under names that do not depend on the file
/// format, and what tokenization needs.
package struct Checkpoint: Sendable {
    /// A tensor by its part in the model.
    package enum Role: Hashable, Sendable {
        case embedding, finalNorm, head
        case attentionNorm(layer: Int), feedForwardNorm(layer: Int)
        case queryNorm(layer: Int), keyNorm(layer: Int)
        case weight(layer: Int, Projection), bias(layer: Int, Projection)
    }

    /// Where the tokenizer comes from.
    package enum TokenizerSource: Sendable {
        /// `tokenizer.json`, and `tokenizer_config.json` with its chat template put in place.
        case huggingFace(tokenizer: JSON, config: JSON)
        /// The metadata of a GGUF file.
        case gguf([String: GGUFValue])
        /// The folder has none; token ids are all that such a model understands.
        case absent
    }

    package let path: String
    package let configuration: ModelConfiguration
    package let tokenizer: TokenizerSource
    package let generation: GenerationDefaults
    private let tensors: [Role: StoredTensor]

    package subscript(role: Role) -> StoredTensor? { tensors[role] }

    /// All tensors, by the names that the file gives them.
    package var storedTensors: [StoredTensor] { tensors.values.sorted { $0.name < $1.name } }

    /// Bytes of all tensors as stored.
    package var storedByteCount: Int { tensors.values.reduce(0) { $0 + $1.byteRange.count } }

    /// Of the files that hold the tensors, in the order of their paths.
    package var fileVersions: [FileVersion] {
        files.sorted { $0.path < $1.path }.map(\.version)
    }

    private var files: [MappedFile] {
        var files: [ObjectIdentifier: MappedFile] = [:]
        for tensor in tensors.values { files[ObjectIdentifier(tensor.file)] = tensor.file }
        return Array(files.values)
    }

    /// Begins to read all of the files on a thread of its own, for somebody who needs them soon and in
    /// another order than they lie on the disk.
    package func readAhead() {
        let all = files
        Thread.detachNewThread { for file in all { file.readAll() } }
    }

    /// Tells the kernel that the files' pages are not needed for now.
    package func releasePages() {
        for file in files { file.releasePages() }
    }

    /// Checks that the tensors are exactly those that the configuration calls for, in the right
    /// shapes.
    ///
    /// - Parameter named: the file's tensors by role, with the names they have there.
    init(
        path: String, configuration: ModelConfiguration, tokenizer: TokenizerSource,
        generation: GenerationDefaults, named: [Role: StoredTensor]
    ) throws(ModelFileError) {
        self.path = path
        self.configuration = configuration
        self.tokenizer = tokenizer
        self.generation = generation
        tensors = named
        try check()
        try generation.check(vocabularySize: configuration.vocabularySize, source: path)
    }

    private func check() throws(ModelFileError) {
        let c = configuration
        try require(.embedding)
        try require(.finalNorm)
        if c.tiesEmbeddings {
            if let head = tensors[.head] {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(path): \(head.name) is present although the embeddings are tied")
            }
        } else {
            try require(.head)
        }
        for layer in 0..<c.layerCount {
            try require(.attentionNorm(layer: layer))
            try require(.feedForwardNorm(layer: layer))
            for projection in Projection.allCases {
                try require(.weight(layer: layer, projection))
                let bias = Role.bias(layer: layer, projection)
                if let biased = c.biasedProjections, let tensor = tensors[bias],
                    !biased.contains(projection)
                {
                    // transformers leaves it out, and computes something else with it.
                    throw ModelFileError(
                        .unexpectedTensor,
                        "\(path): \(tensor.name) is present, and the configuration has no such bias"
                    )
                }
                if c.biasedProjections?.contains(projection) == true { try require(bias) }
                try checkShape(bias)
            }
            for role in [Role.queryNorm(layer: layer), .keyNorm(layer: layer)] {
                if c.family == .qwen3 {
                    try require(role)
                } else if let tensor = tensors[role] {
                    throw ModelFileError(
                        .unexpectedTensor,
                        "\(path): \(tensor.name) does not belong to a \(c.family) model")
                }
            }
            if c.family == .qwen2 {
                for projection in Projection.Site.attentionInput.projections {
                    try require(.bias(layer: layer, projection))
                }
            }
        }
    }

    private func require(_ role: Role) throws(ModelFileError) {
        guard tensors[role] != nil else {
            throw ModelFileError(.missingTensor, "\(path): \(role.name) is missing")
        }
        try checkShape(role)
    }

    private func checkShape(_ role: Role) throws(ModelFileError) {
        guard let tensor = tensors[role], let shape = configuration.shape(of: role),
            tensor.shape != shape
        else { return }
        throw ModelFileError(
            .wrongShape,
            "\(path): tensor \(tensor.name) has shape \(tensor.shape), the configuration says \(shape)"
        )
    }
}

/// Sampling defaults and stop tokens that a model's files ask for.
package struct GenerationDefaults: Sendable, Equatable {
    /// Tokens that end a completion.
    package var endTokens: [Int] = []
    package var temperature: Double?
    package var topK: Int?
    package var topP: Double?
    package var minP: Double?
    package var repetitionPenalty: Double?

    package init() {}

    /// - Throws: `ModelFileError` with the code `invalid_field`, naming the one that no request could ask
    ///   for either.
    func check(vocabularySize: Int, source: String) throws(ModelFileError) {
        func invalid(_ field: String, _ value: Any, _ wanted: String) -> ModelFileError {
            ModelFileError(
                .invalidField, "\(source): \(field) is \(value); it must be \(wanted)")
        }
        for token in endTokens where !(0..<vocabularySize).contains(token) {
            throw invalid(
                "eos_token_id", token, "a token of the \(vocabularySize) in the vocabulary")
        }
        if let temperature, !(0...2).contains(temperature) {
            throw invalid("temperature", temperature, "between 0 and 2")
        }
        if let topK, !(-1...Int(Int32.max)).contains(topK) {
            throw invalid("top_k", topK, "-1 or 0 for none, or a count of tokens")
        }
        if let topP, !(topP > 0 && topP <= 1) {
            throw invalid("top_p", topP, "above 0 and at most 1")
        }
        if let minP, !(0...1).contains(minP) { throw invalid("min_p", minP, "between 0 and 1") }
        if let repetitionPenalty, !(0.01...100).contains(repetitionPenalty) {
            throw invalid("repetition_penalty", repetitionPenalty, "between 0.01 and 100")
        }
    }
}
