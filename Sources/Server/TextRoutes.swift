internal import Generation
internal import Hummingbird
internal import JSONTree
internal import OpenAIWire
internal import Tokenization

/// Text and tokens without a completion: `POST /tokenize` and `/detokenize` as vLLM has them, and what the template makes of a
/// chat request.
struct TextRoutes {
    let generator: TextGenerator
    let texts: TextQueue

    func add(to group: RouterGroup<APIContext>) {
        group.post("tokenize") { request, context -> Response in
            try await answer(request, context, tokenize)
        }
        group.post("detokenize") { request, context -> Response in
            try await answer(request, context, detokenize)
        }
        group.post("v1/chat/completions/render") { request, context -> Response in
            try await answer(request, context, render)
        }
    }

    private func answer(
        _ request: Request, _ context: APIContext,
        _ work: @escaping @Sendable (JSON) throws -> JSON
    ) async throws -> Response {
        let body = try await texts.body(of: request, context)
        return Response(jsonText: try await texts.run(on: body) { try work($0).text() })
    }

    @Sendable
    private func tokenize(_ json: JSON) throws -> JSON {
        let request = try TokenizeRequest(json)
        if let model = request.model { try generator.registry.check(model) }
        let text =
            switch request.text {
            case .prompt(let prompt): prompt
            case .conversation(let chat):
                try generator.render(
                    messages: chat.messages, tools: chat.tools,
                    addsGenerationPrompt: chat.addsGenerationPrompt,
                    variables: chat.templateVariables)
            }
        let tokenizer = generator.tokenizer
        let tokens = tokenizer.encode(text, addsSpecialTokens: request.addsSpecialTokens)
        let strings: JSON =
            request.returnsTokenTexts
            ? .array(tokens.map { .string(tokenizer.token($0) ?? "") }) : .null
        return [
            "count": .integer(tokens.count), "max_model_len": .integer(generator.contextLength),
            "tokens": .array(tokens.map { .integer($0) }), "token_strs": strings,
        ]
    }

    @Sendable
    private func detokenize(_ json: JSON) throws -> JSON {
        let request = try DetokenizeRequest(json)
        if let model = request.model { try generator.registry.check(model) }
        let tokenizer = generator.tokenizer
        if let token = request.tokens.first(where: { tokenizer.token($0) == nil }) {
            throw APIError(
                status: 400, code: "invalid_token",
                message: "The tokenizer has no token \(token).", parameter: "tokens")
        }
        return ["prompt": .string(tokenizer.decode(request.tokens, skipsSpecialTokens: false))]
    }

    /// The prompt of a chat request, whose other parameters are checked as for a completion.
    @Sendable
    private func render(_ json: JSON) throws -> JSON {
        let request = try ChatRequest(json)
        try generator.registry.check(request.model)
        let text = try generator.render(
            messages: request.messages, tools: request.tools,
            addsGenerationPrompt: request.addsGenerationPrompt,
            variables: request.templateVariables)
        let tokens = generator.tokenizer.encode(text, addsSpecialTokens: false)
        return [
            "model": .string(request.model), "prompt": .string(text),
            "prompt_token_ids": .array(tokens.map { .integer($0) }),
            "count": .integer(tokens.count),
        ]
    }
}
