internal import Foundation
package import JSONTree
internal import Tensors

/// What an adapter brings beside its weights: how a conversation is written for it, how its answers are drawn and
/// what ends them. What it does not say is as the base has it.
///
/// It is read from `chat_template.jinja`, `tokenizer.json`, `tokenizer_config.json` and `generation_config.json`. The tokenizer's
/// vocabulary has to be the base's but for tokens that it adds.
package struct AdapterText: Sendable, Equatable {
    /// In the form of `tokenizer_config.json`: a text, or a list of named ones.
    package var chatTemplate: JSON?
    /// Special tokens by the names that templates know them by.
    package var templateVariables = JSON.Object()
    /// Tokens that the base's tokenizer lacks, or has with other settings; with `tokenizer` all that are looked for first.
    package var addedTokens: [AddedToken] = []
    /// How texts become tokens, where that may be another way than the base's: a `tokenizer.json` without vocabulary and merges.
    package var tokenizer: JSON?
    /// What ends a completion, whatever `generation` says.
    package var endTokens: [Int] = []
    /// Takes the place of the base's; without end tokens of its own it leaves those.
    package var generation: GenerationDefaults?

    package var isEmpty: Bool { self == AdapterText() }

    /// Whether a folder says which tokens its adapter has, be they the base's.
    static func isTokenized(_ folder: String) -> Bool {
        ["tokenizer.json", "tokenizer_config.json"].contains {
            FileManager.default.fileExists(atPath: folder + "/" + $0)
        }
    }
    /// Whether texts become other tokens with it than with the base alone.
    package var hasOwnTokenizer: Bool { !addedTokens.isEmpty || tokenizer != nil }

    private init() {}

    // MARK: As files

    /// Of one file, of a tokenizer's, and of all that is kept of them.
    private static let byteLimit = 4 << 20
    package static let tokenizerByteLimit = 64 << 20
    private static let tokenizerValueLimit = 4 << 20
    package static let jsonByteLimit = 1 << 20

    /// - Parameters:
    ///   - tokenizer: the base's.
    ///   - vocabularySize: tokens that a sequence with the adapter may have.
    ///   - limits: bound the tokens that it adds.
    /// - Throws: `ModelFileError` naming the field that cannot be honoured.
    init(
        folder: String, tokenizer: Checkpoint.TokenizerSource, vocabularySize: Int,
        limits: AdapterLimits
    ) throws(ModelFileError) {
        func path(_ name: String) -> String? {
            let path = folder + "/" + name
            return FileManager.default.fileExists(atPath: path) ? path : nil
        }
        let (file, config) = (path("tokenizer.json"), path("tokenizer_config.json"))
        if file != nil || config != nil {
            var tokens = AdapterTokens(tokenizer, limit: limits.tokens)
            if let file {
                let json = try readJSON(
                    file, byteLimit: Self.tokenizerByteLimit, valueLimit: Self.tokenizerValueLimit)
                try tokens.read(json, source: file)
            }
            if let path = config {
                let config = try readJSON(path, byteLimit: Self.byteLimit)
                let listed = try AdapterText.addedTokens(of: config, source: path)
                // Settings of those that are known are in tokenizer.json, where there is one.
                try tokens.add(
                    listed.filter {
                        file == nil || tokens.ids(of: $0.content)?.contains($0.id) != true
                    }, source: path)
                try read(config, tokens, tokenizer, vocabularySize, source: path)
            }
            addedTokens = tokens.added
            self.tokenizer = tokens.parts
        }
        if let path = path("chat_template.jinja") {
            chatTemplate = try AdapterText.template(path)
        }
        if path("additional_chat_templates") != nil {
            throw ModelFileError(
                .unsupportedField,
                "\(folder): additional_chat_templates is not read for adapters: list the templates as chat_template in tokenizer_config.json"
            )
        }
        if let path = path("generation_config.json") {
            let json = try readJSON(path, byteLimit: Self.byteLimit)
            try GenerationDefaults.refuseUnsupported(json, source: path)
            generation = try GenerationDefaults(generation: json, config: [:], source: folder)
            try generation?.check(vocabularySize: vocabularySize, source: path)
        }
        // What is kept of an adapter of its own, and read back with it.
        guard json.text().utf8.count <= Self.jsonByteLimit else {
            throw ModelFileError(
                .limitExceeded,
                "\(folder): its chat template and tokens are longer than \(Self.jsonByteLimit) bytes"
            )
        }
    }

    private static func template(_ path: String) throws(ModelFileError) -> JSON {
        do {
            let bytes = try BinaryFile.head(of: path, count: byteLimit + 1)
            guard bytes.count <= byteLimit else {
                throw ModelFileError(.limitExceeded, "\(path) is larger than \(byteLimit) bytes")
            }
            guard let text = String(validating: bytes, as: UTF8.self), !text.hasTooManyMarks else {
                throw ModelFileError(
                    .malformedFile,
                    "\(path) is not UTF-8, or has \(String.tooManyMarks)"
                )
            }
            return .string(text)
        } catch let error as ModelFileError {
            throw error
        } catch {
            throw ModelFileError(.unreadableFile, "\(error)")
        }
    }

    /// As older tools write them, by their numbers.
    private static func addedTokens(
        of config: JSON, source: String
    ) throws(ModelFileError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for (id, entry) in config["added_tokens_decoder"]?.objectValue?.members ?? [] {
            guard let id = Int(id), let token = AddedToken(entry, id: id) else {
                throw ModelFileError(
                    .invalidField,
                    "\(source): added_tokens_decoder has no token of up to \(AddedToken.mostBytes) bytes at \(id)"
                )
            }
            tokens.append(token)
        }
        return tokens
    }

    private mutating func read(
        _ config: JSON, _ tokens: AdapterTokens, _ tokenizer: Checkpoint.TokenizerSource,
        _ vocabularySize: Int, source: String
    ) throws(ModelFileError) {
        guard let members = config.objectValue?.members else {
            throw ModelFileError(.malformedFile, "\(source) is not a JSON object")
        }
        func refuse(_ field: String, _ why: String) -> ModelFileError {
            ModelFileError(.unsupportedField, "\(source): \(field) \(why)")
        }
        func check(_ text: String, _ field: String) throws(ModelFileError) {
            guard tokens.ids(of: text)?.isEmpty != true else {
                throw refuse(
                    field,
                    "has the token \"\(text.prefix(100))\", which the base lacks and no tokenizer.json of the adapter has"
                )
            }
        }
        for (name, value) in members where !value.isNull {
            switch name {
            case "chat_template":
                let isList =
                    value.arrayValue?.allSatisfy {
                        $0["name"]?.stringValue != nil && $0["template"]?.stringValue != nil
                    } ?? false
                guard value.stringValue != nil || isList else {
                    throw ModelFileError(
                        .invalidField, "\(source): chat_template is neither a text nor a list")
                }
                chatTemplate = value
            case "additional_special_tokens", "extra_special_tokens",
                "model_specific_special_tokens":
                let list = value.arrayValue ?? value.objectValue?.members.map(\.value) ?? []
                for token in list {
                    if let text = token.stringValue ?? token["content"]?.stringValue {
                        try check(text, name)
                    }
                }
            case "bos_token", "eos_token", "unk_token", "pad_token":
                // A token is a string, or an object that describes one.
                guard let text = value.stringValue ?? value["content"]?.stringValue else { break }
                try check(text, name)
                templateVariables[name] = .string(text)
                if name == "eos_token" {
                    endTokens = (tokens.ids(of: text) ?? []).filter { $0 < vocabularySize }
                }
            case "add_bos_token", "add_eos_token", "add_prefix_space":
                guard let base = tokenizer.setting(name), base != value else { break }
                throw refuse(name, "is \(value.text()), in the base it is \(base.text())")
            case "split_special_tokens":
                if value == .bool(true) { throw refuse(name, "is not supported") }
            default: break
            }
        }
    }

    // MARK: As a value

    /// What it says, in one form: part of the adapter's digest, and of its pack.
    package var json: JSON {
        var json = JSON.Object()
        json["chat_template"] = chatTemplate
        if !templateVariables.isEmpty { json["tokens"] = .object(templateVariables) }
        if !addedTokens.isEmpty { json["added_tokens"] = .array(addedTokens.map(\.json)) }
        json["tokenizer"] = tokenizer
        if !endTokens.isEmpty { json["end_tokens"] = .array(endTokens.map { .integer($0) }) }
        json["generation"] = generation?.json
        return .object(json)
    }

    /// The same in short, as text: of its templates only the names, of its tokens how many they are.
    package var summary: String {
        guard var short = json.objectValue else { return json.text() }
        if let chatTemplate {
            short["chat_template"] = .array(
                chatTemplate.arrayValue?.compactMap { $0["name"] } ?? ["default"])
        }
        if !addedTokens.isEmpty { short["added_tokens"] = .integer(addedTokens.count) }
        if tokenizer != nil { short["tokenizer"] = "its own" }
        return JSON.object(short).text()
    }

    /// Reads `json` back.
    ///
    /// - Parameter vocabularySize: the adapter's.
    package init?(_ json: JSON, vocabularySize: Int) {
        chatTemplate = json["chat_template"]
        templateVariables = json["tokens"]?.objectValue ?? JSON.Object()
        guard let tokens = (json["end_tokens"] ?? []).arrayValue?.map(\.integerValue),
            tokens.allSatisfy({ (0..<vocabularySize).contains($0 ?? -1) })
        else { return nil }
        endTokens = tokens.compactMap { $0 }
        tokenizer = json["tokenizer"]
        let added = json["added_tokens"]?.arrayValue ?? []
        addedTokens = added.compactMap { AddedToken($0) }
        guard addedTokens.count == added.count,
            Set(addedTokens.map(\.id)).count == added.count
        else { return nil }
        guard let generation = json["generation"] else { return }
        guard let defaults = GenerationDefaults(generation),
            (try? defaults.check(vocabularySize: vocabularySize, source: "")) != nil
        else { return nil }
        self.generation = defaults
    }

    /// The text of the template that a conversation is rendered with; nil for the base's.
    package func chatTemplate(forTools: Bool) -> String? {
        chatTemplate?.chatTemplate(forTools: forTools)
    }
}

extension JSON {
    /// A `chat_template`: one text, or of several named ones `tool_use` for conversations with tools and `default`
    /// for others, as transformers chooses.
    package func chatTemplate(forTools: Bool) -> String? {
        if let text = stringValue { return text }
        func named(_ name: String) -> String? {
            arrayValue?.last { $0["name"]?.stringValue == name }?["template"]?.stringValue
        }
        return forTools ? named("tool_use") ?? named("default") : named("default")
    }
}

extension Checkpoint.TokenizerSource {
    /// A setting of the tokenizer; nil where the base does not say.
    fileprivate func setting(_ name: String) -> JSON? {
        switch self {
        case .absent: return nil
        case .huggingFace(_, let config):
            return config[name].flatMap { $0.isNull ? Optional.none : $0 }
        case .gguf(let metadata):
            let key = name == "add_prefix_space" ? "add_space_prefix" : name
            return metadata["tokenizer.ggml.\(key)"]?.bool.map { .bool($0) }
        }
    }
}
