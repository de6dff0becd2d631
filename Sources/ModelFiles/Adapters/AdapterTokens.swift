internal import JSONTree

/// An adapter's tokens beside those of its base. The vocabulary and the merges have to be the base's.
struct AdapterTokens {
    private let base: Checkpoint.TokenizerSource
    /// Of a GGUF base.
    private let stored: StoredVocabulary?
    private let limit: Int
    /// The base's, by the bytes of their texts: Swift's strings are equal when they only look the same.
    private let known: [[UInt8]: [Int]]
    /// Texts of the base's that no adapter can give another token of these numbers.
    private let taken: [Int: String]
    /// All that are looked for in texts first: of the adapter's `tokenizer.json`, or only those that the base lacks.
    private(set) var added: [AddedToken] = []
    private var places: [Int: Int] = [:]
    private var ids: [[UInt8]: Int] = [:]
    private var newCount = 0
    /// How texts become tokens: a `tokenizer.json` without its vocabulary and merges.
    private(set) var parts: JSON?

    init(_ base: Checkpoint.TokenizerSource, limit: Int) {
        self.base = base
        self.limit = limit
        var known: [[UInt8]: [Int]] = [:]
        var stored: StoredVocabulary?
        var taken: [Int: String] = [:]
        switch base {
        case .absent: break
        case .huggingFace(let tokenizer, _):
            for entry in tokenizer["added_tokens"]?.arrayValue ?? [] {
                guard let token = AddedToken(entry) else { continue }
                known[Array(token.content.utf8), default: []].append(token.id)
            }
            // Added tokens may get another text, as tools do with reserved ones.
            for (text, id) in tokenizer["model"]?["vocab"]?.objectValue?.members ?? [] {
                if let id = id.integerValue { taken[id] = text }
            }
        case .gguf(let metadata):
            let vocabulary = StoredVocabulary(metadata)
            for (id, text) in vocabulary.texts.enumerated() where !vocabulary.isUnused(id) {
                known[Array(text.utf8), default: []].append(id)
                if vocabulary.isPlain(id) { taken[id] = text }
            }
            stored = vocabulary
        }
        self.stored = stored
        self.known = known
        self.taken = taken
    }

    /// The ids of a text that is a token, the adapter's own included; nil where there is no tokenizer to ask.
    func ids(of text: String) -> [Int]? {
        if case .absent = base { return nil }
        let bytes = Array(text.utf8)
        var found = Set(known[bytes] ?? [])
        if let own = ids[bytes] { found.insert(own) }
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
            var token = token
            // Texts and prompts have it as the base writes it.
            if let stored, stored.has(token.content, at: token.id) {
                token.content = stored.texts[token.id]
            }
            let text = token.content.prefix(100)
            let ofBase = ids(of: token.content) ?? []
            guard ofBase.isEmpty || ofBase.contains(token.id) else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(source): it has the token \"\(text)\" as \(token.id), which is another in the base"
                )
            }
            if let place = places[token.id] {
                guard added[place].content.utf8.elementsEqual(token.content.utf8) else {
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
            ids[Array(token.content.utf8)] = token.id
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
        let ownMerges = (own["model"]?["merges"]?.arrayValue ?? []).map(Self.merge)
        switch base {
        case .absent: return nil
        case .huggingFace(let tokenizer, _):
            let known = tokenizer["model"]?["vocab"]
            let ofBase = (tokenizer["added_tokens"]?.arrayValue ?? []).compactMap { AddedToken($0) }
            guard Self.has(all: vocabulary, in: known, or: ofBase),
                Self.has(all: known, in: vocabulary, or: added)
            else { return "vocabulary" }
            let merges = tokenizer["model"]?["merges"]?.arrayValue ?? []
            return ownMerges == merges.map(Self.merge) ? nil : "list of merges"
        case .gguf:
            guard let stored else { return nil }
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
            return stored.merges.map { $0 == ownMerges } ?? true ? nil : "list of merges"
        }
    }

    private static func has(all: JSON?, in other: JSON?, or more: [AddedToken]) -> Bool {
        let more = Dictionary(more.map { (Array($0.content.utf8), $0.id) }) { first, _ in first }
        return (all?.objectValue?.members ?? []).allSatisfy { text, id in
            id == other?[text] ?? more[Array(text.utf8)].map { .integer($0) }
        }
    }

    /// A pair, which files write as one text or as two: its bytes with a space between.
    private static func merge(_ json: JSON) -> [UInt8] {
        if let text = json.stringValue { return Array(text.utf8) }
        return Array(
            (json.arrayValue ?? []).map { Array(($0.stringValue ?? "").utf8) }.joined(separator: [
                0x20
            ]))
    }
}

/// The tokens of a GGUF file.
private struct StoredVocabulary {
    let texts: [String]
    /// Pairs with a space between; nil where it has none.
    let merges: [[UInt8]]?
    private let types: [Int]

    init(_ metadata: [String: GGUFValue]) {
        texts = (metadata["tokenizer.ggml.tokens"]?.array ?? []).map { $0.string ?? "" }
        merges = metadata["tokenizer.ggml.merges"]?.array?.map { Array(($0.string ?? "").utf8) }
        types = (metadata["tokenizer.ggml.token_type"]?.array ?? []).map { $0.integer ?? 1 }
    }

    private func type(_ id: Int) -> Int { types.indices.contains(id) ? types[id] : 1 }

    /// What converters put where the embedding has rows to spare.
    func isUnused(_ id: Int) -> Bool { type(id) == 5 || texts[id] == "[PAD\(id)]" }

    /// Whether it is neither a control token nor one that a user has defined.
    func isPlain(_ id: Int) -> Bool { type(id) != 3 && type(id) != 4 }

    /// Converters write spaces into tokens that users have defined, where the tokenizer has marks for them, and keep the name of
    /// a byte where the tokenizer has its character (Gemma's tabulator).
    func has(_ text: String, at id: Int) -> Bool {
        guard texts.indices.contains(id) else { return false }
        if texts[id].utf8.elementsEqual(text.utf8) { return true }
        switch type(id) {
        case 4: return texts[id].utf8.elementsEqual(text.replacing("\u{2581}", with: " ").utf8)
        case 6:
            // As <0x09>.
            return text.utf8.count == 1 && texts[id].utf8.count == 6
                && UInt8(texts[id].dropFirst(3).dropLast(), radix: 16) == text.utf8.first
        default: return false
        }
    }
}
