package import JSONTree
package import ModelFiles
package import Tokenization

extension Tokenizer {
    /// The tokenizer of a model.
    package init(_ source: Checkpoint.TokenizerSource) throws(TokenizerError) {
        switch source {
        case .huggingFace(let tokenizer, _): try self.init(huggingFace: tokenizer)
        case .gguf(let metadata): try self.init(gguf: GGUFVocabulary(metadata))
        case .absent:
            throw .noTokenizer
        }
    }
}

extension GGUFVocabulary {
    fileprivate init(_ metadata: [String: GGUFValue]) {
        func value(_ name: String) -> GGUFValue? { metadata["tokenizer.ggml.\(name)"] }
        self.init(
            model: value("model")?.string ?? "", pre: value("pre")?.string,
            tokens: value("tokens")?.array?.map { $0.string ?? "" } ?? [],
            types: value("token_type")?.array?.map { $0.integer ?? 1 } ?? [],
            merges: value("merges")?.array?.map { $0.string ?? "" } ?? [],
            scores: value("scores")?.array?.map { $0.number ?? 0 } ?? [])
        addsBeginning = value("add_bos_token")?.bool
        addsEnd = value("add_eos_token")?.bool
        addsSpacePrefix = value("add_space_prefix")?.bool
        beginningToken = value("bos_token_id")?.integer
        endToken = value("eos_token_id")?.integer
        unknownToken = value("unknown_token_id")?.integer
    }
}

extension Checkpoint.TokenizerSource {
    /// The text of the template that a conversation is rendered with.
    ///
    /// - Parameter forTools: whether there are tools; of several named templates `tool_use` has them
    ///   then, as transformers chooses.
    package func chatTemplate(forTools: Bool) -> String? {
        switch self {
        case .huggingFace(_, let config):
            return config["chat_template"]?.chatTemplate(forTools: forTools)
        case .gguf(let metadata):
            let name = "tokenizer.chat_template"
            if forTools, let text = metadata[name + ".tool_use"]?.string { return text }
            return metadata[name]?.string
        case .absent: return nil
        }
    }

    /// Special tokens by the names that templates know them by.
    package var templateVariables: JSON.Object {
        var variables = JSON.Object()
        switch self {
        case .huggingFace(_, let config):
            for name in ["bos_token", "eos_token", "unk_token", "pad_token"] {
                // A token is a string, or an object that describes one.
                guard let token = config[name],
                    let text = token.stringValue ?? token["content"]?.stringValue
                else { continue }
                variables[name] = .string(text)
            }
        case .gguf(let metadata):
            let tokens = metadata["tokenizer.ggml.tokens"]?.array ?? []
            let keys = [
                ("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"),
                ("pad_token", "padding"),
            ]
            for (name, key) in keys {
                guard let id = metadata["tokenizer.ggml.\(key)_token_id"]?.integer,
                    tokens.indices.contains(id),
                    let text = tokens[id].string
                else { continue }
                variables[name] = .string(text)
            }
        case .absent: break
        }
        return variables
    }
}
