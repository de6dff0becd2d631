public import JSONTree

/// Text to token ids and back, as the `tokenizers` package does it for the supported families:
/// byte-level BPE (GPT-2, Llama 3, Qwen2, SmolLM) and SentencePiece-style BPE with byte fallback
/// (Llama 2, Mistral).
///
/// Made once for a model; immutable, so any thread may use it.
public struct Tokenizer: Sendable {
    /// The parts a definition file is read into.
    struct Definition: Sendable {
        /// Text of each token as the file has it, by id.
        var tokens: [String] = []
        /// By the bytes of the text: Swift's strings are equal when they only look the same.
        private(set) var ids: [[UInt8]: Int32] = [:]
        var encoder = BytePairEncoder()
        var addedTokens: [AddedTokens.Token] = []
        /// Those among them that are looked for in normalized text.
        var normalizedAddedTokens: [AddedTokens.Token] = []
        var normalizers: [Normalizer] = []
        var preTokenizer = PreTokenizer.gpt2
        /// Whether tokens are bytes in GPT-2's alphabet; else they are text with byte fallback.
        var isByteLevel = true
        /// SentencePiece's space mark at the start: in every stretch, in the first one, or never.
        var prependsSpace = Prepending.never
        /// Whether a space at the start of a decoded text is the tokenizer's own.
        var stripsFirstSpace = false
        /// Whether a whole word in the vocabulary is taken as it is.
        var ignoresMerges = false
        var unknownToken: Int32?
        var fusesUnknown = false
        /// Ids that an adapter adds to `tokens`.
        var furtherTokens: Set<Int> = []
        /// Put before and after a text when special tokens are asked for.
        var prefix: [Int32] = []
        var suffix: [Int32] = []

        enum Prepending: Sendable { case always, first, never }

        /// Whether a text without added tokens becomes the same tokens, and these the same text.
        func makesTokens(like other: Definition, knowsAllBytes: Bool) -> Bool {
            normalizers == other.normalizers && preTokenizer == other.preTokenizer
                && isByteLevel == other.isByteLevel && prependsSpace == other.prependsSpace
                && stripsFirstSpace == other.stripsFirstSpace
                && ignoresMerges == other.ignoresMerges && prefix == other.prefix
                && suffix == other.suffix
                && (knowsAllBytes
                    || unknownToken == other.unknownToken && fusesUnknown == other.fusesUnknown)
        }

        func id(of token: String) -> Int32? { ids[Array(token.utf8)] }

        var specialTokens: Set<Int32> {
            Set((addedTokens + normalizedAddedTokens).filter(\.isSpecial).map(\.id))
        }

        /// Ids that are only added tokens, which are no parts of words.
        private(set) var onlyAdded: Set<Int32> = []

        /// Puts an added token at its id.
        mutating func setAddedToken(_ token: String, id: Int) throws(TokenizerError) {
            if self.id(of: token) != Int32(truncatingIfNeeded: id) {
                onlyAdded.insert(Int32(truncatingIfNeeded: id))
            }
            try setToken(token, id: id)
        }

        /// Puts a token at its id.
        mutating func setToken(_ token: String, id: Int) throws(TokenizerError) {
            guard id >= 0, id < Definition.tokenLimit else {
                throw TokenizerError("the token id \(id) is out of range")
            }
            while tokens.count <= id { tokens.append("") }
            tokens[id] = token
            ids[Array(token.utf8)] = Int32(id)
        }

        /// A normalized token is looked for, normalized itself, in normalized text.
        mutating func place(_ token: AddedTokens.Token, isNormalized: Bool) {
            guard isNormalized, !normalizers.isEmpty else { return addedTokens.append(token) }
            var token = token
            let content = String(decoding: token.content, as: UTF8.self)
            token.content = Array(normalizers.reduce(content) { $1.apply(to: $0) }.utf8)
            normalizedAddedTokens.append(token)
        }

        mutating func reserve(_ tokenCount: Int) { ids.reserveCapacity(tokenCount) }
    }

    private var definition: Definition
    private var addedTokens: AddedTokens
    private var normalizedAddedTokens: AddedTokens
    /// What each token stands for, by id.
    private let tokenBytes: [[UInt8]]
    /// Single bytes: as tokens of a byte-level vocabulary, or as `<0x..>`.
    private let byteTokens: [Int32?]
    private var wordTokens: [[UInt8]: Int32]
    /// Tokens of one character, for vocabularies of text.
    private let scalarTokens: [Unicode.Scalar: Int32]
    private var specialTokens: Set<Int32>
    /// What an adapter adds to the model's; its own ids are not in the lists.
    private var further = FurtherTokens()

    /// Bytes that it takes beside the tokenizer that it was made of, roughly.
    public private(set) var ownByteCount = 0

    private struct FurtherTokens {
        var texts: [Int: String] = [:]
        var bytes: [Int: [UInt8]] = [:]
        var ids: [[UInt8]: Int] = [:]
        /// One more than the largest id.
        var end = 0
    }

    /// U+2581, SentencePiece's mark for a space.
    static let spaceMark = "\u{2581}"

    init(_ definition: Definition) {
        self.definition = definition
        addedTokens = AddedTokens(definition.addedTokens)
        normalizedAddedTokens = AddedTokens(definition.normalizedAddedTokens)
        specialTokens = definition.specialTokens
        let addedIDs = Set(
            (definition.addedTokens + definition.normalizedAddedTokens).map(\.id))

        var tokenBytes: [[UInt8]] = []
        tokenBytes.reserveCapacity(definition.tokens.count)
        var byteTokens = [Int32?](repeating: nil, count: 256)
        var wordTokens: [[UInt8]: Int32] = [:]
        var scalarTokens: [Unicode.Scalar: Int32] = [:]
        for (id, token) in definition.tokens.enumerated() {
            let isAdded = addedIDs.contains(Int32(id))
            tokenBytes.append(Tokenizer.bytes(of: token, isByteLevel: definition.isByteLevel))
            if definition.onlyAdded.contains(Int32(id)) { continue }
            if definition.isByteLevel {
                guard let bytes = ByteAlphabet.bytes(of: token) else { continue }
                if bytes.count == 1, !isAdded { byteTokens[Int(bytes[0])] = Int32(id) }
                if definition.ignoresMerges { wordTokens[bytes] = Int32(id) }
                continue
            }
            if let scalar = token.unicodeScalars.first, token.unicodeScalars.count == 1 {
                scalarTokens[scalar] = Int32(id)
            }
            if let byte = Tokenizer.fallbackByte(token) { byteTokens[Int(byte)] = Int32(id) }
        }
        self.tokenBytes = tokenBytes
        self.byteTokens = byteTokens
        self.wordTokens = wordTokens
        self.scalarTokens = scalarTokens
    }

    /// What a token stands for.
    private static func bytes(of token: String, isByteLevel: Bool) -> [UInt8] {
        guard !isByteLevel else { return ByteAlphabet.bytes(of: token) ?? Array(token.utf8) }
        if let byte = fallbackByte(token) { return [byte] }
        return Array(Normalizer.replace(spaceMark, with: " ").apply(to: token).utf8)
    }

    /// A token that an adapter adds, or that it has with other settings: see `AddedTokens.Token`.
    public struct Addition: Sendable {
        public var id: Int
        public var content: String
        public var isSpecial = false
        public var isSingleWord = false
        public var stripsLeft = false
        public var stripsRight = false
        public var isNormalized = false

        public init(id: Int, content: String) {
            self.id = id
            self.content = content
        }
    }

    /// The same tokenizer with further tokens, or with some that have other settings. It shares this one's memory.
    ///
    /// - Parameter parts: another way to make tokens of a text: a `tokenizer.json` without its vocabulary and merges.
    ///   `additions` are all tokens then that are looked for before anything else.
    /// - Throws: `TokenizerError` for parts that are not supported.
    public func adding(
        _ additions: [Addition], parts: JSON? = nil
    ) throws(TokenizerError) -> Tokenizer {
        var other = self
        let ids = Set(additions.map { Int32(truncatingIfNeeded: $0.id) })
        other.definition.furtherTokens = Set(additions.map(\.id))
        if let parts { try other.definition.read(parts: parts) }
        if other.definition.ignoresMerges, !definition.ignoresMerges {
            for (id, bytes) in tokenBytes.enumerated()
            where !definition.onlyAdded.contains(Int32(id)) && !bytes.isEmpty {
                other.wordTokens[bytes] = Int32(id)
            }
            other.ownByteCount = 96 * other.wordTokens.count
        }
        // Of the definition only the lists of added tokens are wanted.
        var lists = Definition()
        lists.normalizers = other.definition.normalizers
        if parts == nil {
            lists.addedTokens = definition.addedTokens.filter { !ids.contains($0.id) }
            lists.normalizedAddedTokens = definition.normalizedAddedTokens.filter {
                !ids.contains($0.id)
            }
        }
        for addition in additions
        where (0..<Definition.tokenLimit).contains(addition.id) && !addition.content.isEmpty {
            let (id, content) = (addition.id, addition.content)
            var token = AddedTokens.Token(id: Int32(id), content: Array(content.utf8))
            token.isSpecial = addition.isSpecial
            token.singleWord = addition.isSingleWord
            token.stripsLeft = addition.stripsLeft
            token.stripsRight = addition.stripsRight
            lists.place(token, isNormalized: addition.isNormalized)
            // It is in several lists.
            other.ownByteCount += 300 + 4 * content.utf8.count
            guard definition.id(of: content) != Int32(id) else { continue }
            other.further.texts[id] = content
            other.further.bytes[id] = Tokenizer.bytes(
                of: content, isByteLevel: definition.isByteLevel)
            other.further.ids[Array(content.utf8)] = id
            other.further.end = max(other.further.end, id + 1)
        }
        other.definition.addedTokens = lists.addedTokens
        other.definition.normalizedAddedTokens = lists.normalizedAddedTokens
        other.addedTokens = AddedTokens(lists.addedTokens)
        other.normalizedAddedTokens = AddedTokens(lists.normalizedAddedTokens)
        other.specialTokens = lists.specialTokens
        return other
    }

    /// What it adds to another one over the same vocabulary.
    ///
    /// - Returns: ids of tokens that the other lacks or has with other settings; nil where texts become tokens another
    ///   way, or where the other has added tokens that this one lacks.
    public func additions(to other: Tokenizer) -> Set<Int>? {
        guard definition.makesTokens(like: other.definition, knowsAllBytes: knowsAllBytes) else {
            return nil
        }
        var additions: Set<Int> = []
        for list in [\Definition.addedTokens, \Definition.normalizedAddedTokens] {
            let (own, others) = (definition[keyPath: list], other.definition[keyPath: list])
            let known = Dictionary(others.map { ($0.id, $0) }) { first, _ in first }
            let ids = Set(own.map(\.id))
            guard others.allSatisfy({ ids.contains($0.id) }) else { return nil }
            for token in own where known[token.id] != token { additions.insert(Int(token.id)) }
        }
        return additions
    }

    /// Whether no text needs the unknown token.
    private var knowsAllBytes: Bool { !byteTokens.contains(nil) }

    /// The byte of a token like `<0x0A>`.
    private static func fallbackByte(_ token: String) -> UInt8? {
        guard token.utf8.count == 6, token.hasPrefix("<0x"), token.hasSuffix(">") else {
            return nil
        }
        return UInt8(token.dropFirst(3).dropLast(), radix: 16)
    }

    // MARK: Facts

    /// One more than the largest id.
    public var tokenCount: Int { max(definition.tokens.count, further.end) }

    /// The token as the vocabulary writes it.
    public func token(_ id: Int) -> String? {
        if further.end > 0, let text = further.texts[id] { return text }
        return definition.tokens.indices.contains(id) ? definition.tokens[id] : nil
    }

    public func id(of token: String) -> Int? {
        definition.id(of: token).map { Int($0) } ?? further.ids[Array(token.utf8)]
    }

    public func isSpecial(_ id: Int) -> Bool {
        specialTokens.contains(Int32(truncatingIfNeeded: id))
    }

    /// The bytes that a token adds to a text; for special tokens, their names.
    public func bytes(of id: Int) -> [UInt8] {
        if further.end > 0, let bytes = further.bytes[id] { return bytes }
        return tokenBytes.indices.contains(id) ? tokenBytes[id] : []
    }

    // MARK: Encoding

    /// Encodes text. Added tokens are found wherever they stand in it.
    ///
    /// - Parameter addsSpecialTokens: whether the beginning and end tokens that the model's
    ///   tokenizer puts around a text are put there.
    public func encode(_ text: String, addsSpecialTokens: Bool = true) -> [Int] {
        var ids: [Int32] = addsSpecialTokens ? definition.prefix : []
        let utf8 = Array(text.utf8)
        for piece in addedTokens.split(utf8) {
            switch piece {
            case .token(let id): ids.append(id)
            case .text(let range):
                encodeStretch(
                    String(decoding: utf8[range], as: UTF8.self), isFirst: range.lowerBound == 0,
                    into: &ids)
            }
        }
        if addsSpecialTokens { ids += definition.suffix }
        return ids.map { Int($0) }
    }

    private func encodeStretch(_ text: String, isFirst: Bool, into ids: inout [Int32]) {
        let normalized = definition.normalizers.reduce(text) { $1.apply(to: $0) }
        guard !normalizedAddedTokens.isEmpty else {
            return encodeWords(normalized, isFirst: isFirst, into: &ids)
        }
        let utf8 = Array(normalized.utf8)
        for piece in normalizedAddedTokens.split(utf8) {
            switch piece {
            case .token(let id): ids.append(id)
            case .text(let range):
                encodeWords(
                    String(decoding: utf8[range], as: UTF8.self),
                    isFirst: isFirst && range.lowerBound == 0, into: &ids)
            }
        }
    }

    private func encodeWords(_ text: String, isFirst: Bool, into ids: inout [Int32]) {
        guard !definition.isByteLevel else {
            return definition.preTokenizer.split(text) { encodeBytes($0, into: &ids) }
        }
        var text = text
        let prepends =
            definition.prependsSpace == .always || definition.prependsSpace == .first && isFirst
        if prepends, text.unicodeScalars.first != Tokenizer.spaceMark.unicodeScalars.first {
            text = Tokenizer.spaceMark + text
        }
        encodePieces(text, into: &ids)
    }

    private func encodeBytes(_ word: [UInt8], into ids: inout [Int32]) {
        if definition.ignoresMerges, let id = wordTokens[word] {
            ids.append(id)
            return
        }
        // A byte that the vocabulary lacks, as SmolLM2's lacks some control characters, is dropped
        // when there is no unknown token: what the tokenizers package does.
        ids += definition.encoder.encode(
            word.compactMap { byteTokens[Int($0)] ?? definition.unknownToken })
    }

    /// SentencePiece style: characters, their bytes where the vocabulary lacks them.
    private func encodePieces(_ text: String, into ids: inout [Int32]) {
        var pieces: [Int32] = []
        var lastIsUnknown = false
        for scalar in text.unicodeScalars {
            if let id = scalarTokens[scalar] {
                pieces.append(id)
                lastIsUnknown = false
                continue
            }
            let bytes = String(Character(scalar)).utf8.map { byteTokens[Int($0)] }
            if !bytes.contains(nil) {
                pieces += bytes.compactMap { $0 }
                lastIsUnknown = false
            } else if let unknown = definition.unknownToken {
                if !(lastIsUnknown && definition.fusesUnknown) { pieces.append(unknown) }
                lastIsUnknown = true
            }
        }
        ids += definition.encoder.encode(pieces)
    }

    // MARK: Decoding

    /// The text of some tokens. Bytes that are not UTF-8 become U+FFFD: by maximal subparts in
    /// byte-level vocabularies; a run of fallback bytes that is not valid as a whole, byte by byte.
    public func decode(_ ids: [Int], skipsSpecialTokens: Bool = true) -> String {
        var text = ""
        var run: [UInt8] = []
        var runIsFallback = false
        func flush() {
            if runIsFallback, String(validating: run, as: UTF8.self) == nil {
                text += String(repeating: "\u{FFFD}", count: run.count)
            } else {
                text += String(decoding: run, as: UTF8.self)
            }
            run = []
        }
        for id in ids where (0..<tokenCount).contains(id) {
            if skipsSpecialTokens, isSpecial(id) { continue }
            if isFallbackByte(id) != runIsFallback {
                flush()
                runIsFallback.toggle()
            }
            run += bytes(of: id)
        }
        flush()
        // SentencePiece's first space is its own, not the text's.
        if definition.stripsFirstSpace || definition.prependsSpace != .never,
            text.utf8.first == UInt8(ascii: " ")
        {
            text.unicodeScalars.removeFirst()
        }
        return text
    }

    /// Whether a token stands for one byte of a character that the vocabulary lacks.
    func isFallbackByte(_ id: Int) -> Bool {
        !definition.isByteLevel && tokenBytes.indices.contains(id) && tokenBytes[id].count == 1
            && byteTokens[Int(tokenBytes[id][0])] == Int32(id)
    }
}
