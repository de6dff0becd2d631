public import JSONTree

/// Tokens counted for a response.
public struct Usage: Sendable, Equatable {
    public var promptTokens: Int
    public var completionTokens: Int
    /// Of the prompt's, those that were in the prefix cache.
    public var cachedTokens: Int
    /// Of the completion's, those of thoughts; nil where nobody looks for thoughts.
    public var reasoningTokens: Int?
    /// Tokens that were drafted, see `prediction`: those that came true, and those that did not.
    public var acceptedDraftTokens = 0
    public var rejectedDraftTokens = 0

    public init(promptTokens: Int = 0, completionTokens: Int = 0, cachedTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
    }

    /// Counts what a choice has drafted.
    public mutating func add(drafted: Int, accepted: Int) {
        acceptedDraftTokens += accepted
        rejectedDraftTokens += drafted - accepted
    }

    public var json: JSON {
        var json = JSON.Object([
            ("prompt_tokens", .integer(promptTokens)),
            ("completion_tokens", .integer(completionTokens)),
            ("total_tokens", .integer(promptTokens + completionTokens)),
            ("prompt_tokens_details", ["cached_tokens": .integer(cachedTokens)]),
        ])
        var details = JSON.Object()
        if let reasoningTokens { details["reasoning_tokens"] = .integer(reasoningTokens) }
        if acceptedDraftTokens + rejectedDraftTokens > 0 {
            details["accepted_prediction_tokens"] = .integer(acceptedDraftTokens)
            details["rejected_prediction_tokens"] = .integer(rejectedDraftTokens)
        }
        if details.count > 0 { json["completion_tokens_details"] = .object(details) }
        return .object(json)
    }
}

/// A token of a response with its log probability.
public struct WireToken: Sendable, Equatable {
    public var id: Int
    public var text: String
    public var bytes: [UInt8]
    /// Nil for the first token of a prompt.
    public var logprob: Double?
    public var rank: Int
    public var top: [WireToken]

    public init(
        id: Int, text: String, bytes: [UInt8], logprob: Double?, rank: Int = 0,
        top: [WireToken] = []
    ) {
        self.id = id
        self.text = text
        self.bytes = bytes
        self.logprob = logprob
        self.rank = rank
        self.top = top
    }

    private var logprobJSON: JSON { logprob.map { .number($0) } ?? .null }

    /// As chat completions list it.
    public func chatJSON(writesIDs: Bool) -> JSON {
        var object = entry(writesIDs)
        object["top_logprobs"] = .array(top.map { .object($0.entry(writesIDs)) })
        return .object(object)
    }

    /// The token, or its id in vLLM's form.
    private func name(_ writesIDs: Bool) -> String { writesIDs ? "token_id:\(id)" : text }

    private func entry(_ writesIDs: Bool) -> JSON.Object {
        JSON.Object([
            ("token", .string(name(writesIDs))), ("logprob", logprobJSON),
            ("bytes", .array(bytes.map { .integer(Int($0)) })),
        ])
    }

    /// Text completions' form: parallel lists. A token that is not among the most likely ones is
    /// added to them.
    public static func completionJSON(_ tokens: [WireToken], offset: Int, writesIDs: Bool) -> JSON {
        func name(_ token: WireToken) -> String { token.name(writesIDs) }
        var offsets: [JSON] = []
        var position = offset
        for token in tokens {
            offsets.append(.integer(position))
            position += token.text.unicodeScalars.count
        }
        return [
            "text_offset": .array(offsets),
            "token_logprobs": .array(tokens.map(\.logprobJSON)),
            "tokens": .array(tokens.map { .string(name($0)) }),
            "top_logprobs": .array(
                tokens.map { token in
                    guard token.logprob != nil else { return .null }
                    var best = JSON.Object()
                    for entry in token.top + [token] where best[name(entry)] == nil {
                        best[name(entry)] = entry.logprobJSON
                    }
                    return .object(best)
                }),
        ]
    }

    /// vLLM's `prompt_logprobs`: for each token of the prompt an object by token id.
    public static func promptJSON(_ tokens: [WireToken]) -> JSON {
        .array(
            tokens.map { token in
                guard token.logprob != nil else { return .null }
                var entries = JSON.Object()
                for entry in [token] + token.top where entries[String(entry.id)] == nil {
                    entries[String(entry.id)] = [
                        "logprob": entry.logprobJSON, "rank": .integer(entry.rank),
                        "decoded_token": .string(entry.text),
                    ]
                }
                return .object(entries)
            })
    }
}

/// What every response and every chunk of a request carries.
public struct ResponseHead: Sendable {
    public enum Kind: Sendable {
        case chat, completion
    }

    public var kind: Kind
    public var id: String
    public var created: Int
    public var model: String
    /// The digest of the adapter that answers; nil for the base.
    public var adapter: String?

    /// Keywords of the schema that the answer need not satisfy, by their place.
    public var unenforced: [(pointer: String, keyword: String)]
    /// Where the request's time went; nil when nobody asked.
    public var timing: JSON?

    public init(
        kind: Kind, id: String, created: Int, model: String, adapter: String?,
        unenforced: [(pointer: String, keyword: String)] = []
    ) {
        self.unenforced = unenforced
        self.kind = kind
        self.id = id
        self.created = created
        self.model = model
        self.adapter = adapter
    }

    /// As `martlet.unenforced` lists them.
    public static func json(unenforced: [(pointer: String, keyword: String)]) -> JSON {
        .array(
            unenforced.map { ["pointer": .string($0.pointer), "keyword": .string($0.keyword)] })
    }

    /// A whole response or a chunk with these choices.
    public func json(
        choices: [JSON], usage: Usage? = nil, isChunk: Bool, extra: [(String, JSON)] = []
    ) -> JSON {
        let object =
            switch kind {
            case .chat: isChunk ? "chat.completion.chunk" : "chat.completion"
            case .completion: "text_completion"
            }
        var json = JSON.Object([
            ("id", .string(id)), ("object", .string(object)), ("created", .integer(created)),
            ("model", .string(model)),
        ])
        if let adapter {
            json["system_fingerprint"] = .string("fp_" + adapter.prefix(12))
        }
        var own = JSON.Object()
        if let adapter { own["adapter_digest"] = .string(adapter) }
        if !unenforced.isEmpty { own["unenforced"] = ResponseHead.json(unenforced: unenforced) }
        own["timing"] = timing
        if !own.isEmpty { json["martlet"] = .object(own) }
        json["choices"] = .array(choices)
        if let usage { json["usage"] = usage.json }
        for (name, value) in extra { json[name] = value }
        return .object(json)
    }
}

/// One event of a stream, as server-sent events write it.
public enum ServerSentEvent {
    public static func data(_ json: JSON) -> String { "data: \(json.text())\n\n" }
    public static let done = "data: [DONE]\n\n"
}
