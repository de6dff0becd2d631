/// What a GGUF file's metadata says of its tokenizer, under `tokenizer.ggml.`.
public struct GGUFVocabulary: Sendable {
    /// `gpt2` for byte-level BPE, `llama` for SentencePiece-style BPE.
    public var model: String
    /// The name of the splitting pattern, for `gpt2`.
    public var pre: String?
    public var tokens: [String]
    /// llama.cpp's kinds: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    public var types: [Int]
    /// Pairs with a space between, best first, for `gpt2`.
    public var merges: [String]
    /// For `llama`: of two possible merges the one whose result scores higher goes first.
    public var scores: [Double]
    public var addsBeginning: Bool?
    public var addsEnd: Bool?
    public var addsSpacePrefix: Bool?
    public var beginningToken: Int?
    public var endToken: Int?
    public var unknownToken: Int?

    public init(
        model: String, pre: String?, tokens: [String], types: [Int], merges: [String],
        scores: [Double]
    ) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
        self.types = types
        self.merges = merges
        self.scores = scores
    }
}

extension Tokenizer {
    private enum Kind {
        static let control = 3
        static let userDefined = 4
    }

    public init(gguf vocabulary: GGUFVocabulary) throws(TokenizerError) {
        guard !vocabulary.tokens.isEmpty, vocabulary.tokens.count < Definition.tokenLimit,
            vocabulary.types.isEmpty || vocabulary.types.count == vocabulary.tokens.count
        else { throw TokenizerError("the GGUF file's token lists do not fit each other") }
        var definition = Definition()
        for (id, token) in vocabulary.tokens.enumerated() { try definition.setToken(token, id: id) }
        for (id, kind) in vocabulary.types.enumerated()
        where kind == Kind.control || kind == Kind.userDefined {
            var token = AddedTokens.Token(
                id: Int32(id), content: Array(vocabulary.tokens[id].utf8))
            token.isSpecial = kind == Kind.control
            definition.addedTokens.append(token)
        }
        func special(_ id: Int?, _ name: String) throws(TokenizerError) -> [Int32] {
            guard let id, vocabulary.tokens.indices.contains(id) else {
                throw TokenizerError("the GGUF file asks for a \(name) token and names none")
            }
            return [Int32(id)]
        }
        switch vocabulary.model {
        case "gpt2": try definition.readBytePairs(vocabulary)
        case "llama": try definition.readPieces(vocabulary)
        default:
            throw TokenizerError(
                "the GGUF tokenizer \(vocabulary.model) is not supported; supported are gpt2 and llama"
            )
        }
        let addsBeginning = vocabulary.model == "llama" || vocabulary.pre == "llama-bpe"
        if vocabulary.addsBeginning ?? addsBeginning {
            definition.prefix = try special(vocabulary.beginningToken, "beginning")
        }
        if vocabulary.addsEnd ?? false {
            definition.suffix = try special(vocabulary.endToken, "end")
        }
        self.init(definition)
    }
}

extension Tokenizer.Definition {
    fileprivate mutating func readBytePairs(_ vocabulary: GGUFVocabulary) throws(TokenizerError) {
        switch vocabulary.pre {
        case "gpt-2": preTokenizer = .gpt2
        // Granite's is called refact.
        case "smollm", "refact": preTokenizer = .smolLM
        // OLMo 2's and SmolLM3's.
        case "gpt-4o": preTokenizer = .o200k
        case "dbrx", "smaug-bpe": preTokenizer = .llama3(digits: 3)
        case "llama-bpe":
            preTokenizer = .llama3(digits: 3)
            ignoresMerges = true
        case "qwen2":
            preTokenizer = .llama3(digits: 1)
            normalizers = [.canonicalComposition]
        default:
            throw TokenizerError(
                "the GGUF pre-tokenizer \(vocabulary.pre ?? "(none)") is not supported; "
                    + "supported are gpt-2, smollm, refact, llama-bpe, dbrx, smaug-bpe, gpt-4o and qwen2"
            )
        }
        encoder.reserve(vocabulary.merges.count)
        for (rank, merge) in vocabulary.merges.enumerated() {
            let parts = Self.pair(merge)
            guard parts.count == 2 else { throw TokenizerError("merge \(rank) is not a pair") }
            try addMerge(parts[0], parts[1], rank: rank)
        }
        unknownToken = try knownUnknownToken(vocabulary, default: nil)
    }

    private func knownUnknownToken(
        _ vocabulary: GGUFVocabulary, default fallback: Int?
    ) throws(TokenizerError) -> Int32? {
        guard let id = vocabulary.unknownToken ?? fallback else { return nil }
        guard tokens.indices.contains(id) else {
            throw TokenizerError(
                "the GGUF file's unknown token \(id) is not among its \(tokens.count) tokens")
        }
        return Int32(id)
    }

    /// SentencePiece's scores become merges: every way to put a token together from two others,
    /// ranked by the token's score, as transformers converts such vocabularies.
    fileprivate mutating func readPieces(_ vocabulary: GGUFVocabulary) throws(TokenizerError) {
        guard vocabulary.scores.count == vocabulary.tokens.count else {
            throw TokenizerError("the GGUF file's scores do not fit its tokens")
        }
        isByteLevel = false
        preTokenizer = .whole
        fusesUnknown = true
        unknownToken = try knownUnknownToken(vocabulary, default: 0)
        normalizers = [.replace(" ", with: Tokenizer.spaceMark)]
        if vocabulary.addsSpacePrefix ?? true {
            normalizers.insert(.prepend(Tokenizer.spaceMark), at: 0)
        }
        stripsFirstSpace = vocabulary.addsSpacePrefix ?? true

        let order = vocabulary.tokens.indices.sorted {
            (vocabulary.scores[$0], $1) > (vocabulary.scores[$1], $0)
        }
        for (rank, id) in order.enumerated() {
            let token = vocabulary.tokens[id]
            guard token.unicodeScalars.count > 1, token.utf8.count <= 512 else { continue }
            var index = token.unicodeScalars.index(after: token.unicodeScalars.startIndex)
            while index < token.unicodeScalars.endIndex {
                if let left = self.id(of: String(token.unicodeScalars[..<index])),
                    let right = self.id(of: String(token.unicodeScalars[index...]))
                {
                    encoder.add(left, right, into: Int32(id), rank: rank)
                }
                index = token.unicodeScalars.index(after: index)
            }
        }
    }
}
