internal import Adapters
internal import Answers
internal import ChatTemplates
internal import JSONTree
internal import ModelFiles
internal import Synchronization
internal import Tokenization

extension ModelText {
    /// Chat templates, and what trying them says of answers. Reading one and trying it takes a while: that is done when
    /// they are first needed, and not for requests that bring tokens.
    final class Templates: Sendable {
        struct Parsed: Sendable {
            var plain: ChatTemplate?
            /// Renders conversations with tools; often the same one.
            var forTools: ChatTemplate?
            /// How the model writes calls and thoughts.
            var format: AnswerFormat
        }

        private let plain: String?
        private let forTools: String?
        private let variables: JSON.Object
        private let result = Mutex<Result<Parsed, TemplateError>?>(nil)

        init(_ plain: String?, forTools: String?, _ variables: JSON.Object) {
            self.plain = plain
            self.forTools = forTools
            self.variables = variables
        }

        func parsed() throws(TemplateError) -> Parsed {
            try result.withLock { result in
                let found = result ?? Result { () throws(TemplateError) in try parse() }
                result = found
                return found
            }.get()
        }

        private func parse() throws(TemplateError) -> Parsed {
            let template = try plain.map { (text) throws(TemplateError) in try ChatTemplate(text) }
            let withTools =
                forTools == plain
                ? template
                : try forTools.map { (text) throws(TemplateError) in try ChatTemplate(text) }
            // A short conversation takes few steps.
            var limits = ChatTemplate.Limits()
            limits.stepCount = 50_000
            limits.outputByteCount = 1 << 20
            let source = forTools ?? ""
            let compiled = try? ChatTemplate(source, limits: limits)
            do throws(FormatError) {
                let format = try AnswerFormat.find(source: source) { messages, tools in
                    var values = variables
                    values["messages"] = .array(messages)
                    values["tools"] = tools
                    values["add_generation_prompt"] = false
                    return try? compiled?.render(values)
                }
                return Parsed(plain: template, forTools: withTools, format: format)
            } catch {
                throw TemplateError(.syntax, error.description, line: 1)
            }
        }
    }

    /// The texts of adapters that were used lately, by their digests.
    final class Cache: Sendable {
        let base: ModelText
        private let state = Mutex(State())
        private static let limit = 256
        private static let byteLimit = 64 << 20

        private struct Entry {
            var text: ModelText
            var byteCount: Int
            var use: Int
        }

        private struct State {
            var known: [AdapterDigest: Entry] = [:]
            var byteCount = 0
            var uses = 0

            mutating func find(_ digest: AdapterDigest) -> ModelText? {
                uses += 1
                known[digest]?.use = uses
                return known[digest]?.text
            }

            mutating func keep(_ text: ModelText, of digest: AdapterDigest, _ bytes: Int) {
                if let former = known.removeValue(forKey: digest) { byteCount -= former.byteCount }
                while known.count >= Cache.limit || byteCount + bytes > Cache.byteLimit,
                    let oldest = known.min(by: { $0.value.use < $1.value.use })
                {
                    known[oldest.key] = nil
                    byteCount -= oldest.value.byteCount
                }
                known[digest] = Entry(text: text, byteCount: bytes, use: uses)
                byteCount += bytes
            }
        }

        init(_ base: ModelText) { self.base = base }

        func text(of adapter: DeviceAdapter?) throws(GenerationError) -> ModelText {
            guard let adapter, let own = adapter.text else { return base }
            if let found = state.withLock({ $0.find(adapter.digest) }) { return found }
            do {
                let made = try ModelText(own, over: base)
                let bytes = made.tokenizer.ownByteCount + 8 * own.json.text().utf8.count
                state.withLock { $0.keep(made, of: adapter.digest, bytes) }
                return made
            } catch {
                throw GenerationError(.templateFailed, "\(error)")
            }
        }
    }
}
