internal import AdapterStore
internal import Adapters
internal import Engine
internal import Foundation
internal import Generation
internal import Hummingbird
internal import JSONTree
internal import ModelFiles
internal import OpenAIWire
internal import Synchronization
internal import Tokenization

/// `POST /v1/embeddings` and `/v1/classify`: the last hidden states of texts, with any adapter, in the same steps as everything
/// else, and what a classifier makes of them.
struct EmbeddingRoutes {
    let completions: CompletionRoutes

    private var generator: TextGenerator { completions.generator }
    private var registry: ModelRegistry { completions.registry }

    /// Texts of one request that are in the engine at the same time.
    private static let width = 32
    private static let tokenLimit = 300_000
    /// Of all vectors of an answer.
    private static let numberLimit = 4 << 20

    func add(to group: RouterGroup<APIContext>) {
        group.post("embeddings") { request, context -> Response in
            let account = try RequestAccount(completions.tenancy, context)
            return try await account.closing { try await embed(request, context, account) }
        }
        group.post("classify") { request, context -> Response in
            let account = try RequestAccount(completions.tenancy, context)
            return try await account.closing { try await classify(request, context, account) }
        }
    }

    private func embed(
        _ request: Request, _ context: APIContext, _ account: RequestAccount
    ) async throws -> Response {
        try await respond("embeddings", request, context, account) {
            json -> (EmbeddingRequest, Texts) in
            let asked = try EmbeddingRequest(json)
            let texts = Texts(
                model: asked.model, inputs: asked.inputs,
                pooling: Pooling(rawValue: asked.pooling) ?? .last,
                addsSpecialTokens: asked.addsSpecialTokens, dimensions: asked.dimensions)
            try registry.check(asked.model, in: context.scope)
            return (asked, texts)
        } write: { asked, _, vectors in
            vectors.enumerated().map { index, vector in
                [
                    "object": "embedding", "index": .integer(index),
                    "embedding": Self.json(vector, asked),
                ]
            }
        }
    }

    private func classify(
        _ request: Request, _ context: APIContext, _ account: RequestAccount
    ) async throws -> Response {
        try await respond("classify", request, context, account) {
            json -> (ClassificationRequest, Texts) in
            let asked = try ClassificationRequest(json)
            try registry.check(asked.model, in: context.scope)
            let texts = Texts(
                model: asked.model, inputs: asked.inputs, pooling: .last,
                addsSpecialTokens: asked.addsSpecialTokens, isScored: true)
            return (asked, texts)
        } write: { asked, model, vectors in
            vectors.enumerated().map { index, vector in
                Self.json(
                    model.lease?.adapter.scores(of: vector) ?? [], index: index, asked.activation)
            }
        }
    }

    /// What both requests have.
    private struct Texts {
        var model: String
        var inputs: [EmbeddingRequest.Input]
        var pooling: Pooling
        var addsSpecialTokens: Bool
        /// Numbers of a vector; nil for all.
        var dimensions: Int?
        /// Whether the model has to be a classifier.
        var isScored = false
    }

    private func respond<Asked: Sendable>(
        _ operation: String, _ request: Request, _ context: APIContext, _ account: RequestAccount,
        read: @escaping @Sendable (JSON) throws -> (Asked, Texts),
        write: @escaping @Sendable (Asked, ModelRegistry.Model, [[Float]]) -> [JSON]
    ) async throws -> Response {
        let departure = await context.departure()
        let body = try await completions.texts.body(of: request, context)
        let (asked, texts, prompts) = try await completions.texts.run(on: body) {
            json -> (Asked, Texts, [[Int]]) in
            let (asked, texts) = try read(json)
            let width = generator.checkpoint.configuration.hiddenSize
            if let dimensions = texts.dimensions, dimensions > width {
                throw APIError.invalid(
                    "dimensions", "dimensions is \(dimensions); the model has \(width).")
            }
            try Self.checkSize(texts, numbers: texts.dimensions ?? width)
            return (asked, texts, try Self.prompts(texts, generator.baseTokenizer))
        }
        var options = CompletionOptions()
        options.maximumTokens = 0
        options.pooling = texts.pooling
        options.flow = try context.flow(nil)
        let patience = try request.headers.queueDelay ?? completions.maximumQueueDelay
        if !registry.library.isJustInTime(texts.model) {
            account.name(operation, texts.model, digest: nil)
        }
        let working = Task { [options] in
            var prompts = prompts
            if registry.baseNames.contains(texts.model) { try check(prompts, options, for: .base) }
            let model = try await registry.model(texts.model, context)
            if model.text.hasOwnTokenizer {
                prompts = try await completions.texts.run(
                    byteCount: body.bytes.count, with: model
                ) {
                    try Self.prompts(texts, try generator.text(of: model.text).tokenizer)
                }
            }
            try check(prompts, options, for: model.text)
            let count = prompts.reduce(0) { $0 + $1.count }
            guard !texts.isScored || model.lease?.adapter.isClassifier == true else {
                throw APIError(
                    status: 400, code: "not_a_classifier",
                    message:
                        "\(texts.model) has no head that scores texts: name an adapter that was trained with task_type SEQ_CLS.",
                    parameter: "model")
            }
            if texts.isScored {
                try Self.checkSize(
                    texts, numbers: 2 * (model.lease?.adapter.shape.classCount ?? 0))
            }
            var options = options
            options.prefixScope = completions.prefixSharing.scope(
                salt: nil, of: context.tenant, for: model)
            account.name(operation, texts.model, digest: model.lease?.adapter.digest.description)
            try account.reserve(count)
            return (
                model, count,
                try await self.vectors(of: prompts, with: model, options, patience, account)
            )
        }
        let (model, count, vectors) = try await departure.whileConnected(
            onDeparture: { working.cancel() }
        ) {
            try await withTaskCancellationHandler {
                try await working.value
            } onCancel: {
                working.cancel()
            }
        }
        let usage = Usage(promptTokens: count)
        let text = try await completions.texts.run(byteCount: vectors.count * 16_384) {
            JSON.object(
                JSON.Object([
                    ("object", "list"), ("data", .array(write(asked, model, vectors))),
                    ("model", .string(texts.model)),
                    (
                        "usage",
                        ["prompt_tokens": .integer(count), "total_tokens": .integer(count)]
                    ),
                ])
            ).text()
        }
        account.finish(usage)
        return Response(jsonText: text)
    }

    /// - Parameter numbers: that the answer has for each text.
    private static func checkSize(_ asked: Texts, numbers: Int) throws {
        let all = asked.inputs.count * numbers
        guard all <= numberLimit else {
            throw APIError.invalid(
                "input",
                "The answer would be \(all) numbers; at most \(numberLimit) are allowed in one. Send fewer texts."
            )
        }
    }

    private func check(
        _ prompts: [[Int]], _ options: CompletionOptions, for model: TextModel
    ) throws {
        for prompt in prompts { try generator.check(prompt, options, for: model) }
    }

    private static func prompts(_ asked: Texts, _ tokenizer: Tokenizer) throws -> [[Int]] {
        var total = 0
        return try asked.inputs.map { input in
            let tokens =
                switch input {
                case .text(let text):
                    tokenizer.encode(text, addsSpecialTokens: asked.addsSpecialTokens)
                case .tokens(let tokens): tokens
                }
            total += tokens.count
            guard total <= tokenLimit else {
                throw APIError.invalid(
                    "input",
                    "The texts have more than \(tokenLimit) tokens together: send fewer.")
            }
            return tokens
        }
    }

    private func vectors(
        of prompts: [[Int]], with model: ModelRegistry.Model, _ options: CompletionOptions,
        _ patience: Double?, _ account: RequestAccount
    ) async throws -> [[Float]] {
        var first = options
        first.patience = patience
        // If this one is not late, the others are let in.
        let begun = try generator.complete(prompts[0], with: model.text, options: first)
        var vectors = Array(repeating: [Float](), count: prompts.count)
        try await withThrowingTaskGroup(of: (Int, [Float]).self) { group in
            func begin(_ index: Int) {
                group.addTask {
                    var vector: [Float] = []
                    let completion =
                        index == 0
                        ? begun
                        : try generator.complete(prompts[index], with: model.text, options: options)
                    try await withTaskCancellationHandler {
                        try await completion.forEachPiece { piece in
                            vector = piece.vector ?? vector
                            account.note { $0.promptTokens += prompts[index].count }
                            account.time { $0.deviceSeconds += piece.deviceSeconds }
                        }
                    } onCancel: {
                        completion.cancel()
                    }
                    return (index, vector)
                }
            }
            for index in prompts.indices.prefix(Self.width) { begin(index) }
            var next = min(Self.width, prompts.count)
            while let (index, vector) = try await group.next() {
                vectors[index] = vector
                if next < prompts.count {
                    begin(next)
                    next += 1
                }
            }
        }
        return vectors
    }

    /// A vector of length one. What is cut off is cut off before.
    private static func json(_ vector: [Float], _ asked: EmbeddingRequest) -> JSON {
        let part = vector.prefix(asked.dimensions ?? vector.count)
        let length = part.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        let unit = part.map { length > 0 ? Float(Double($0) / length) : 0 }
        guard asked.isBase64 else { return .array(unit.map { .number(Double($0)) }) }
        var data = Data()
        for number in unit {
            for shift in [0, 8, 16, 24] {
                data.append(UInt8(truncatingIfNeeded: number.bitPattern >> UInt32(shift)))
            }
        }
        return .string(data.base64EncodedString())
    }

    /// A text's scores and what they are as probabilities. The folder of an adapter does not say what its classes are called.
    private static func json(
        _ scores: [Float], index: Int, _ asked: ClassificationRequest.Activation?
    ) -> JSON {
        let probabilities: [Double]
        switch asked ?? (scores.count > 1 ? .softmax : .sigmoid) {
        case .softmax:
            let largest = scores.max() ?? 0
            let powers = scores.map { exp(Double($0 - largest)) }
            let sum = powers.reduce(0, +)
            probabilities = powers.map { $0 / sum }
        case .sigmoid: probabilities = scores.map { 1 / (1 + exp(-Double($0))) }
        case .none: probabilities = scores.map { Double($0) }
        }
        let best = scores.indices.max { scores[$0] < scores[$1] } ?? 0
        return [
            "index": .integer(index), "label": .string("LABEL_\(best)"),
            "probs": .array(probabilities.map { .number($0) }),
            "scores": .array(scores.map { .number(Double($0)) }),
            "num_classes": .integer(scores.count),
        ]
    }
}
