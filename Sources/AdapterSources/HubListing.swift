internal import JSONTree

/// What the Hub tells about a repository at a revision.
struct HubListing {
    /// Of the commit that the revision names now.
    let commit: String
    private let paths: [String]
    private let location: HubLocation

    /// Reads the answer of `api/models/OWNER/NAME/revision/REVISION`.
    ///
    /// - Throws: `SourceError` with `malformed_answer`.
    init(_ bytes: [UInt8], of location: HubLocation) throws(SourceError) {
        let json: JSON
        do {
            json = try JSON(parsing: bytes, limits: JSON.Limits(depth: 32, nameByteCount: 1024))
        } catch {
            throw SourceError(.malformedAnswer, "the Hub's answer about \(location) is \(error)")
        }
        guard let commit = json["sha"]?.stringValue, commit.isHexadecimal(count: 40),
            let siblings = json["siblings"]?.arrayValue
        else {
            throw SourceError(
                .malformedAnswer, "the Hub's answer about \(location) has no commit or no files")
        }
        self.commit = commit
        self.location = location
        paths = siblings.compactMap { $0["rfilename"]?.stringValue }
            .filter { PlainText.components($0[...])?.isEmpty == false }
    }

    /// The location's folder in the repository, and what lies in and below it.
    private var folder: (prefix: String, names: [String]) {
        let prefix = location.components.isEmpty ? "" : location.path + "/"
        return (
            prefix,
            paths.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        )
    }

    /// The files of the location's adapter, with their paths in the repository.
    ///
    /// - Throws: `SourceError`: `not_found` or `pickle_refused`.
    func files(isFile: Bool) throws(SourceError) -> [(part: AdapterPart, path: String)] {
        if isFile {
            guard paths.contains(location.path) else {
                throw SourceError(.notFound, "\(location) does not exist at commit \(commit)")
            }
            return [(.gguf, location.path)]
        }
        let (prefix, names) = folder
        let direct = names.filter {
            !$0.contains("/") || $0.hasPrefix("additional_chat_templates/")
        }
        .map { String($0.prefix { $0 != "/" }) }
        return try AdapterPart.choose(among: direct, in: location.description)
            .map { ($0.part, prefix + $0.name) }
    }

    /// The files of the location's base model: Hugging Face's own by their names, with shards of weights
    /// and no pickles, or else one GGUF file.
    ///
    /// - Throws: `SourceError`: `not_found` or `pickle_refused`.
    func baseFiles() throws(SourceError) -> [(name: String, path: String)] {
        if let file = location.components.last, file.hasSuffix(".gguf") {
            guard paths.contains(location.path) else {
                throw SourceError(.notFound, "\(location) does not exist at commit \(commit)")
            }
            return [(file, location.path)]
        }
        let (prefix, names) = folder
        let weights = names.filter(HubListing.isWeights)
        if names.contains("config.json"), !weights.isEmpty {
            return (names.filter(HubListing.isOfModel) + weights).map { ($0, prefix + $0) }
        }
        let files = names.filter { $0.hasSuffix(".gguf") && !$0.contains("/") }
        if files.count == 1 { return [(files[0], prefix + files[0])] }
        if files.count > 1 {
            throw SourceError(
                .notFound,
                "\(location) has several GGUF files: name one of them, like hf:\(location.owner)/\(location.name)/\(prefix)\(files[0])"
            )
        }
        if names.contains(where: { $0.hasSuffix(".bin") || $0.hasSuffix(".pth") }) {
            throw SourceError(
                .pickleRefused,
                "\(location) has its weights as pickles only, which can run code and are never read. Use a revision with safetensors."
            )
        }
        throw SourceError(
            .notFound,
            "\(location) is no model that can be served: it has no config.json with safetensors, and no GGUF file"
        )
    }

    private static func isWeights(_ name: String) -> Bool {
        name == "model.safetensors"
            || name.wholeMatch(of: #/model-\d{5}-of-\d{5}\.safetensors/#) != nil
    }

    private static func isOfModel(_ name: String) -> Bool {
        let names = [
            "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
            "chat_template.jinja", "model.safetensors.index.json",
        ]
        return names.contains(name)
            || name.wholeMatch(of: #/additional_chat_templates/[A-Za-z0-9_-]{1,64}\.jinja/#) != nil
    }
}
