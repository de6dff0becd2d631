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

/// `POST /v1/embeddings`: the last hidden states of texts, with any adapter, in the same steps as everything else.
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
            return try await account.closing { try await respond(request, context, account) }
        }
    }

    private func respond(
        _ request: Request, _ context: APIContext, _ account: RequestAccount
    ) async throws -> Response {
        let departure = await context.departure()
        let body = try await completions.texts.body(of: request, context)
        let scope = context.scope
        let (asked, prompts) = try await completions.texts.run(on: body) {
            json -> (EmbeddingRequest, [[Int]]) in
            let asked = try EmbeddingRequest(json)
            try registry.check(asked.model, in: scope)
            return (asked, try self.prompts(asked))
        }
        var options = CompletionOptions()
        options.maximumTokens = 0
        options.pooling = Pooling(rawValue: asked.pooling)
        options.flow = try context.flow(nil)
        for prompt in prompts { try generator.check(prompt, options) }
        let count = prompts.reduce(0) { $0 + $1.count }
        let patience = try request.headers.queueDelay ?? completions.maximumQueueDelay
        if !registry.library.isJustInTime(asked.model) {
            account.name("embeddings", asked.model, digest: nil)
        }
        let working = Task { [options] in
            let model = try await registry.model(asked.model, context)
            var options = options
            options.prefixScope = completions.prefixSharing.scope(
                salt: nil, of: context.tenant, for: model)
            account.name(
                "embeddings", asked.model, digest: model.lease?.adapter.digest.description)
            try account.reserve(count)
            return try await self.vectors(of: prompts, with: model, options, patience, account)
        }
        let vectors = try await departure.whileConnected(onDeparture: { working.cancel() }) {
            try await withTaskCancellationHandler {
                try await working.value
            } onCancel: {
                working.cancel()
            }
        }
        let usage = Usage(promptTokens: count)
        let text = try await completions.texts.run(byteCount: vectors.count * 16_384) {
            let data = vectors.enumerated().map { index, vector in
                [
                    "object": "embedding", "index": .integer(index),
                    "embedding": Self.json(vector, asked),
                ] as JSON
            }
            return JSON.object(
                JSON.Object([
                    ("object", "list"), ("data", .array(data)), ("model", .string(asked.model)),
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

    private func prompts(_ asked: EmbeddingRequest) throws -> [[Int]] {
        let width = generator.checkpoint.configuration.hiddenSize
        if let dimensions = asked.dimensions, dimensions > width {
            throw APIError.invalid(
                "dimensions", "dimensions is \(dimensions); the model has \(width).")
        }
        let numbers = asked.inputs.count * (asked.dimensions ?? width)
        guard numbers <= Self.numberLimit else {
            throw APIError.invalid(
                "input",
                "The vectors would be \(numbers) numbers; at most \(Self.numberLimit) are allowed in one answer. Send fewer texts."
            )
        }
        var total = 0
        return try asked.inputs.map { input in
            let tokens =
                switch input {
                case .text(let text):
                    generator.tokenizer.encode(text, addsSpecialTokens: asked.addsSpecialTokens)
                case .tokens(let tokens): tokens
                }
            total += tokens.count
            guard total <= Self.tokenLimit else {
                throw APIError.invalid(
                    "input",
                    "The texts have more than \(Self.tokenLimit) tokens together: send fewer.")
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
}
