internal import Foundation
internal import JSONTree
internal import Tensors

extension AdapterFile {
    /// Reads a folder with `adapter_config.json` and `adapter_model.safetensors`.
    init(folder: String, base: ModelConfiguration, limits: AdapterLimits) throws(ModelFileError) {
        let configPath = folder + "/adapter_config.json"
        guard FileManager.default.fileExists(atPath: configPath) else {
            throw ModelFileError(
                .missingFile, "\(folder) has no adapter_config.json; it is not a PEFT adapter")
        }
        let configuration = try PEFTConfiguration(try readJSON(configPath), source: configPath)
        let tensorPath = folder + "/adapter_model.safetensors"
        guard FileManager.default.fileExists(atPath: tensorPath) else {
            if FileManager.default.fileExists(atPath: folder + "/adapter_model.bin") {
                throw ModelFileError(
                    .pickleRefused,
                    "\(folder)/adapter_model.bin is a pickle, which can run code and is never read; "
                        + "save the adapter with safe_serialization=True")
            }
            throw ModelFileError(.missingFile, "\(folder) has no adapter_model.safetensors")
        }
        let tensors = try SafetensorsFile(path: tensorPath).tensors
        guard tensors.values.reduce(0, { $0 + $1.byteRange.count }) <= limits.byteCount else {
            throw ModelFileError(
                .limitExceeded, "\(folder) is larger than \(limits.byteCount) bytes")
        }
        var parts: [Target: Parts] = [:]
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            guard let (target, part) = Parts.place(of: name, base: base) else {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(folder): tensor \(name) is not part of a LoRA for this base")
            }
            parts[target, default: Parts()][keyPath: part] = tensor
        }
        try AdapterFile.checkTargets(configuration, base: base, source: configPath)

        var deltas: [Target: Delta] = [:]
        for target in AdapterFile.targets(of: base) {
            let module = target.moduleName
            let expected = configuration.targets.contains(module)
            guard let found = parts[target] else {
                if expected {
                    throw ModelFileError(
                        .missingTensor,
                        "\(folder): target_modules names \(module), but the file has no tensors for it"
                    )
                }
                continue
            }
            guard expected else {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(folder): there are tensors for \(module), which the configuration does not target"
                )
            }
            let delta = try found.delta(of: module, configuration, source: folder)
            try AdapterFile.checkShapes(
                delta, of: target, base: base, limits: limits, source: folder)
            guard delta.rank == configuration.rank(of: module) else {
                throw ModelFileError(
                    .rankMismatch,
                    "\(folder): \(module) has rank \(delta.rank) in the file and \(configuration.rank(of: module)) in the configuration"
                )
            }
            deltas[target] = delta
        }
        guard !deltas.isEmpty else {
            throw ModelFileError(
                .missingTensor, "\(folder): target_modules matches nothing in this base")
        }
        path = folder
        self.deltas = deltas
        baseModelName = configuration.baseModelName
        normalizedConfiguration = AdapterFile.normalizedConfiguration(of: deltas)
    }

    static func targets(of base: ModelConfiguration) -> [Target] {
        (0..<base.layerCount).flatMap { layer in
            Projection.allCases.map { Target(layer: layer, projection: $0) }
        }
    }

    /// Refuses configurations that target modules which are not projections: embeddings and heads,
    /// whose adapters are not supported, and norms, which PEFT cannot adapt either.
    private static func checkTargets(
        _ configuration: PEFTConfiguration, base: ModelConfiguration, source: String
    ) throws(ModelFileError) {
        var others = ["model.embed_tokens", "lm_head", "model.norm", "model", "model.layers"]
        for layer in 0..<base.layerCount {
            others += ["", ".self_attn", ".mlp", ".input_layernorm", ".post_attention_layernorm"]
                .map { "model.layers.\(layer)\($0)" }
        }
        for module in others where configuration.targets.contains(module) {
            throw ModelFileError(
                .unsupportedField,
                "\(source): target_modules matches \(module); supported are the seven projections of each layer"
            )
        }
    }

    /// Equal for adapters that compute the same from the same tensors.
    static func normalizedConfiguration(of deltas: [Target: Delta]) -> JSON {
        .array(
            deltas.sorted { $0.key < $1.key }.map { target, delta in
                [
                    "module": .string(target.moduleName), "rank": .integer(delta.rank),
                    "scale": .number(Double(delta.scale)),
                ]
            })
    }
}

/// The tensors of one module while they are gathered.
private struct Parts {
    var a: StoredTensor?
    var b: StoredTensor?
    var bias: StoredTensor?
    var magnitude: StoredTensor?

    private static let suffixes: [(String, any WritableKeyPath<Parts, StoredTensor?> & Sendable)] =
        [
            (".lora_A.weight", \.a), (".lora_B.weight", \.b), (".lora_B.bias", \.bias),
            (".lora_magnitude_vector", \.magnitude),
        ]

    /// Which module's which part a tensor is, by its name.
    static func place(
        of name: String, base: ModelConfiguration
    ) -> (AdapterFile.Target, WritableKeyPath<Parts, StoredTensor?>)? {
        let prefix = "base_model.model.model.layers."
        guard name.hasPrefix(prefix),
            let (suffix, part) = suffixes.first(where: { name.hasSuffix($0.0) })
        else { return nil }
        let module = name.dropFirst(prefix.count).dropLast(suffix.count)
        guard let dot = module.firstIndex(of: "."), let layer = Int(module[..<dot]),
            String(layer) == module[..<dot], (0..<base.layerCount).contains(layer),
            let projection = Projection(rawValue: String(module[module.index(after: dot)...]))
        else { return nil }
        return (AdapterFile.Target(layer: layer, projection: projection), part)
    }

    func delta(
        of module: String, _ configuration: PEFTConfiguration, source: String
    ) throws(ModelFileError) -> AdapterFile.Delta {
        func missing(_ part: String) -> ModelFileError {
            ModelFileError(
                .missingTensor, "\(source): base_model.model.\(module).\(part) is missing")
        }
        guard let a else { throw missing("lora_A.weight") }
        guard let b else { throw missing("lora_B.weight") }
        if configuration.hasBias, bias == nil { throw missing("lora_B.bias") }
        if configuration.usesDoRA, magnitude == nil { throw missing("lora_magnitude_vector") }
        for (tensor, wanted) in [
            (bias, configuration.hasBias), (magnitude, configuration.usesDoRA),
        ] {
            if let tensor, !wanted {
                throw ModelFileError(
                    .unexpectedTensor,
                    "\(source): the configuration does not call for tensor \(tensor.name)")
            }
        }
        guard a.shape.count == 2 else {
            throw ModelFileError(.wrongShape, "\(source): tensor \(a.name) has shape \(a.shape)")
        }
        return AdapterFile.Delta(
            a: a, b: b, bias: bias, magnitude: magnitude, scale: configuration.scale(of: module))
    }
}
