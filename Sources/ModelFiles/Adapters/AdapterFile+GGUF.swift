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
        // GGUF files of Mistral models say llama.
        let architecture = base.family.architecture ?? "llama"
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
        guard file.tensors.values.reduce(0, { $0 + $1.byteRange.count }) <= limits.byteCount else {
            throw ModelFileError(.limitExceeded, "\(path) is larger than \(limits.byteCount) bytes")
        }
        let alpha = file.metadata["adapter.lora.alpha"]?.number ?? 0
        guard alpha.isFinite else {
            throw ModelFileError(.invalidField, "\(path): adapter.lora.alpha is not finite")
        }

        var halves: [Target: (a: StoredTensor?, b: StoredTensor?)] = [:]
        for (name, tensor) in file.tensors {
            let isA = name.hasSuffix(".lora_a")
            let parts =
                isA || name.hasSuffix(".lora_b")
                ? base.parts(ggufName: String(name.dropLast(".lora_a".count))) : []
            // All of a module's projections read the same A.
            let halved = try (isA ? parts.map { TensorPart($0.role) } : parts)
                .split(tensor, source: path)
            for (role, var half) in halved {
                guard case .weight(let layer, let projection) = role else { continue }
                let target = Target.projection(layer: layer, projection)
                if isA {
                    halves[target, default: (nil, nil)].a = half
                } else {
                    half.rowOrder = base.ggufRowOrder(of: role)
                    halves[target, default: (nil, nil)].b = half
                }
            }
            guard halved.contains(where: { if case .weight = $0.role { true } else { false } })
            else {
                throw ModelFileError(
                    .unexpectedTensor, "\(path): tensor \(name) is not part of a LoRA for this base"
                )
            }
        }
        guard !halves.isEmpty else {
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
        self.path = path
        self.deltas = deltas
        baseModelName = file.metadata["general.base_model.0.name"]?.string
    }
}
