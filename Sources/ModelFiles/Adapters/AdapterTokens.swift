internal import JSONTree

/// An adapter's tokens beside those of its base. The vocabulary and the merges have to be the base's.
struct AdapterTokens {
    private let base: Checkpoint.TokenizerSource
    private let limit: Int
    /// The base's, by their texts.
    private let known: [String: [Int]]
    /// Texts of the base's that no adapter can give another token of these numbers.
    private let taken: [Int: String]
    /// All that are looked for in texts first: of the adapter's `tokenizer.json`, or only those that the base lacks.
    private(set) var added: [AddedToken] = []
    private var places: [Int: Int] = [:]
    private var ids: [String: Int] = [:]
    private var newCount = 0
    /// How texts become tokens: a `tokenizer.json` without its vocabulary and merges.
    private(set) var parts: JSON?

    init(_ base: Checkpoint.TokenizerSource, limit: Int) {
        self.base = base
        self.limit = limit
        var known: [String: [Int]] = [:]
        var taken: [Int: String] = [:]
        switch base {
        case .absent: break
        case .huggingFace(let tokenizer, _):
            for entry in tokenizer["added_tokens"]?.arrayValue ?? [] {
                guard let token = AddedToken(entry) else { continue }
                known[token.content, default: []].append(token.id)
            }
            // Added tokens may get another text, as tools do with reserved ones.
            for (text, id) in tokenizer["model"]?["vocab"]?.objectValue?.members ?? [] {
                if let id = id.integerValue { taken[id] = text }
            }
        case .gguf(let metadata):
            let vocabulary = StoredVocabulary(metadata)
            for (id, text) in vocabulary.texts.enumerated() where !vocabulary.isUnused(id) {
                known[text, default: []].append(id)
                if vocabulary.isPlain(id) { taken[id] = text }
            }
        }
        self.known = known
        self.taken = taken
    }

    /// The ids of a text that is a token, the adapter's own included; nil where there is no tokenizer to ask.
    func ids(of text: String) -> [Int]? {
        if case .absent = base { return nil }
        var found = Set(known[text] ?? [])
        if let own = ids[text] { found.insert(own) }
        if case .huggingFace(let tokenizer, _) = base,
            let id = tokenizer["model"]?["vocab"]?[text]?.integerValue
        {
            found.insert(id)
        }
        return found.sorted()
    }

    /// Takes over an adapter's description of tokens; of several the first one counts. One without a row is refused where a prompt needs it, as the base's are.
    ///
    /// - Throws: `ModelFileError` for a token that the base calls otherwise.
    mutating func add(_ tokens: [AddedToken], source: String) throws(ModelFileError) {
        if case .absent = base { return }
        for token in tokens {
            let text = token.content.prefix(100)
            let ofBase = ids(of: token.content) ?? []
            guard ofBase.isEmpty || ofBase.contains(token.id) else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(source): it has the token \"\(text)\" as \(token.id), which is another in the base"
                )
            }
            if let place = places[token.id] {
                guard added[place].content == token.content else {
                    throw ModelFileError(
                        .unsupportedField,
                        "\(source): it has two tokens of the number \(token.id), one is \"\(text)\""
                    )
                }
                continue
            }
            if ofBase.isEmpty {
                if let other = taken[token.id], !other.isEmpty {
                    throw ModelFileError(
                        .unsupportedField,
                        "\(source): its token \(token.id) is \"\(text)\", in the base it is \"\(other.prefix(100))\""
                    )
                }
                newCount += 1
                guard newCount <= limit else {
                    throw ModelFileError(
                        .limitExceeded,
                        "\(source): it has more than \(limit) tokens that the base lacks")
                }
            }
            places[token.id] = added.count
            ids[token.content] = token.id
            added.append(token)
        }
    }

    /// Reads the adapter's `tokenizer.json`.
    ///
    /// - Throws: `ModelFileError` naming what is not as in the base.
    mutating func read(_ tokenizer: JSON, source: String) throws(ModelFileError) {
        switch base {
        case .absent: return
        case .huggingFace(let own, _): if own == tokenizer { return }
        case .gguf: break
        }
        let entries = tokenizer["added_tokens"]?.arrayValue ?? []
        let tokens = entries.compactMap { AddedToken($0) }
        guard tokens.count == entries.count else {
            throw ModelFileError(
                .invalidField,
                "\(source): added_tokens has an entry without an id, or without a content of up to \(AddedToken.mostBytes) bytes"
            )
        }
        if let difference = difference(of: tokenizer, tokens) {
            throw ModelFileError(
                .unsupportedField,
                "\(source): its \(difference) is not the base's, so that texts would become other tokens"
            )
        }
        try add(tokens, source: source)
        var settings = tokenizer["model"]?.objectValue ?? JSON.Object()
        settings["vocab"] = nil
        settings["merges"] = nil
        var parts = JSON.Object([("model", .object(settings))])
        for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
            parts[part] = tokenizer[part]
        }
        self.parts = .object(parts)
    }

    // MARK: Vocabulary and merges

    /// What of a tokenizer's two large parts is not the base's; nil when both are.
    ///
    /// - Parameter added: the tokens that it adds.
    private func difference(of own: JSON, _ added: [AddedToken]) -> String? {
        let vocabulary = own["model"]?["vocab"]
        switch base {
        case .absent: return nil
        case .huggingFace(let tokenizer, _):
            let known = tokenizer["model"]?["vocab"]
            let ofBase = (tokenizer["added_tokens"]?.arrayValue ?? []).compactMap { AddedToken($0) }
            guard Self.has(all: vocabulary, in: known, or: ofBase),
                Self.has(all: known, in: vocabulary, or: added)
            else { return "vocabulary" }
            let (a, b) = (own["model"]?["merges"], tokenizer["model"]?["merges"])
            return a == b || Self.merges(a) == Self.merges(b) ? nil : "list of merges"
        case .gguf(let metadata):
            let stored = StoredVocabulary(metadata)
            var ids = Set(added.map(\.id))
            for (text, id) in vocabulary?.objectValue?.members ?? [] {
                guard let id = id.integerValue, stored.has(text, at: id) else {
                    return "vocabulary"
                }
                ids.insert(id)
            }
            let lacksOne = stored.texts.indices.contains {
                stored.isPlain($0) && !stored.isUnused($0) && !ids.contains($0)
            }
            if lacksOne { return "vocabulary" }
            // Where scores stand for merges, these follow from the vocabulary.
            guard let known = metadata["tokenizer.ggml.merges"]?.array else { return nil }
            let isSame =
                Self.merges(own["model"]?["merges"]) == known.map { Self.pair($0.string ?? "") }
            return isSame ? nil : "list of merges"
        }
    }

    private static func has(all: JSON?, in other: JSON?, or more: [AddedToken]) -> Bool {
        let more = Dictionary(more.map { ($0.content, $0.id) }) { first, _ in first }
        return (all?.objectValue?.members ?? []).allSatisfy { text, id in
            id == other?[text] ?? more[text].map { .integer($0) }
        }
    }

    /// Pairs, which files write as one text or as two.
    private static func merges(_ json: JSON?) -> [[String]] {
        (json?.arrayValue ?? []).map { merge in
            merge.stringValue.map(pair) ?? (merge.arrayValue ?? []).map { $0.stringValue ?? "" }
        }
    }

    private static func pair(_ text: String) -> [String] {
        text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    }
}

/// The tokens of a GGUF file.
private struct StoredVocabulary {
    let texts: [String]
    private let types: [Int]

    init(_ metadata: [String: GGUFValue]) {
        texts = (metadata["tokenizer.ggml.tokens"]?.array ?? []).map { $0.string ?? "" }
        types = (metadata["tokenizer.ggml.token_type"]?.array ?? []).map { $0.integer ?? 1 }
    }

    private func type(_ id: Int) -> Int { types.indices.contains(id) ? types[id] : 1 }

    /// What converters put where the embedding has rows to spare.
    func isUnused(_ id: Int) -> Bool { type(id) == 5 || texts[id] == "[PAD\(id)]" }

    /// Whether it is neither a control token nor one that a user has defined.
    func isPlain(_ id: Int) -> Bool { type(id) != 3 && type(id) != 4 }

    /// Converters write spaces into tokens that users have defined, where the tokenizer has marks for them.
    func has(_ text: String, at id: Int) -> Bool {
        guard texts.indices.contains(id) else { return false }
        return texts[id] == text
            || type(id) == 4 && texts[id] == text.replacing("\u{2581}", with: " ")
    }
}
