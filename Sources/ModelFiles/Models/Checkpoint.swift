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
        /// Of what attention and feed-forward add.
        case attentionOutputNorm(layer: Int), feedForwardOutputNorm(layer: Int)
        case queryNorm(layer: Int), keyNorm(layer: Int)
        case weight(layer: Int, Projection), bias(layer: Int, Projection)
        /// (experts, hidden size): how much a token wants of each.
        case router(layer: Int)
        case expert(layer: Int, Int, Projection)
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
    package private(set) var configuration: ModelConfiguration
    package let tokenizer: TokenizerSource
    package let generation: GenerationDefaults
    private let tensors: [Role: StoredTensor]

    package subscript(role: Role) -> StoredTensor? { tensors[role] }

    /// The model as an adapter with another vocabulary sees it. Its own tables stay as they are.
    func withVocabulary(of size: Int) -> Checkpoint {
        var other = self
        other.configuration.vocabularySize = size
        return other
    }

    /// All tensors, by the names that the file gives them.
    package var storedTensors: [StoredTensor] {
        tensors.values.sorted {
            ($0.name, $0.byteRange.lowerBound, $0.firstRow)
                < ($1.name, $1.byteRange.lowerBound, $1.firstRow)
        }
    }

    /// Numbers that the model has learnt.
    package var parameterCount: Int {
        tensors.values.reduce(0) { $0 + $1.rowCount * $1.columnCount }
    }

    /// Bytes of all tensors as stored.
    package var storedByteCount: Int { tensors.values.reduce(0) { $0 + $1.storedByteCount } }

    /// Of the files that hold the tensors, in the order of their paths, and of the tokenizer's.
    package var fileVersions: [FileVersion] {
        files.sorted { $0.path < $1.path }.map(\.version)
            + [FileVersion(of: path + "/tokenizer.json")].compactMap { $0 }
    }

    private var files: [MappedFile] {
        var files: [ObjectIdentifier: MappedFile] = [:]
        for tensor in tensors.values.flatMap(\.parts) {
            files[ObjectIdentifier(tensor.file)] = tensor.file
        }
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
            for role in c.expertRoles(layer: layer) { try require(role) }
            let projections = c.projections(layer: layer)
            for projection in Projection.allCases {
                let weight = Role.weight(layer: layer, projection)
                if projections.contains(projection) {
                    try require(weight)
                } else if let tensor = tensors[weight] {
                    throw ModelFileError(
                        .unexpectedTensor,
                        "\(path): \(tensor.name) is present in a layer that has experts")
                }
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
            for role in Role.norms(layer: layer) {
                if c.shape(of: role) != nil {
                    try require(role)
                } else if let tensor = tensors[role] {
                    throw ModelFileError(
                        .unexpectedTensor,
                        "\(path): \(tensor.name) does not belong to a \(c.family.name) model")
                }
            }
        }
    }

    private func require(_ role: Role) throws(ModelFileError) {
        guard tensors[role] != nil else {
            throw ModelFileError(
                .missingTensor, "\(path): \(configuration.name(of: role)) is missing")
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
