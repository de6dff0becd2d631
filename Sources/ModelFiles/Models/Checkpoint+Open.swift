internal import Foundation
internal import JSONTree
package import Tensors

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
        var configuration = try ModelConfiguration(huggingFace: config, source: configPath)
        let stored = try Checkpoint.readTensors(folder: folder)
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
            guard let role = Role(huggingFaceName: name, layerCount: configuration.layerCount)
            else {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(folder): tensor \(name) does not belong to a \(configuration.family) model")
            }
            named[role] = tensor
        }
        if configuration.family == .mistral, configuration.slidingWindow == nil {
            configuration.windowedLayers = configuration.windowedLayers.map { _ in false }
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

    private static func readTensors(
        folder: String
    ) throws(ModelFileError) -> [String: StoredTensor] {
        let single = folder + "/model.safetensors"
        if FileManager.default.fileExists(atPath: single) {
            return try SafetensorsFile(path: single).tensors
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
                files[fileName] = try SafetensorsFile(path: folder + "/" + fileName)
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
        for (name, var tensor) in file.tensors where name != "rope_freqs.weight" {
            guard let role = Role(ggufName: name, layerCount: configuration.layerCount) else {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(ggufPath): tensor \(name) does not belong to a \(configuration.family) model"
                )
            }
            tensor.rowOrder = configuration.ggufRowOrder(of: role)
            named[role] = tensor
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

extension ModelConfiguration {
    /// How llama.cpp's conversion leaves the rows of a tensor: it interleaves the rotary halves of
    /// the Llama family's queries and keys.
    package func ggufRowOrder(of role: Checkpoint.Role) -> StoredTensor.RowOrder {
        guard family == .llama || family == .mistral else { return .stored }
        switch role {
        case .weight(_, .query), .weight(_, .key), .bias(_, .query), .bias(_, .key):
            return .interleavedHalves(headDimension: headDimension)
        default: return .stored
        }
    }
}

extension Checkpoint.Role {
    /// Hugging Face's name of the tensor: `model.layers.3.self_attn.q_proj.weight` and its like.
    package var name: String {
        func inLayer(_ layer: Int, _ part: String) -> String { "model.layers.\(layer).\(part)" }
        return switch self {
        case .embedding: "model.embed_tokens.weight"
        case .finalNorm: "model.norm.weight"
        case .head: "lm_head.weight"
        case .attentionNorm(let layer): inLayer(layer, "input_layernorm.weight")
        case .feedForwardNorm(let layer): inLayer(layer, "post_attention_layernorm.weight")
        case .queryNorm(let layer): inLayer(layer, "self_attn.q_norm.weight")
        case .keyNorm(let layer): inLayer(layer, "self_attn.k_norm.weight")
        case .weight(let layer, let projection): inLayer(layer, "\(projection.rawValue).weight")
        case .bias(let layer, let projection): inLayer(layer, "\(projection.rawValue).bias")
        }
    }

    /// All that a model may have.
    package static func all(layerCount: Int) -> [Self] {
        [.embedding]
            + (0..<layerCount).flatMap { layer in
                [.attentionNorm(layer: layer), .feedForwardNorm(layer: layer)]
                    + [.queryNorm(layer: layer), .keyNorm(layer: layer)]
                    + Projection.allCases.flatMap {
                        [.weight(layer: layer, $0), .bias(layer: layer, $0)]
                    }
            } + [.finalNorm, .head]
    }

    /// `model.layers.3.self_attn.q_proj.weight` and its like.
    package init?(huggingFaceName name: String, layerCount: Int) {
        switch name {
        case "model.embed_tokens.weight": self = .embedding
        case "model.norm.weight": self = .finalNorm
        case "lm_head.weight": self = .head
        default:
            guard let (layer, part) = Self.layer(of: name, prefix: "model.layers.", layerCount)
            else {
                return nil
            }
            switch part {
            case "input_layernorm.weight": self = .attentionNorm(layer: layer)
            case "post_attention_layernorm.weight": self = .feedForwardNorm(layer: layer)
            case "self_attn.q_norm.weight": self = .queryNorm(layer: layer)
            case "self_attn.k_norm.weight": self = .keyNorm(layer: layer)
            default:
                guard let dot = part.lastIndex(of: "."),
                    let projection = Projection(rawValue: String(part[..<dot]))
                else { return nil }
                switch part[dot...] {
                case ".weight": self = .weight(layer: layer, projection)
                case ".bias": self = .bias(layer: layer, projection)
                default: return nil
                }
            }
        }
    }

    /// `blk.3.attn_q.weight` and its like.
    package init?(ggufName name: String, layerCount: Int) {
        switch name {
        case "token_embd.weight": self = .embedding
        case "output_norm.weight": self = .finalNorm
        case "output.weight": self = .head
        default:
            guard let (layer, part) = Self.layer(of: name, prefix: "blk.", layerCount) else {
                return nil
            }
            switch part {
            case "attn_norm.weight": self = .attentionNorm(layer: layer)
            case "ffn_norm.weight": self = .feedForwardNorm(layer: layer)
            case "attn_q_norm.weight": self = .queryNorm(layer: layer)
            case "attn_k_norm.weight": self = .keyNorm(layer: layer)
            default:
                let names: [(String, Projection)] = [
                    ("attn_q", .query), ("attn_k", .key), ("attn_v", .value),
                    ("attn_output", .output), ("ffn_gate", .gate), ("ffn_up", .up),
                    ("ffn_down", .down),
                ]
                guard let dot = part.lastIndex(of: "."),
                    let projection = names.first(where: { $0.0 == part[..<dot] })?.1
                else { return nil }
                switch part[dot...] {
                case ".weight": self = .weight(layer: layer, projection)
                case ".bias": self = .bias(layer: layer, projection)
                default: return nil
                }
            }
        }
    }

    /// Splits `prefix3.rest` into 3 and rest, for layers that exist.
    private static func layer(
        of name: String, prefix: String, _ layerCount: Int
    ) -> (Int, Substring)? {
        guard name.hasPrefix(prefix) else { return nil }
        let rest = name.dropFirst(prefix.count)
        guard let dot = rest.firstIndex(of: "."), let layer = Int(rest[..<dot]),
            String(layer) == rest[..<dot], layer >= 0, layer < layerCount
        else { return nil }
        return (layer, rest[rest.index(after: dot)...])
    }
}
