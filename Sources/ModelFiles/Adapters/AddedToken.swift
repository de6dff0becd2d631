internal import JSONTree

/// A token that is looked for in a text before anything else, as `added_tokens` of a `tokenizer.json` describes it.
package struct AddedToken: Sendable, Equatable {
    package var id: Int
    package var content: String
    /// Not shown when special tokens are skipped.
    package var isSpecial = false
    /// Matches only where no word character adjoins.
    package var isSingleWord = false
    /// Takes the white space before it, or after it.
    package var stripsLeft = false
    package var stripsRight = false
    /// Looked for in normalized text.
    package var isNormalized = false

    private static let mostBytes = 4096

    /// - Parameter id: where the description does not say it.
    /// - Returns: nil when it is none.
    init?(_ json: JSON, id: Int? = nil) {
        guard let id = id ?? json["id"]?.integerValue, id >= 0,
            let content = json["content"]?.stringValue, !content.isEmpty,
            content.utf8.count <= Self.mostBytes
        else { return nil }
        self.id = id
        self.content = content
        isSpecial = json["special"]?.boolValue ?? false
        isSingleWord = json["single_word"]?.boolValue ?? false
        stripsLeft = json["lstrip"]?.boolValue ?? false
        stripsRight = json["rstrip"]?.boolValue ?? false
        isNormalized = json["normalized"]?.boolValue ?? !isSpecial
    }

    /// In the form of a `tokenizer.json`.
    var json: JSON {
        [
            "id": .integer(id), "content": .string(content), "special": .bool(isSpecial),
            "single_word": .bool(isSingleWord), "lstrip": .bool(stripsLeft),
            "rstrip": .bool(stripsRight), "normalized": .bool(isNormalized),
        ]
    }
}

/// The tokens of a base, and what an adapter adds to them.
struct AdapterTokens {
    private let base: Checkpoint.TokenizerSource
    /// Tokens that a sequence with the adapter may have.
    private let vocabularySize: Int
    private let limit: Int
    /// The base's, by their texts.
    private var known: [String: [Int]] = [:]
    /// Those of them that are looked for in texts first.
    private var baseAdded: [Int: AddedToken] = [:]
    /// Those that the base lacks, or has with other settings.
    private(set) var added: [AddedToken] = []

    init(_ base: Checkpoint.TokenizerSource, vocabularySize: Int, limit: Int) {
        self.base = base
        self.vocabularySize = vocabularySize
        self.limit = limit
        switch base {
        case .absent: break
        case .huggingFace(let tokenizer, let config):
            for entry in tokenizer["added_tokens"]?.arrayValue ?? [] {
                guard let token = AddedToken(entry) else { continue }
                known[token.content, default: []].append(token.id)
                baseAdded[token.id] = token
            }
            for (id, entry) in config["added_tokens_decoder"]?.objectValue?.members ?? [] {
                guard let id = Int(id), let token = AddedToken(entry, id: id) else { continue }
                known[token.content, default: []].append(id)
            }
        case .gguf(let metadata):
            let types = metadata["tokenizer.ggml.token_type"]?.array ?? []
            for (id, token) in (metadata["tokenizer.ggml.tokens"]?.array ?? []).enumerated() {
                guard let text = token.string else { continue }
                known[text, default: []].append(id)
                // 3 is a control token, 4 one that a user has defined.
                let type = types.indices.contains(id) ? types[id].integer : nil
                guard type == 3 || type == 4,
                    var token = AddedToken(["content": .string(text)], id: id)
                else { continue }
                token.isSpecial = type == 3
                baseAdded[id] = token
            }
        }
    }

    /// The ids of a text that is a token, the adapter's own included; nil where there is no tokenizer to ask.
    func ids(of text: String) -> [Int]? {
        if case .absent = base { return nil }
        var ids = Set((known[text] ?? []) + added.filter { $0.content == text }.map(\.id))
        if case .huggingFace(let tokenizer, _) = base,
            let id = tokenizer["model"]?["vocab"]?[text]?.integerValue
        {
            ids.insert(id)
        }
        return ids.sorted()
    }

    /// Takes over what a description of the adapter's tokens has beyond the base's.
    ///
    /// - Throws: `ModelFileError` for a token that the base calls otherwise, or that has no place.
    mutating func add(_ tokens: [AddedToken], source: String) throws(ModelFileError) {
        if case .absent = base { return }
        var new: [AddedToken] = []
        for token in tokens where !isOfBase(token) && !added.contains(token) {
            guard let ids = ids(of: token.content), ids.isEmpty || ids.contains(token.id) else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(source): it has the token \"\(token.content.prefix(100))\" as \(token.id), which is another in the base"
                )
            }
            guard token.id < vocabularySize else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(source): its token \"\(token.content.prefix(100))\" is number \(token.id), and embedding and head have \(vocabularySize) rows: no row is for it"
                )
            }
            guard !added.contains(where: { $0.id == token.id }) else { continue }
            new.append(token)
        }
        let others = texts(of: Set(new.map(\.id)))
        for token in new {
            guard let text = others[token.id], !text.isEmpty, text != token.content else {
                continue
            }
            throw ModelFileError(
                .unsupportedField,
                "\(source): its token \(token.id) is \"\(token.content.prefix(100))\", in the base it is \"\(text.prefix(100))\""
            )
        }
        added += new
        guard added.count <= limit else {
            throw ModelFileError(
                .limitExceeded,
                "\(source): it has \(added.count) tokens that the base lacks; the limit is \(limit)"
            )
        }
    }

    private func isOfBase(_ token: AddedToken) -> Bool {
        guard let own = baseAdded[token.id] else { return false }
        guard case .gguf = base else { return own == token }
        // These files do not say more.
        return own.content == token.content && own.isSpecial == token.isSpecial
            && !token.isSingleWord && !token.stripsLeft && !token.stripsRight
    }

    /// What the base calls some tokens.
    private func texts(of ids: Set<Int>) -> [Int: String] {
        guard !ids.isEmpty else { return [:] }
        var texts: [Int: String] = [:]
        for (text, own) in known {
            for id in own where ids.contains(id) { texts[id] = text }
        }
        if case .huggingFace(let tokenizer, _) = base {
            for (text, id) in tokenizer["model"]?["vocab"]?.objectValue?.members ?? [] {
                if let id = id.integerValue, ids.contains(id) { texts[id] = text }
            }
        }
        return texts
    }

    /// Reads the adapter's `tokenizer.json`, which has to be the base's but for added tokens.
    ///
    /// - Throws: `ModelFileError` naming the part that is another.
    mutating func read(_ tokenizer: JSON, source: String) throws(ModelFileError) {
        if case .absent = base { return }
        let entries = tokenizer["added_tokens"]?.arrayValue ?? []
        let tokens = entries.compactMap { AddedToken($0) }
        guard tokens.count == entries.count else {
            throw ModelFileError(
                .invalidField, "\(source): added_tokens has an entry without an id or a content")
        }
        if let part = TokenizerParts.difference(tokenizer, from: base, added: tokens) {
            throw ModelFileError(
                .unsupportedField,
                "\(source): its \(part) is not the base's, so that texts would become other tokens"
            )
        }
        try add(tokens, source: source)
    }
}
