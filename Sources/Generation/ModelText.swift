internal import Adapters
package import Answers
package import ChatTemplates
internal import Grammar
package import JSONTree
package import ModelFiles
package import Tokenization

/// A conversation as a request has it.
package struct Conversation: Sendable {
    package var messages: [JSON]
    package var tools: JSON?
    package var addsGenerationPrompt: Bool
    /// Further variables for the template.
    package var variables: JSON.Object

    package init(
        messages: [JSON], tools: JSON? = nil, addsGenerationPrompt: Bool = true,
        variables: JSON.Object = JSON.Object()
    ) {
        self.messages = messages
        self.tools = tools
        self.addsGenerationPrompt = addsGenerationPrompt
        self.variables = variables
    }
}

/// How conversations with a model are written and made tokens: the base's way, or an adapter's own.
package struct ModelText: Sendable {
    package let tokenizer: Tokenizer
    /// Tokens that are not the base's, or not in the same way, as grammars have them; nil for none.
    let ownTokens: OwnTokens?
    private let templates: Templates
    /// What every rendering sees, such as `bos_token`.
    private let templateVariables: JSON.Object

    /// The base's.
    ///
    /// - Throws: `TemplateError`.
    package init(_ base: Checkpoint, _ tokenizer: Tokenizer) throws(TemplateError) {
        try self.init(
            tokenizer, template: base.tokenizer.chatTemplate(forTools: false),
            toolTemplate: base.tokenizer.chatTemplate(forTools: true),
            templateVariables: base.tokenizer.templateVariables)
    }

    package init(
        _ tokenizer: Tokenizer, template: String?, toolTemplate: String?,
        templateVariables: JSON.Object
    ) throws(TemplateError) {
        self.tokenizer = tokenizer
        ownTokens = nil
        templates = Templates(template, forTools: toolTemplate, templateVariables)
        self.templateVariables = templateVariables
        _ = try templates.parsed()
    }

    /// An adapter's, which is the base's where the adapter says nothing.
    init(_ text: AdapterText, over base: ModelText) throws {
        if text.chatTemplate == nil {
            templates = base.templates
        } else {
            templates = Templates(
                text.chatTemplate(forTools: false), forTools: text.chatTemplate(forTools: true),
                base.templateVariables)
        }
        let additions = text.addedTokens.map(Tokenizer.Addition.init)
        tokenizer =
            text.hasOwnTokenizer
            ? try base.tokenizer.adding(additions, parts: text.tokenizer) : base.tokenizer
        ownTokens = OwnTokens(tokenizer, over: base.tokenizer, among: additions.map(\.id))
        var variables = base.templateVariables
        for (name, value) in text.templateVariables.members { variables[name] = value }
        templateVariables = variables
    }

    /// What an adapter says beside its weights, without what the base's tokenizer does the same way.
    ///
    /// - Throws: `ModelFileError` with the code `unsupported_chat_template` or `unsupported_field` for a chat template or a
    ///   tokenizer that is none that is understood.
    @Sendable
    package func settled(_ text: AdapterText) throws(ModelFileError) -> AdapterText {
        do {
            let all = try ModelText(text, over: self)
            _ = try all.templates.parsed()
            let own = all.tokenizer
            guard text.hasOwnTokenizer, let additions = own.additions(to: tokenizer) else {
                return text
            }
            var settled = text
            settled.tokenizer = nil
            settled.addedTokens = text.addedTokens.filter { additions.contains($0.id) }
            return settled
        } catch let error as TokenizerError {
            throw ModelFileError(.unsupportedField, "its tokenizer.json: \(error)")
        } catch {
            throw ModelFileError(.unsupportedChatTemplate, "its chat template: \(error)")
        }
    }

    /// Special tokens with one of these texts.
    package func specialTokens(_ texts: [String]) -> Set<Int> {
        Set(
            texts.compactMap { text in
                let tokens = tokenizer.encode(text, addsSpecialTokens: false)
                return tokens.count == 1 && tokenizer.isSpecial(tokens[0]) ? tokens[0] : nil
            })
    }

    private var parsedTemplates: Templates.Parsed {
        get throws(GenerationError) {
            do { return try templates.parsed() } catch {
                throw GenerationError(.templateFailed, "\(error)")
            }
        }
    }

    /// How the model writes what is not plain text. Finding out takes a while, for an adapter's template at the first call.
    package var format: AnswerFormat {
        get throws(GenerationError) { try parsedTemplates.format }
    }

    /// The text of a conversation, by the chat template. It takes a while.
    func render(_ conversation: Conversation) throws(GenerationError) -> String {
        let templates = try parsedTemplates
        guard let template = conversation.tools == nil ? templates.plain : templates.forTools else {
            throw GenerationError(
                .noChatTemplate,
                "This model has no chat template. Use /v1/completions, or serve a model that has one."
            )
        }
        if conversation.tools != nil { try ModelText.require("tools", "tools", of: template) }
        // OpenAI's newer name for what most templates know as system.
        let messages =
            template.mentions("developer")
            ? conversation.messages : conversation.messages.map(\.fromSystem)
        if let index = messages.firstIndex(where: { $0["tool_calls"] != nil }) {
            try ModelText.require("tool_calls", "messages[\(index)].tool_calls", of: template)
        }
        var values = templateVariables
        for (name, value) in conversation.variables.members { values[name] = value }
        values["add_generation_prompt"] = .bool(conversation.addsGenerationPrompt)
        values["tools"] = conversation.tools ?? .null
        values["documents"] = values["documents"] ?? .null
        do throws(TemplateError) {
            values["messages"] = .array(messages)
            do throws(TemplateError) {
                return try template.render(values)
            } catch  where error.kind != .raised && messages.contains(where: \.hasNoContent) {
                // Some templates ask whether a message has a content, others take it for a text.
                values["messages"] = .array(messages.map(\.withContent))
                return try template.render(values)
            }
        } catch {
            let code: GenerationError.Code =
                error.kind == .raised ? .templateRefused : .templateFailed
            throw GenerationError(code, "\(error)")
        }
    }

    /// Refuses what a template would drop without a word.
    private static func require(
        _ word: String, _ parameter: String, of template: ChatTemplate
    ) throws(GenerationError) {
        guard !template.mentions(word) else { return }
        throw GenerationError(
            .notShown(parameter),
            "\(parameter) would not reach the model: its chat template has no place for \(word).")
    }
}

extension Tokenizer {
    /// What a token is for a grammar.
    func grammarBytes(of id: Int) -> [UInt8] {
        isSpecial(id) ? GrammarSource.bytes(ofSpecialToken: bytes(of: id)) : bytes(of: id)
    }
}

extension Tokenizer.Addition {
    fileprivate init(_ token: AddedToken) {
        self.init(id: token.id, content: token.content)
        isSpecial = token.isSpecial
        isSingleWord = token.isSingleWord
        stripsLeft = token.stripsLeft
        stripsRight = token.stripsRight
        isNormalized = token.isNormalized
    }
}

extension AdapterText {
    /// How answers are drawn and end: its own way, or the base's where it says nothing.
    func defaults(over base: GenerationDefaults) -> GenerationDefaults {
        var defaults = generation ?? base
        if defaults.endTokens.isEmpty { defaults.endTokens = base.endTokens }
        defaults.endTokens += endTokens.filter { !defaults.endTokens.contains($0) }
        return defaults
    }
}

extension JSON {
    fileprivate var fromSystem: JSON {
        guard self["role"] == "developer", case .object(var message) = self else { return self }
        message["role"] = "system"
        return .object(message)
    }

    fileprivate var hasNoContent: Bool { self["content"] == .null }

    /// A message whose content is a text.
    fileprivate var withContent: JSON {
        guard hasNoContent, case .object(var message) = self else { return self }
        message["content"] = ""
        return .object(message)
    }
}

extension ModelFileError.Code {
    package static let unsupportedChatTemplate = Self("unsupported_chat_template")
}
