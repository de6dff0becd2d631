internal import Answers
internal import Generation
internal import Hummingbird
internal import JSONTree
internal import OpenAIWire
internal import Tokenization

/// Text and tokens without a completion: `POST /tokenize` and `/detokenize` as vLLM has them, and what the template makes of a
/// chat request.
struct TextRoutes {
    let generator: TextGenerator
    let registry: ModelRegistry
    let texts: TextQueue

    func add(to group: RouterGroup<APIContext>) {
        group.post("tokenize") { request, context -> Response in
            try await answer(request, context) { json in
                let request = try TokenizeRequest(json)
                return (request.model, nil, { try tokenize(request, for: $0) })
            }
        }
        group.post("detokenize") { request, context -> Response in
            try await answer(request, context) { json in
                let request = try DetokenizeRequest(json)
                return (request.model, nil, { try detokenize(request, for: $0) })
            }
        }
        group.post("v1/chat/completions/parse") { request, context -> Response in
            try await answer(request, context) { json in
                let request = try ParseRequest(json)
                return (request.model, nil, { try parse(request, for: $0) })
            }
        }
        group.post("v1/chat/completions/render") { request, context -> Response in
            try await answer(request, context) { json in
                let request = try ChatRequest(json)
                return (request.model, request.adapters, { try render(request, for: $0) })
            }
        }
    }

    private typealias Work = @Sendable (ModelRegistry.Model) throws -> JSON

    /// Reads a request, waits for the model that it names, since an adapter may write conversations its own way, and
    /// answers.
    private func answer(
        _ request: Request, _ context: APIContext,
        _ read:
            @escaping @Sendable (JSON) throws -> (model: String?, mix: [ScaledAdapter]?, work: Work)
    ) async throws -> Response {
        let body = try await texts.body(of: request, context)
        let (name, mix, work) = try await texts.run(on: body, read)
        var model = ModelRegistry.Model.base
        if let name { model = try await registry.model(name, mixing: mix, context) }
        return Response(
            jsonText: try await texts.run(byteCount: body.bytes.count, with: model) { [model] in
                try work(model).text()
            })
    }

    private func tokenize(_ request: TokenizeRequest, for model: ModelRegistry.Model) throws -> JSON
    {
        let tokenizer = try generator.text(of: model.text).tokenizer
        let text =
            switch request.text {
            case .prompt(let prompt): prompt
            case .conversation(let chat):
                try generator.render(
                    Conversation(
                        messages: chat.messages, tools: chat.tools,
                        addsGenerationPrompt: chat.addsGenerationPrompt,
                        variables: chat.templateVariables), for: model.text)
            }
        let tokens = tokenizer.encode(text, addsSpecialTokens: request.addsSpecialTokens)
        let strings: JSON =
            request.returnsTokenTexts
            ? .array(tokens.map { .string(tokenizer.token($0) ?? "") }) : .null
        return [
            "count": .integer(tokens.count), "max_model_len": .integer(generator.contextLength),
            "tokens": .array(tokens.map { .integer($0) }), "token_strs": strings,
        ]
    }

    private func detokenize(
        _ request: DetokenizeRequest, for model: ModelRegistry.Model
    ) throws -> JSON {
        let tokenizer = try generator.text(of: model.text).tokenizer
        if let token = request.tokens.first(where: { tokenizer.token($0) == nil }) {
            throw APIError(
                status: 400, code: "invalid_token",
                message: "The tokenizer has no token \(token).", parameter: "tokens")
        }
        return ["prompt": .string(tokenizer.decode(request.tokens, skipsSpecialTokens: false))]
    }

    /// What a chat's answer would be that has this text.
    private func parse(_ request: ParseRequest, for model: ModelRegistry.Model) throws -> JSON {
        var format = try generator.text(of: model.text).format
        if request.tools == nil { format.calls = nil }
        let reading = AnswerReading(
            parser: AnswerParser(format, tools: request.tools, prompt: request.prompt))
        var answer = ChatAnswer(reading, index: 0)
        var piece = Completion.Piece()
        piece.text = request.text
        piece.finish = .end
        _ = answer.add(piece)
        return ["message": answer.message, "finish_reason": answer.reason(.end)]
    }

    /// The prompt of a chat request, whose other parameters are checked as for a completion.
    private func render(_ request: ChatRequest, for model: ModelRegistry.Model) throws -> JSON {
        let (text, tokens) = try generator.tokens(of: Conversation(request), for: model.text)
        return [
            "model": .string(request.model), "prompt": .string(text),
            "prompt_token_ids": .array(tokens.map { .integer($0) }),
            "count": .integer(tokens.count),
        ]
    }
}
