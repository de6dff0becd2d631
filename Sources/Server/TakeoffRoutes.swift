internal import AdapterStore
internal import Foundation
internal import Generation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import ModelFiles
internal import OpenAIWire
internal import Tokenization

/// The API of Takeoff, as its Python client 0.7.0 needs it, all on one port. There is one reader, the base, in the group
/// "primary"; adapters are its LoRAs.
struct TakeoffRoutes {
    let completions: CompletionRoutes

    private var generator: TextGenerator { completions.generator }
    private var registry: ModelRegistry { completions.registry }
    private static let reader = "primary"

    func add(to group: RouterGroup<APIContext>) {
        for (path, streams) in [("generate", false), ("generate_stream", true)] {
            group.post(RouterPath(path)) { request, context -> Response in
                try await completions.respond(request, context) { json, scope in
                    try prepare(try TakeoffRequest(json), scope, streams: streams)
                }
            }
        }
        group.post("tokenize/:reader") { request, context -> Response in
            try await answer(request, context) { json in
                let (text, usesTemplate, skips) = try TakeoffText.tokenize(json)
                let tokenizer = generator.baseTokenizer
                var tokens = try tokens(of: text, usesTemplate)
                if skips { tokens = tokens.filter { !tokenizer.isSpecial($0) } }
                return [
                    "tokens": .array(tokens.map { .string(tokenizer.token($0) ?? "") }),
                    "tokens_count": .integer(tokens.count),
                ]
            }
        }
        group.post("detokenize/:reader") { request, context -> Response in
            try await answer(request, context) { json in
                let (list, skips) = try TakeoffText.detokenize(json)
                let tokens = try list.map { try id(of: $0) }
                return [
                    "text": .string(
                        generator.baseTokenizer.decode(tokens, skipsSpecialTokens: skips))
                ]
            }
        }
        group.post("chat_template/:reader") { request, context -> Response in
            try await answer(request, context) { json in
                let (conversations, adds) = try TakeoffText.conversations(json)
                let texts = try conversations.map { messages in
                    try generator.render(
                        Conversation(messages: messages, addsGenerationPrompt: adds), for: .base)
                }
                return ["messages": .array(texts.map { .string($0) })]
            }
        }
        group.post("reader") { _, _ -> Response in throw Self.isFixed }
        group.delete("reader/:reader") { _, _ -> Response in throw Self.isFixed }
        group.get("reader_groups") { _, context -> Response in
            Response(json: [Self.reader: [reader(context)]])
        }
        group.get("status") { _, context -> Response in
            Response(json: [
                "live_readers": [Self.reader: reader(context)], "dead_readers": [:], "ports": [],
            ])
        }
        group.get("config/:reader") { _, context -> Response in
            try check(context)
            return Response(json: configuration)
        }
    }

    private static let isFixed = APIError(
        status: 400, code: "readers_are_fixed",
        message:
            "This server has one reader, its base. Adapters come and go by PUT and DELETE /admin/adapters/NAME."
    )

    /// Works on a request's body, of a path that names the reader.
    private func answer(
        _ request: Request, _ context: APIContext,
        _ work: @escaping @Sendable (JSON) throws -> JSON
    ) async throws -> Response {
        try check(context)
        let body = try await completions.texts.body(of: request, context)
        return Response(jsonText: try await completions.texts.run(on: body) { try work($0).text() })
    }

    private func check(_ context: APIContext) throws {
        let name = context.parameters.get("reader") ?? ""
        let isReader = name == Self.reader || registry.baseNames.contains(name)
        guard isReader, context.scope.allows(registry.baseNames[0]) else {
            throw APIError(
                status: 404, code: "reader_not_found",
                message: "There is no reader \"\(name.prefix(100))\"; there is \(Self.reader).")
        }
    }

    private func prepare(
        _ request: TakeoffRequest, _ scope: ModelScope, streams: Bool
    ) throws -> PreparedRequest {
        let model = request.adapter ?? registry.baseNames[0]
        try registry.check(model, in: scope)
        var prepared = PreparedRequest(
            .completion, model, request.sampling, streams ? StreamOptions() : nil,
            logprobCount: nil)
        prepared.mostPromptTokens = request.mostPromptTokens
        if request.usesTemplate {
            prepared.conversations = request.text.all.map { conversation($0) }
        } else {
            prepared.prompts = request.text.all.map {
                PreparedRequest.Prompt($0, generator.baseTokenizer, echoes: false)
            }
            prepared.cutPrompts()
        }
        prepared.takeoff = TakeoffWriter(request.text)
        try completions.constrain(&prepared)
        return prepared
    }

    private func tokens(of text: String, _ usesTemplate: Bool) throws -> [Int] {
        guard usesTemplate else { return generator.baseTokenizer.encode(text) }
        return generator.baseTokenizer.encode(
            try generator.render(conversation(text), for: .base), addsSpecialTokens: false)
    }

    private func conversation(_ text: String) -> Conversation {
        Conversation(messages: [["role": "user", "content": .string(text)]])
    }

    private func id(of token: JSON) throws(APIError) -> Int {
        let tokenizer = generator.baseTokenizer
        if let id = token.integerValue, tokenizer.token(id) != nil { return id }
        if let text = token.stringValue, let id = tokenizer.id(of: text) { return id }
        throw APIError(
            status: 400, code: "invalid_token",
            message: "The tokenizer has no token \(token.text().prefix(100)).", parameter: "tokens")
    }

    private func reader(_ context: APIContext) -> JSON {
        let names = registry.names(in: context.scope).filter { !registry.baseNames.contains($0) }
        return [
            "reader_id": .string(Self.reader), "consumer_group": .string(Self.reader),
            "consumer_groups": [.string(Self.reader)], "device": "cpu",
            "model_name": .string(registry.baseNames[0]), "model_type": "TextGeneration",
            "loras": names.isEmpty ? .null : .string(names.sorted().joined(separator: ",")),
        ]
    }

    /// What is in a model's `config.json`, as far as it is known of all files.
    private var configuration: JSON {
        let c = generator.checkpoint.configuration
        return [
            "model_type": .string(c.family.name), "hidden_size": .integer(c.hiddenSize),
            "intermediate_size": .integer(c.intermediateSize),
            "num_hidden_layers": .integer(c.layerCount),
            "num_attention_heads": .integer(c.headCount),
            "num_key_value_heads": .integer(c.keyValueHeadCount),
            "head_dim": .integer(c.headDimension), "vocab_size": .integer(c.vocabularySize),
            "max_position_embeddings": .integer(c.contextLength),
            "tie_word_embeddings": .bool(c.tiesEmbeddings),
        ]
    }
}

extension Exchange {
    /// A stream of texts as Takeoff has it.
    func stream(
        by writer: TakeoffWriter, write: (String) async throws -> Void
    ) async throws {
        var usage = newUsage
        try await forEachPieceInOrder { choice, piece in
            usage.completionTokens += piece.tokens.count
            if piece.finish != nil {
                usage.cachedTokens += cachedTokens(piece.foundPromptCount, choice)
            }
            if !piece.text.isEmpty {
                try await write(writer.piece(piece.text, index: choice.index))
            }
        }
        metrics.finish(usage)
    }
}
