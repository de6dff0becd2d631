internal import Foundation
internal import JSONTree
internal import Tensors

extension Checkpoint {
    /// Opens a Hugging Face folder (safetensors) or a GGUF file, or a folder that holds one GGUF
    /// file and no safetensors.
    ///
    /// - Throws: `ModelFileError`.
    package static func open(path: String) throws(ModelFileError) -> Checkpoint {
        var isFolder: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw ModelFileError(
                .missingFile,
                "there is no model at \(path); give a Hugging Face folder or a .gguf file")
        }
        guard isFolder.boolValue else {
            guard GGUFFile.isGGUF(path: path) else {
                throw ModelFileError(
                    .unsupportedFile, "\(path) is neither a folder nor a GGUF file")
            }
            return try Checkpoint(ggufPath: path)
        }
        if !FileManager.default.fileExists(atPath: path + "/config.json"),
            let names = try? FileManager.default.contentsOfDirectory(atPath: path)
        {
            let files = names.filter { $0.hasSuffix(".gguf") }.sorted()
            if files.count == 1 { return try Checkpoint(ggufPath: path + "/" + files[0]) }
            if files.count > 1 {
                throw ModelFileError(
                    .unsupportedFile,
                    "\(path) holds several GGUF files; name one of \(files.joined(separator: ", "))"
                )
            }
        }
        return try Checkpoint(folder: path)
    }

    // MARK: Hugging Face

    private init(folder: String) throws(ModelFileError) {
        let configPath = folder + "/config.json"
        guard FileManager.default.fileExists(atPath: configPath) else {
            throw ModelFileError(.missingFile, "\(folder) has no config.json")
        }
        let config = try readJSON(configPath)
        let configuration = try ModelConfiguration(huggingFace: config, source: configPath)
        let quantization = try Quantization(config, source: configPath)
        var stored = try Checkpoint.readTensors(
            folder: folder, more: quantization == nil ? [] : Quantization.types)
        if let quantization { stored = try quantization.assembled(stored, configuration) }
        // Models saved before the field existed, and some since, store a head beside tied
        // embeddings or leave it out beside untied ones; the latter cannot run.
        var named: [Role: StoredTensor] = [:]
        for (name, tensor) in stored {
            if name.hasSuffix("rotary_emb.inv_freq") { continue }  // derived; newer files lack it
            // Some files hold a tied head once more. One that differs is not tied in transformers 5.
            if name == "lm_head.weight", configuration.tiesEmbeddings {
                if let embedding = stored["model.embed_tokens.weight"],
                    try tensor.holdsTheSame(as: embedding)
                {
                    continue
                }
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(folder): \(name) differs from the embedding, and tie_word_embeddings says that they are one"
                )
            }
            let parts = configuration.parts(named: name)
            guard !parts.isEmpty else {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(folder): tensor \(name) does not belong to a \(configuration.family.name) model"
                )
            }
            for (role, part) in try parts.split(tensor, source: folder) {
                if quantization != nil, configuration.lacks(role), try part.isZero() { continue }
                named[role] = configuration.completed(part, as: role)
            }
        }
        let generationPath = folder + "/generation_config.json"
        let generation: JSON? =
            FileManager.default.fileExists(atPath: generationPath)
            ? try readJSON(generationPath) : nil
        try self.init(
            path: folder, configuration: configuration,
            tokenizer: try Checkpoint.readTokenizer(folder: folder),
            generation: try GenerationDefaults(
                generation: generation, config: config, source: folder), named: named)
    }

    /// - Parameter more: types that tensors may have beside floats.
    private static func readTensors(
        folder: String, more: Set<StoredType>
    ) throws(ModelFileError) -> [String: StoredTensor] {
        let single = folder + "/model.safetensors"
        if FileManager.default.fileExists(atPath: single) {
            return try SafetensorsFile(path: single, more: more).tensors
        }
        let indexPath = folder + "/model.safetensors.index.json"
        guard FileManager.default.fileExists(atPath: indexPath) else {
            let hint =
                FileManager.default.fileExists(atPath: folder + "/pytorch_model.bin")
                ? "; a pickle (pytorch_model.bin) can run code and is never read: convert it to safetensors"
                : ""
            throw ModelFileError(
                .missingFile,
                "\(folder) has neither model.safetensors nor model.safetensors.index.json\(hint)")
        }
        guard let map = try readJSON(indexPath)["weight_map"]?.objectValue else {
            throw ModelFileError(.malformedFile, "\(indexPath) has no weight_map")
        }
        var files: [String: SafetensorsFile] = [:]
        var tensors: [String: StoredTensor] = [:]
        for (name, value) in map.members {
            guard let fileName = value.stringValue, !fileName.contains("/"),
                !fileName.hasPrefix(".")
            else {
                throw ModelFileError(
                    .malformedFile,
                    "\(indexPath): tensor \(name) does not name a file in the folder")
            }
            if files[fileName] == nil {
                files[fileName] = try SafetensorsFile(
                    path: folder + "/" + fileName, more: more)
            }
            guard let tensor = files[fileName]?.tensors[name] else {
                throw ModelFileError(.missingTensor, "\(folder)/\(fileName) has no tensor \(name)")
            }
            tensors[name] = tensor
        }
        for (fileName, file) in files {
            for name in file.tensors.keys where map[name] == nil {
                throw ModelFileError(
                    .unexpectedTensor, "\(folder)/\(fileName): tensor \(name) is not in the index")
            }
        }
        return tensors
    }

    private static func readTokenizer(folder: String) throws(ModelFileError) -> TokenizerSource {
        let path = folder + "/tokenizer.json"
        guard FileManager.default.fileExists(atPath: path) else { return .absent }
        let configPath = folder + "/tokenizer_config.json"
        var config: JSON = [:]
        if FileManager.default.fileExists(atPath: configPath) { config = try readJSON(configPath) }
        if var object = config.objectValue, let template = try readTemplates(folder: folder) {
            object["chat_template"] = template
            config = .object(object)
        }
        return .huggingFace(tokenizer: try readJSON(path), config: config)
    }

    /// The chat templates that lie in files of their own, which win over the configuration's: one text,
    /// or a list of named ones, in the configuration's form.
    private static func readTemplates(folder: String) throws(ModelFileError) -> JSON? {
        func read(_ path: String) throws(ModelFileError) -> JSON? {
            guard FileManager.default.fileExists(atPath: path) else { return nil }
            do {
                let bytes = try BinaryFile.head(of: path, count: templateByteLimit)
                return .string(String(decoding: bytes, as: UTF8.self))
            } catch {
                throw ModelFileError(.unreadableFile, "\(error)")
            }
        }
        let main = try read(folder + "/chat_template.jinja")
        var named: [JSON] = main.map { [["name": "default", "template": $0]] } ?? []
        let more = folder + "/additional_chat_templates"
        let files = (try? FileManager.default.contentsOfDirectory(atPath: more)) ?? []
        for file in files.sorted() where file.hasSuffix(".jinja") {
            guard let text = try read(more + "/" + file) else { continue }
            named.append(["name": .string(String(file.dropLast(".jinja".count))), "template": text])
        }
        return named.count > (main == nil ? 0 : 1) ? .array(named) : main
    }

    /// Longer than any template that is accepted.
    private static let templateByteLimit = 2 << 20

    // MARK: GGUF

    private init(ggufPath: String) throws(ModelFileError) {
        let file = try GGUFFile(path: ggufPath)
        let configuration = try ModelConfiguration(gguf: file)
        var named: [Role: StoredTensor] = [:]
        for (name, tensor) in file.tensors
        where !ModelConfiguration.ggufRopeTensors.contains(name) {
            let parts = configuration.parts(ggufName: name)
            guard !parts.isEmpty else {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(ggufPath): tensor \(name) does not belong to a \(configuration.family.name) model"
                )
            }
            for (role, var part) in try parts.split(tensor, source: ggufPath) {
                part.rowOrder = configuration.ggufRowOrder(of: role)
                named[role] = part
            }
        }
        var generation = GenerationDefaults()
        for key in ["eos", "eot", "eom"] {
            if let id = file.metadata["tokenizer.ggml.\(key)_token_id"]?.integer {
                generation.endTokens.append(id)
            }
        }
        try self.init(
            path: ggufPath, configuration: configuration, tokenizer: .gguf(file.metadata),
            generation: generation, named: named)
    }
}

extension StoredTensor {
    fileprivate func isZero() throws(ModelFileError) -> Bool {
        do {
            return try values().allSatisfy { $0 == 0 }
        } catch {
            throw ModelFileError(.nonFiniteValue, "\(error)")
        }
    }
}
