public import JSONTree

extension Tokenizer {
    /// Reads a `tokenizer.json`. Every part is read by name; one that is not supported is refused.
    public init(huggingFace json: JSON) throws(TokenizerError) {
        var definition = Definition()
        try definition.readModel(json["model"] ?? .null)
        try definition.readNormalizer(json["normalizer"] ?? .null)
        try definition.readPreTokenizer(json["pre_tokenizer"] ?? .null)
        try definition.readAddedTokens(json["added_tokens"] ?? .null)
        try definition.readPostProcessor(json["post_processor"] ?? .null)
        try definition.checkDecoder(json["decoder"] ?? .null)
        self.init(definition)
    }
}

extension Tokenizer.Definition {
    static let tokenLimit = 1 << 22
    /// Tokens before a text, and behind it.
    private static let frameLimit = 64
    /// Of an adapter.
    private static let normalizerLimit = 8

    /// Takes another way to make tokens of a text, over the same vocabulary and merges.
    mutating func read(parts json: JSON) throws(TokenizerError) {
        let model = json["model"] ?? .null
        try checkModel(model)
        guard model["byte_fallback"]?.boolValue ?? false == !isByteLevel else {
            throw TokenizerError("its model's byte_fallback is not the base's")
        }
        readSettings(model)
        let known = normalizers
        normalizers = []
        (prependsSpace, stripsFirstSpace, prefix, suffix) = (.never, false, [], [])
        try readNormalizer(json["normalizer"] ?? .null)
        try readPreTokenizer(json["pre_tokenizer"] ?? .null)
        // An adapter's file may not make much of little.
        guard
            normalizers == known
                || normalizers.count <= Self.normalizerLimit && normalizers.allSatisfy(\.isSmall)
        else {
            throw TokenizerError(
                "of normalizers that the base lacks up to \(Self.normalizerLimit) are supported, each of one character"
            )
        }
        try readPostProcessor(json["post_processor"] ?? .null)
        try checkDecoder(json["decoder"] ?? .null)
    }

    private func checkModel(_ model: JSON) throws(TokenizerError) {
        let type = model["type"]?.stringValue ?? "BPE"
        guard type == "BPE" else {
            throw TokenizerError("the tokenizer model \(type) is not supported; supported is BPE")
        }
        for field in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let value = model[field]?.stringValue, !value.isEmpty {
                throw TokenizerError("the tokenizer's \(field) is not supported")
            }
        }
    }

    private mutating func readSettings(_ model: JSON) {
        ignoresMerges = model["ignore_merges"]?.boolValue ?? false
        fusesUnknown = model["fuse_unk"]?.boolValue ?? false
        unknownToken = model["unk_token"]?.stringValue.flatMap { id(of: $0) }
        isByteLevel = !(model["byte_fallback"]?.boolValue ?? false)
        preTokenizer = isByteLevel ? .gpt2 : .whole
    }

    fileprivate mutating func readModel(_ model: JSON) throws(TokenizerError) {
        try checkModel(model)
        guard let vocabulary = model["vocab"]?.objectValue, let merges = model["merges"]?.arrayValue
        else { throw TokenizerError("the tokenizer has no vocab or no merges") }
        reserve(vocabulary.count)
        for (token, id) in vocabulary.members {
            guard let id = id.integerValue else { throw TokenizerError("token \(token) has no id") }
            try setToken(token, id: id)
        }
        encoder.reserve(merges.count)
        for (rank, merge) in merges.enumerated() {
            let parts: [String]
            if let text = merge.stringValue {
                parts = Self.pair(text)
            } else {
                parts = merge.arrayValue?.compactMap(\.stringValue) ?? []
            }
            guard parts.count == 2 else { throw TokenizerError("merge \(rank) is not a pair") }
            try addMerge(parts[0], parts[1], rank: rank)
        }
        readSettings(model)
    }

    /// The parts of a merge that is one text. A mark behind the space does not join it.
    static func pair(_ text: String) -> [String] {
        text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    mutating func addMerge(_ left: String, _ right: String, rank: Int) throws(TokenizerError) {
        guard let leftID = id(of: left), let rightID = id(of: right),
            let merged = id(of: left + right)
        else {
            throw TokenizerError("merge \(rank) (\(left) \(right)) is not in the vocabulary")
        }
        encoder.add(leftID, rightID, into: merged, rank: rank)
    }

    private static func members(of json: JSON, _ list: String) -> [JSON] {
        if json.isNull { return [] }
        return json["type"]?.stringValue == "Sequence" ? json[list]?.arrayValue ?? [] : [json]
    }

    fileprivate mutating func readNormalizer(_ json: JSON) throws(TokenizerError) {
        for part in Self.members(of: json, "normalizers") {
            let type = part["type"]?.stringValue ?? ""
            switch type {
            case "NFC": normalizers.append(.canonicalComposition)
            case "Prepend": normalizers.append(.prepend(part["prepend"]?.stringValue ?? ""))
            case "Replace":
                guard let pattern = part["pattern"]?["String"]?.stringValue, !pattern.isEmpty,
                    let content = part["content"]?.stringValue
                else {
                    throw TokenizerError("the tokenizer's Replace normalizer has no plain pattern")
                }
                normalizers.append(.replace(pattern, with: content))
            default:
                throw TokenizerError(
                    "the normalizer \(type) is not supported; supported are NFC, Prepend and Replace"
                )
            }
        }
    }

    fileprivate mutating func readPreTokenizer(_ json: JSON) throws(TokenizerError) {
        var setsDigitsApart = false
        var pattern: String?
        for part in Self.members(of: json, "pretokenizers") {
            let type = part["type"]?.stringValue ?? ""
            switch type {
            case "Digits":
                guard part["individual_digits"]?.boolValue == true else {
                    throw TokenizerError(
                        "the Digits pre-tokenizer without individual_digits is not supported")
                }
                setsDigitsApart = true
            case "Split" where part["pattern"]?["String"]?.stringValue == " ":
                // Gemma's, behind a normalizer that leaves no space.
                guard !isByteLevel, normalizers.contains(.replace(" ", with: Tokenizer.spaceMark))
                else {
                    throw TokenizerError("a Split pre-tokenizer at spaces is not supported")
                }
            case "Split":
                guard part["behavior"]?.stringValue == "Isolated",
                    part["invert"]?.boolValue != true,
                    let regex = part["pattern"]?["Regex"]?.stringValue, pattern == nil
                else {
                    throw TokenizerError("this use of the Split pre-tokenizer is not supported")
                }
                pattern = regex
            case "ByteLevel":
                guard part["add_prefix_space"]?.boolValue != true else {
                    throw TokenizerError(
                        "the ByteLevel pre-tokenizer with add_prefix_space is not supported")
                }
                if part["use_regex"]?.boolValue ?? true {
                    guard pattern == nil else {
                        throw TokenizerError(
                            "a Split before a splitting ByteLevel is not supported")
                    }
                    pattern = PreTokenizer.gpt2Pattern
                }
            case "Metaspace":
                try readMetaspace(part)
                return
            default:
                throw TokenizerError("the pre-tokenizer \(type) is not supported")
            }
        }
        guard isByteLevel else {
            guard pattern == nil, !setsDigitsApart else {
                throw TokenizerError(
                    "a splitting pre-tokenizer with byte fallback is not supported")
            }
            return
        }
        switch pattern {
        case PreTokenizer.gpt2Pattern?: preTokenizer = setsDigitsApart ? .smolLM : .gpt2
        case PreTokenizer.llama3Pattern? where !setsDigitsApart: preTokenizer = .llama3(digits: 3)
        case PreTokenizer.qwen2Pattern? where !setsDigitsApart: preTokenizer = .llama3(digits: 1)
        case PreTokenizer.o200kPattern? where !setsDigitsApart: preTokenizer = .o200k
        default:
            throw TokenizerError(
                "the pre-tokenizer pattern \(pattern ?? "(none)") is not supported; "
                    + "supported are those of GPT-2, GPT-4o, Llama 3, Qwen2 and SmolLM")
        }
    }

    private mutating func readMetaspace(_ json: JSON) throws(TokenizerError) {
        guard !isByteLevel, json["replacement"]?.stringValue == Tokenizer.spaceMark,
            json["split"]?.boolValue == false
        else { throw TokenizerError("this use of the Metaspace pre-tokenizer is not supported") }
        normalizers.append(.replace(" ", with: Tokenizer.spaceMark))
        switch json["prepend_scheme"]?.stringValue ?? "always" {
        case "always": prependsSpace = .always
        case "first": prependsSpace = .first
        case "never": prependsSpace = .never
        case let scheme:
            throw TokenizerError("the Metaspace prepend_scheme \(scheme) is not supported")
        }
    }

    fileprivate mutating func readAddedTokens(_ json: JSON) throws(TokenizerError) {
        for entry in json.arrayValue ?? [] {
            guard let id = entry["id"]?.integerValue, let content = entry["content"]?.stringValue
            else {
                throw TokenizerError("an added token has no id or no content")
            }
            try setAddedToken(content, id: id)
            var token = AddedTokens.Token(id: Int32(id), content: Array(content.utf8))
            token.isSpecial = entry["special"]?.boolValue ?? false
            token.singleWord = entry["single_word"]?.boolValue ?? false
            token.stripsLeft = entry["lstrip"]?.boolValue ?? false
            token.stripsRight = entry["rstrip"]?.boolValue ?? false
            place(token, isNormalized: entry["normalized"]?.boolValue ?? !token.isSpecial)
        }
    }

    fileprivate mutating func readPostProcessor(_ json: JSON) throws(TokenizerError) {
        for part in Self.members(of: json, "processors") {
            let type = part["type"]?.stringValue ?? ""
            switch type {
            case "ByteLevel": continue
            case "TemplateProcessing": try readTemplate(part)
            default: throw TokenizerError("the post-processor \(type) is not supported")
            }
        }
    }

    private mutating func readTemplate(_ json: JSON) throws(TokenizerError) {
        var seesText = false
        for item in json["single"]?.arrayValue ?? [] {
            if item["Sequence"] != nil {
                seesText = true
            } else if let name = item["SpecialToken"]?["id"]?.stringValue {
                let special = json["special_tokens"]?[name]?["ids"]?.arrayValue?.compactMap(
                    \.integerValue)
                guard let special,
                    special.allSatisfy({ tokens.indices.contains($0) || furtherTokens.contains($0) }
                    )
                else {
                    throw TokenizerError("the post-processor names the unknown token \(name)")
                }
                if seesText {
                    suffix += special.map { Int32($0) }
                } else {
                    prefix += special.map { Int32($0) }
                }
                guard max(prefix.count, suffix.count) <= Self.frameLimit else {
                    throw TokenizerError(
                        "the post-processor puts more than \(Self.frameLimit) tokens at an end")
                }
            } else {
                throw TokenizerError("the post-processor's template has an unknown part")
            }
        }
    }

    /// Decoding follows from the kind of vocabulary; here it is only checked that the file agrees.
    fileprivate mutating func checkDecoder(_ json: JSON) throws(TokenizerError) {
        for part in Self.members(of: json, "decoders") {
            switch (part["type"]?.stringValue ?? "", isByteLevel) {
            case ("ByteLevel", true), ("ByteFallback", false), ("Fuse", false),
                ("Metaspace", false):
                continue
            case ("Replace", false)
            where part["pattern"]?["String"]?.stringValue == Tokenizer.spaceMark
                && part["content"]?.stringValue == " ":
                continue
            case ("Strip", false)
            where part["content"]?.stringValue == " "
                && part["start"]?.integerValue == 1 && part["stop"]?.integerValue == 0:
                if prependsSpace == .never { stripsFirstSpace = true }
            case (let type, _):
                throw TokenizerError("the decoder \(type) is not supported here")
            }
        }
    }
}
