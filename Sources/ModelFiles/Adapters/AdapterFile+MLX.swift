internal import Foundation
internal import JSONTree
internal import Tensors

extension AdapterFile {
    static let mlxFileName = "adapters.safetensors"

    /// Reads a folder as mlx-lm writes it: y += scale · (x A) B, both matrices on their sides beside PEFT's, and the scale as
    /// it stands. https://github.com/ml-explore/mlx-lm
    ///
    /// The configuration holds all options of the training; those of `lora_parameters` and what is trained count here.
    init(
        mlxFolder folder: String, base: Checkpoint, limits: AdapterLimits, reading: FileReading
    ) throws(ModelFileError) {
        let configPath = folder + "/adapter_config.json"
        guard !FileManager.default.fileExists(atPath: folder + "/adapter_model.safetensors") else {
            throw ModelFileError(
                .unsupportedFile,
                "\(folder) has \(AdapterFile.mlxFileName) and adapter_model.safetensors: which of them counts is not clear"
            )
        }
        guard FileManager.default.fileExists(atPath: configPath) else {
            throw ModelFileError(.missingFile, "\(folder) has no adapter_config.json")
        }
        guard base.configuration.departures.experts == nil else {
            throw ModelFileError(
                .unsupportedFile,
                "\(folder) is MLX's, which is not supported for models with experts")
        }
        let configuration = try MLXConfiguration(
            try readJSON(configPath, byteLimit: limits.configuration), source: configPath)
        let tensors = try SafetensorsFile(
            path: folder + "/" + AdapterFile.mlxFileName, headerLimit: limits.header,
            reading: reading
        ).tensors
        try limits.check(tensors, source: folder)
        var found: [Target: (a: StoredTensor?, b: StoredTensor?, m: StoredTensor?)] = [:]
        // The embedding's as they stand.
        var (tableA, tableB): (StoredTensor?, StoredTensor?)
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            guard let dot = name.lastIndex(of: "."),
                ["lora_a", "lora_b", "m"].contains(name[name.index(after: dot)...])
            else { throw AdapterFile.unexpected(tensor, folder) }
            let parts = base.configuration.parts(named: name[..<dot] + ".weight")
            guard !parts.isEmpty else { throw AdapterFile.unexpected(tensor, folder) }
            let isA = name.hasSuffix(".lora_a"), isM = name.hasSuffix(".m")
            guard let turned = isM ? tensor : tensor.transposed else {
                throw ModelFileError(
                    .wrongShape, "\(folder): tensor \(name) has shape \(tensor.shape)")
            }
            // All projections of a module read the same A.
            let halves = try (isA ? parts.map { TensorPart($0.role) } : parts)
                .split(turned, source: folder)
            for (role, own) in halves {
                // MLX has no head to change where the head is the embedding.
                guard let target = Target(role),
                    configuration.trains(target, of: base.configuration),
                    !(target == .head && base.configuration.tiesEmbeddings)
                else { throw AdapterFile.unexpected(tensor, folder) }
                if target == .embedding, !isM {
                    if isA { tableA = tensor } else { tableB = tensor }
                }
                switch name[name.index(after: dot)...] {
                case "lora_a": found[target, default: (nil, nil, nil)].a = own
                case "lora_b": found[target, default: (nil, nil, nil)].b = own
                default: found[target, default: (nil, nil, nil)].m = own
                }
            }
        }
        for target in Target.all(for: base.configuration)
        where configuration.trains(target, of: base.configuration) && found[target] == nil {
            throw ModelFileError(
                .missingTensor,
                "\(folder): \(base.configuration.moduleName(of: target)).lora_a is missing")
        }
        var deltas: [Target: Delta] = [:]
        for (target, (a, b, m)) in found {
            let module = base.configuration.moduleName(of: target)
            guard let a, let b, (m != nil) == configuration.usesDoRA else {
                throw ModelFileError(
                    .missingTensor,
                    "\(folder): \(module) lacks one of lora_a and lora_b, or has no m in a DoRA or one elsewhere"
                )
            }
            guard !(target == .embedding && m != nil) else {
                throw ModelFileError(
                    .unsupportedField,
                    "\(folder): a DoRA of \(module) is not supported: MLX has a magnitude for each token there"
                )
            }
            let delta = Delta(a: a, b: b, magnitude: m, scale: configuration.scale)
            try AdapterFile.checkShapes(
                delta, of: target, base: base.configuration, limits: limits, source: folder,
                trainedOn: configuration.model)
            guard delta.rank == configuration.rank else {
                throw ModelFileError(
                    .rankMismatch,
                    "\(folder): \(module) has rank \(delta.rank) in the file and \(configuration.rank) in the configuration"
                )
            }
            deltas[target] = delta
        }
        guard !deltas.isEmpty else {
            throw ModelFileError(.missingTensor, "\(folder) holds no tensors")
        }
        if base.configuration.tiesEmbeddings, let tableA, let tableB {
            // The head is the embedding, with its change: x · Bᵀ · Aᵀ.
            let head = Delta(a: tableB, b: tableA, scale: configuration.scale)
            try AdapterFile.checkShapes(
                head, of: .head, base: base.configuration, limits: limits, source: folder,
                trainedOn: configuration.model)
            deltas[.head] = head
        }
        path = folder
        self.deltas = deltas
        baseModelName = configuration.model
        try readText(folder, base: base, limits: limits)
    }

    private static func unexpected(_ tensor: StoredTensor, _ folder: String) -> ModelFileError {
        ModelFileError(
            .unexpectedTensor,
            "\(folder): tensor \(tensor.name) is no part of an MLX LoRA for this base")
    }
}

/// What mlx-lm's `adapter_config.json` says of the arithmetic.
private struct MLXConfiguration {
    let rank: Int
    let scale: Float
    let usesDoRA: Bool
    let model: String?
    /// Modules by their names in a layer, or whole; nil for all linear ones of the layers.
    private let keys: Set<String>?
    /// Counted from the last; all where it is not above 0.
    private let layerCount: Int

    init(_ config: JSON, source: String) throws(ModelFileError) {
        let fields = Fields(config: config, source: source)
        let type = try fields.string("fine_tune_type", default: "lora")
        guard type == "lora" || type == "dora" else {
            throw ModelFileError(
                .unsupportedPEFTType,
                "\(source): fine_tune_type is \(type)\(type == "full" ? ", a whole model and no adapter" : ""); supported: lora, dora"
            )
        }
        usesDoRA = type == "dora"
        for name in ["unsloth_mlx_lora_module_ranks", "unsloth_mlx_lora_module_scales"] {
            try fields.refuse(name, because: "give all modules one rank and one scale")
        }
        guard let section = fields.present("lora_parameters") else {
            throw ModelFileError(.invalidField, "\(source): lora_parameters is missing")
        }
        let parameters = Fields(config: section, source: "\(source), lora_parameters")
        for (name, value) in section.objectValue?.members ?? []
        where !["rank", "scale", "dropout", "keys", "alpha"].contains(name) && !value.isDefault {
            throw ModelFileError(
                .unknownField,
                "\(parameters.source): the field \(name) is not known, and it is set to \(value.text())"
            )
        }
        // Early versions divided it by the rank themselves.
        try parameters.refuse("alpha", because: "write scale, which is alpha / rank")
        rank = try parameters.integer("rank")
        scale = Float(try parameters.number("scale"))
        if let list = parameters.present("keys") {
            let names = list.arrayValue?.compactMap(\.stringValue) ?? []
            guard !names.isEmpty, names.count == list.arrayValue?.count else {
                throw ModelFileError(
                    .invalidField, "\(parameters.source): keys is no list of names")
            }
            keys = Set(names)
        } else {
            keys = nil
        }
        layerCount = try fields.integer("num_layers", default: 16)
        model = config["model"]?.stringValue
    }

    /// Whether the file has to have a change of it.
    func trains(_ target: AdapterFile.Target, of base: ModelConfiguration) -> Bool {
        let name = base.moduleName(of: target)
        guard case .projection(let layer, let projection) = target else {
            return keys?.contains(name) == true
                || keys?.contains(String(name.split(separator: ".").last ?? "")) == true
        }
        guard layerCount <= 0 || layer >= base.layerCount - layerCount else {
            return keys?.contains(name) == true
        }
        return keys.map { $0.contains(base.moduleName(of: projection)) || $0.contains(name) }
            ?? true
    }
}
