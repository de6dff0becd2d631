/// How a request's tokens are chosen and when it ends. Ranges are checked by whoever builds it.
package struct SamplingParameters: Sendable, Equatable {
    /// Tokens to generate at most; 0 scores the prompt only.
    package var maximumTokens = 16
    /// End tokens are not chosen before this many tokens.
    package var minimumTokens = 0
    /// 0 takes the most likely token.
    package var temperature: Float = 1
    /// Keeps the k most likely tokens; 0 keeps all.
    package var topK = 0
    /// Keeps the most likely tokens that together reach this probability.
    package var topP: Float = 1
    /// Drops tokens less likely than this times the most likely one.
    package var minP: Float = 0
    /// Divides positive and multiplies negative logits of tokens seen in prompt or completion.
    package var repetitionPenalty: Float = 1
    /// Subtracted from logits of tokens in the completion.
    package var presencePenalty: Float = 0
    /// Subtracted for each time a token is in the completion.
    package var frequencyPenalty: Float = 0
    /// Added to logits.
    package var logitBias: [Int32: Float] = [:]
    /// Same seed, same draws.
    package var seed: UInt64 = 0
    /// Tokens that end the completion: the model's own, unless the request ignores them, and the
    /// request's.
    package var endTokens: Set<Int32> = []
    /// Log probabilities of the chosen token and of this many most likely ones; nil for none.
    package var logprobCount: Int?
    /// The same for the prompt's tokens.
    package var promptLogprobCount: Int?
    /// What the prompt is to be as a vector; nil for none. Then no tokens are generated.
    package var pooling: Pooling?

    package init() {}

    /// Whether every token may be drawn.
    var drawsFromAll: Bool { topK == 0 && topP >= 1 && minP == 0 }

    var changesLogits: Bool {
        repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
            || !logitBias.isEmpty
    }
}

/// Which hidden states make a text's vector.
package enum Pooling: String, Sendable, CaseIterable {
    /// The last token's.
    case last
    /// The mean of all.
    case mean
}

/// A token's log probability, by the model's own distribution before penalties and temperature.
package struct TokenLogprob: Sendable, Equatable {
    package var token: Int32
    package var logprob: Float
    /// 1 for the most likely token.
    package var rank: Int

    package init(token: Int32, logprob: Float, rank: Int) {
        self.token = token
        self.logprob = logprob
        self.rank = rank
    }
}

/// What the model made of one place in a text.
package struct TokenScores: Sendable, Equatable {
    /// The token that stands there.
    package var chosen: TokenLogprob
    /// The most likely ones, best first.
    package var top: [TokenLogprob]

    package init(chosen: TokenLogprob, top: [TokenLogprob]) {
        self.chosen = chosen
        self.top = top
    }
}

/// Why a completion ended.
package enum FinishReason: Sendable, Equatable {
    /// Nothing may follow in what the request asks for.
    case complete
    /// An end token, which is not part of the completion's text.
    case endToken(Int32)
    /// The token limit or the end of the context.
    case length
}
