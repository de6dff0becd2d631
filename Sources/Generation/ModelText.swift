internal import Adapters
package import Answers
package import ChatTemplates
internal import Grammar
package import JSONTree
package import ModelFiles
internal import Synchronization
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
    /// Tokens that are not the base's, or not in the same way, as a grammar has them.
    let ownTokens: [Int32: [UInt8]]
    private let template: ChatTemplate?
    /// Renders conversations with tools; often the same one.
    private let toolTemplate: ChatTemplate?
    /// What every rendering sees, such as `bos_token`.
    private let templateVariables: JSON.Object
    /// How the model writes what is not plain text.
    package let format: AnswerFormat

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
        ownTokens = [:]
        (self.template, self.toolTemplate, format) = try Self.templates(
            template, toolTemplate, templateVariables)
        self.templateVariables = templateVariables
    }

    /// Reads the templates, and finds by trying how the model writes calls and thoughts.
    private static func templates(
        _ template: String?, _ toolTemplate: String?, _ templateVariables: JSON.Object
    ) throws(TemplateError) -> (ChatTemplate?, ChatTemplate?, AnswerFormat) {
        let forTools = toolTemplate
        let plain = try template.map { (text) throws(TemplateError) in try ChatTemplate(text) }
        let tools =
            toolTemplate == template
            ? plain
            : try toolTemplate.map { (text) throws(TemplateError) in try ChatTemplate(text) }
        // A short conversation takes few steps.
        var limits = ChatTemplate.Limits()
        limits.stepCount = 50_000
        limits.outputByteCount = 1 << 20
        let source = forTools ?? ""
        let compiled = try? ChatTemplate(source, limits: limits)
        do throws(FormatError) {
            let format = try AnswerFormat.find(source: source) { messages, tools in
                var values = templateVariables
                values["messages"] = .array(messages)
                values["tools"] = tools
                values["add_generation_prompt"] = false
                return try? compiled?.render(values)
            }
            return (plain, tools, format)
        } catch {
            throw TemplateError(.syntax, error.description, line: 1)
        }
    }

    /// An adapter's, which is the base's where the adapter says nothing.
    private init(_ text: AdapterText, over base: ModelText) throws(TemplateError) {
        if text.chatTemplate == nil {
            (template, toolTemplate, format) = (base.template, base.toolTemplate, base.format)
        } else {
            (template, toolTemplate, format) = try Self.templates(
                text.chatTemplate(forTools: false), text.chatTemplate(forTools: true),
                base.templateVariables)
        }
        let additions = text.addedTokens.map(Tokenizer.Addition.init)
        tokenizer = additions.isEmpty ? base.tokenizer : base.tokenizer.adding(additions)
        ownTokens = Dictionary(
            additions.map { [tokenizer] in (Int32($0.id), tokenizer.grammarBytes(of: $0.id)) }
        ) { first, _ in first }
        var variables = base.templateVariables
        for (name, value) in text.templateVariables.members { variables[name] = value }
        templateVariables = variables
    }

    /// Refuses an adapter whose chat template is none that is understood.
    ///
    /// - Throws: `ModelFileError` with the code `unsupported_chat_template`.
    @Sendable
    package static func check(_ text: AdapterText) throws(ModelFileError) {
        do {
            _ = try templates(
                text.chatTemplate(forTools: false), text.chatTemplate(forTools: true),
                JSON.Object())
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

    /// The text of a conversation, by the chat template.
    func render(_ conversation: Conversation) throws(GenerationError) -> String {
        guard let template = conversation.tools == nil ? template : toolTemplate else {
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

    /// The texts of adapters that were used lately, by their digests, since making one parses and tries a template: not
    /// for the tasks that serve everybody.
    final class Cache: Sendable {
        let base: ModelText
        private let known = Mutex<[AdapterDigest: ModelText]>([:])
        private static let limit = 256

        init(_ base: ModelText) { self.base = base }

        func text(of adapter: DeviceAdapter?) throws(GenerationError) -> ModelText {
            guard let adapter, let own = adapter.text else { return base }
            if let found = known.withLock({ $0[adapter.digest] }) { return found }
            do {
                let made = try ModelText(own, over: base)
                known.withLock { known in
                    if known.count >= Cache.limit { known.removeAll() }
                    known[adapter.digest] = made
                }
                return made
            } catch {
                throw GenerationError(.templateFailed, "\(error)")
            }
        }
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
