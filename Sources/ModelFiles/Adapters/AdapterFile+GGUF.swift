internal import JSONTree
internal import Tensors

extension AdapterFile {
    /// Reads a GGUF LoRA as llama.cpp defines it: scale = alpha / rank, or 1 when alpha is 0.
    init(
        ggufPath path: String, base: ModelConfiguration, limits: AdapterLimits, reading: FileReading
    ) throws(ModelFileError) {
        let file = try GGUFFile(path: path, headerLimit: limits.header, reading: reading)
        func require(
            _ key: String, _ expected: [String], _ code: ModelFileError.Code
        ) throws(ModelFileError) {
            let value = file.metadata[key]?.string ?? "absent"
            guard !expected.contains(value) else { return }
            throw ModelFileError(
                code, "\(path): \(key) is \(value), expected \(expected.joined(separator: " or "))")
        }
        try require("general.type", ["adapter"], .unsupportedFile)
        try require("adapter.type", ["lora"], .unsupportedFile)
        guard let architecture = base.family.adapterArchitecture else {
            throw ModelFileError(
                .wrongBaseModel, "\(path): GGUF adapters are not for \(base.family.name) models")
        }
        try require("general.architecture", [architecture], .wrongBaseModel)
        for (key, value) in file.metadata where key.hasPrefix("adapter.") {
            switch key {
            case "adapter.type", "adapter.lora.alpha", "adapter.lora.task_name",
                "adapter.lora.prompt_prefix":
                continue
            default:
                if value.array?.isEmpty == true { continue }
                throw ModelFileError(.unsupportedField, "\(path): \(key) is not supported")
            }
        }
        try limits.check(file.tensors, source: path)
        let alpha = file.metadata["adapter.lora.alpha"]?.number ?? 0
        guard alpha.isFinite else {
            throw ModelFileError(.invalidField, "\(path): adapter.lora.alpha is not finite")
        }

        var halves: [Target: (a: StoredTensor?, b: StoredTensor?)] = [:]
        var norms: [Checkpoint.Role: StoredTensor] = [:]
        for (name, tensor) in file.tensors {
            // Of norms the converter writes the adapter's own.
            if let role = base.parts(ggufName: name).first?.role, role.isNorm {
                guard tensor.shape == base.shape(of: role) else {
                    throw ModelFileError(
                        .wrongShape, "\(path): tensor \(name) has shape \(tensor.shape)")
                }
                norms[role] = tensor
                continue
            }
            let isA = name.hasSuffix(".lora_a")
            let parts =
                isA || name.hasSuffix(".lora_b")
                ? base.parts(ggufName: String(name.dropLast(".lora_a".count))) : []
            // All of a module's projections read the same A.
            let halved = try (isA ? parts.map { TensorPart($0.role) } : parts)
                .split(tensor, source: path)
            for (role, var half) in halved {
                guard let target = Target(role), !target.isOfExperts else { continue }
                if isA {
                    // What reads a token has a row for each.
                    halves[target, default: (nil, nil)].a =
                        target == .embedding ? half.transposed : half
                } else {
                    half.rowOrder = base.ggufRowOrder(of: role)
                    halves[target, default: (nil, nil)].b = half
                }
            }
            guard halved.contains(where: { Target($0.role)?.isOfExperts == false }) else {
                throw ModelFileError(
                    .unexpectedTensor, "\(path): tensor \(name) is not part of a LoRA for this base"
                )
            }
        }
        guard !halves.isEmpty || !norms.isEmpty else {
            throw ModelFileError(.missingTensor, "\(path) holds no tensors")
        }
        var deltas: [Target: Delta] = [:]
        for (target, (a, b)) in halves {
            guard let a, let b else {
                let found = a ?? b
                throw ModelFileError(
                    .missingTensor,
                    "\(path): tensor \(found?.name ?? "") lacks its \(a == nil ? "lora_a" : "lora_b")"
                )
            }
            guard a.shape.count == 2 else {
                throw ModelFileError(.wrongShape, "\(path): tensor \(a.name) has shape \(a.shape)")
            }
            let scale = alpha == 0 ? 1 : Float(alpha) / Float(a.rowCount)
            let delta = Delta(a: a, b: b, scale: scale)
            try AdapterFile.checkShapes(
                delta, of: target, base: base, limits: limits, source: path, trainedOn: nil)
            deltas[target] = delta
        }
        guard !(base.tiesEmbeddings && deltas[.head] != nil) else {
            throw ModelFileError(
                .unsupportedField,
                "\(path): a change of output.weight is not supported where the head is the embedding"
            )
        }
        self.path = path
        self.deltas = deltas
        replaced = norms
        baseModelName = file.metadata["general.base_model.0.name"]?.string
    }
}
