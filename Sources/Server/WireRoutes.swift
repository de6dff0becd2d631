internal import Foundation
internal import Generation
internal import Hummingbird
internal import JSONTree
internal import OpenAIWire
internal import Tokenization

/// Other APIs' ways to ask for what a chat request asks for: `POST /v1/messages` and `POST /v1/responses`. Each says the
/// request as a chat and the answer as its own; nothing else is theirs.
struct WireRoutes {
    let completions: CompletionRoutes

    func add(to group: RouterGroup<APIContext>) {
        group.post("messages") { request, context -> Response in
            let id = context.requestID
            return try await completions.respond(request, context) { json, scope in
                let chat = try MessagesRequest(json).chat
                var prepared = try completions.prepare(chat, scope)
                prepared.writer = MessagesWriter(id: id, model: chat.model)
                return prepared
            }
        }
        group.post("messages/count_tokens") { request, context -> Response in
            let (texts, generator) = (completions.texts, completions.generator)
            let body = try await texts.body(of: request, context)
            let chat = try await texts.run(on: body) { try MessagesRequest($0, counts: true).chat }
            let model = try await completions.registry.model(
                chat.model, mixing: chat.adapters, context)
            let count = try await texts.run(byteCount: body.bytes.count, with: model) {
                try generator.tokens(of: Conversation(chat), for: model.text).tokens.count
            }
            return Response(json: ["input_tokens": .integer(count)])
        }
        group.post("responses") { request, context -> Response in
            let (id, created) = (context.requestID, Int(Date().timeIntervalSince1970))
            return try await completions.respond(request, context) { json, scope in
                let request = try ResponsesRequest(json)
                var prepared = try completions.prepare(request.chat, scope)
                var echo = request.echo
                if !prepared.unenforced.isEmpty {
                    echo["martlet"] = [
                        "unenforced": ResponseHead.json(unenforced: prepared.unenforced)
                    ]
                }
                prepared.writer = ResponsesWriter(
                    id: id, model: request.chat.model, created: created, echo: echo)
                return prepared
            }
        }
    }
}

extension Exchange {
    /// A stream as another API has it.
    func stream(
        by writer: any AnswerWriter, write: (String) async throws -> Void
    ) async throws {
        var writer = writer
        var usage = newUsage
        var answer = ChatAnswer(reading, index: 0)
        var end: AnswerEnd?
        try await write(writer.begin(usage))
        try await forEachPieceInOrder { choice, piece in
            usage.completionTokens += piece.tokens.count
            var text = ""
            for delta in answer.add(piece) { text += writer.add(delta) }
            usage.reasoningTokens? = answer.thoughtTokenCount
            let finish = answer.isComplete ? .end : piece.finish
            if let finish {
                usage.cachedTokens = piece.foundPromptCount
                end = answer.end(finish)
            }
            if !text.isEmpty { try await write(text) }
            if answer.isComplete { throw Enough() }
        }
        metrics.finish(usage)
        try await write(writer.end(end ?? AnswerEnd(reason: "stop"), usage))
    }
}

extension ChatAnswer {
    func end(_ finish: Completion.Finish) -> AnswerEnd {
        var text: String?
        if case .stopString(let stop) = finish { text = stop }
        return AnswerEnd(reason: reason(finish).stringValue ?? "stop", stopText: text)
    }
}
