/// A file an adapter is made of. What it is called here never comes from a server.
package enum AdapterPart: String, Hashable, Sendable {
    case configuration = "adapter_config.json"
    case weights = "adapter_model.safetensors"
    case gguf = "adapter.gguf"
    /// Of mlx-lm.
    case mlx = "adapters.safetensors"
    /// Of `AdapterText`; they need not be there.
    case template = "chat_template.jinja"
    case tokenizer = "tokenizer_config.json"
    case tokens = "tokenizer.json"
    case generation = "generation_config.json"

    package static let texts: [AdapterPart] = [.template, .tokens, .tokenizer, .generation]

    package var fileName: String { rawValue }

    /// PEFT's older format of weights, which is not read: a pickle can run code.
    static let pickleName = "adapter_model.bin"

    static func pickleRefused(_ place: String) -> SourceError {
        SourceError(
            .pickleRefused,
            "\(place) has \(pickleName), a pickle, which can run code and is never read. Save the "
                + "adapter as safetensors: save_pretrained(..., safe_serialization=True).")
    }

    /// Which files of a folder make up an adapter: PEFT's two, or mlx-lm's, and what texts are beside them, or else its only GGUF
    /// file.
    ///
    /// - Parameter names: what is directly in the folder.
    /// - Throws: `SourceError`: `pickle_refused` or `not_found`.
    package static func choose(
        among names: [String], in place: String
    ) throws(SourceError) -> [(part: AdapterPart, name: String)] {
        let all = Set(names)
        if all.contains("additional_chat_templates") {
            throw SourceError(
                .unreadableFile,
                "\(place) has additional_chat_templates, which are not read for adapters: list the templates as "
                    + "chat_template in \(tokenizer.fileName)")
        }
        for kind in [AdapterPart.weights, .mlx]
        where all.contains(kind.fileName) && all.contains(configuration.fileName) {
            let more = texts.filter { all.contains($0.fileName) }
            return ([.configuration, kind] + more).map { ($0, $0.fileName) }
        }
        let files = names.filter { $0.hasSuffix(".gguf") }
        if files.count == 1 { return [(.gguf, files[0])] }
        if all.contains(pickleName), !all.contains(weights.fileName) { throw pickleRefused(place) }
        throw SourceError(
            .notFound,
            files.isEmpty
                ? "\(place) does not have \(configuration.fileName) and \(weights.fileName)"
                : "\(place) has several GGUF files: name one of them, like \(place)/\(files[0])")
    }
}
