package import Tensors

/// What a tensor of a file is in the model, or some of its rows are.
package struct TensorPart: Sendable {
    package let role: Checkpoint.Role
    /// Nil for all of them.
    package let rows: Range<Int>?

    init(_ role: Checkpoint.Role, rows: Range<Int>? = nil) {
        self.role = role
        self.rows = rows
    }
}

extension Sequence<TensorPart> {
    /// The parts of a tensor that holds them and nothing else.
    ///
    /// - Throws: `ModelFileError` with `wrong_shape` where several parts have other rows than the tensor.
    func split(
        _ tensor: StoredTensor, source: String
    ) throws(ModelFileError) -> [(role: Checkpoint.Role, tensor: StoredTensor)] {
        var parts: [(Checkpoint.Role, StoredTensor)] = []
        let count = compactMap(\.rows?.upperBound).max()
        // Experts are stacked, projections lie one under the other.
        let experts = filter { if case .expert = $0.role { $0.rows != nil } else { false } }.count
        let shape = tensor.shape
        let fits =
            experts > 0
            ? shape.count == 3 && shape[0] == experts && tensor.rowCount == count
            : count == nil || shape.count <= 2 && shape.first == count
        for part in self {
            guard let rows = part.rows else {
                parts.append((part.role, tensor))
                continue
            }
            guard fits, let slice = tensor.rows(rows)
            else {
                throw ModelFileError(
                    .wrongShape,
                    "\(source): tensor \(tensor.name) has shape \(tensor.shape), the configuration says \(count ?? 0) rows"
                )
            }
            parts.append((part.role, slice))
        }
        return parts
    }
}

/// What files call the parts of a model.
extension ModelConfiguration {
    /// Hugging Face's name of a tensor: `model.layers.3.self_attn.q_proj.weight` and its like.
    package func name(of role: Checkpoint.Role) -> String {
        switch role {
        case .attentionNorm(let layer), .feedForwardNorm(let layer),
            .attentionOutputNorm(let layer), .feedForwardOutputNorm(let layer),
            .queryNorm(let layer), .keyNorm(let layer):
            norms(layer).first { $0.role == role }.map { "model.layers.\(layer).\($0.name).weight" }
                ?? role.name
        case .weight(let layer, let projection):
            "model.layers.\(layer).\(moduleName(of: projection)).weight"
        case .router(let layer):
            "model.layers.\(layer).\(family.expertNames?.router ?? "mlp.gate").weight"
        case .expert(let layer, let expert, let projection):
            family.expertNames.map {
                "model.layers.\(layer).\($0.experts).\(expert).\($0.name(of: projection)).weight"
            } ?? role.name
        default: role.name
        }
    }

    /// The module of a layer that has a projection's weights, which may be others' too.
    package func moduleName(of projection: Projection) -> String {
        (family.fusesProjections ? projection.site.fusedName : nil) ?? projection.rawValue
    }

    /// Hugging Face's name of the module that an adapter changes.
    package func moduleName(of target: AdapterFile.Target) -> String {
        String(name(of: target.role).dropLast(".weight".count))
    }

    /// All tensors that a model of any family may have, but for experts, which adapters leave alone.
    package var roles: [Checkpoint.Role] {
        [.embedding]
            + (0..<layerCount).flatMap { layer in
                Checkpoint.Role.norms(layer: layer)
                    + Projection.allCases.flatMap {
                        [.weight(layer: layer, $0), .bias(layer: layer, $0)]
                    }
            } + [.finalNorm, .head]
    }

    /// What a tensor holds, by Hugging Face's name; nothing where no model of the family has such a one.
    package func parts(named name: String) -> [TensorPart] {
        switch name {
        case "model.embed_tokens.weight": return [TensorPart(.embedding)]
        case "model.norm.weight": return [TensorPart(.finalNorm)]
        case "lm_head.weight": return [TensorPart(.head)]
        default: break
        }
        guard let (layer, part) = layer(of: name, prefix: "model.layers.") else { return [] }
        if let norm = norms(layer).first(where: { part == $0.name + ".weight" }) {
            return [TensorPart(norm.role)]
        }
        if let names = family.expertNames, hasExperts(layer: layer) {
            if part == names.router + ".weight" { return [TensorPart(.router(layer: layer))] }
            let path = part.split(separator: ".")
            if part.hasPrefix(names.experts + "."), part.hasSuffix(".weight"), path.count >= 3,
                let expert = index(path[path.count - 3]), expert < departures.experts?.count ?? 0,
                let projection = names.projection(path[path.count - 2]),
                part == "\(names.experts).\(expert).\(names.name(of: projection)).weight"
            {
                return [TensorPart(.expert(layer: layer, expert, projection))]
            }
        }
        return parts(layer, part) { name in
            let named = Projection.allCases.filter { moduleName(of: $0) == name }
            return named.isEmpty ? nil : named
        }
    }

    /// The shape of a tensor by Hugging Face's name; nil where a model of the family has no such one.
    func shape(named name: String) -> [Int]? {
        let shapes = parts(named: name).compactMap { shape(of: $0.role) }
        guard let first = shapes.first else { return nil }
        return [shapes.reduce(0) { $0 + ($1.first ?? 0) }] + first.dropFirst()
    }

    /// Whether the role is a bias that the configuration rules out. Writers of quantized checkpoints put zeros there.
    func lacks(_ role: Checkpoint.Role) -> Bool {
        guard case .bias(_, let projection) = role, let biasedProjections else { return false }
        return !biasedProjections.contains(projection)
    }

    /// The same by GGUF's name: `blk.3.attn_q.weight` and its like.
    package func parts(ggufName name: String) -> [TensorPart] {
        switch name {
        case "token_embd.weight": return [TensorPart(.embedding)]
        case "output_norm.weight": return [TensorPart(.finalNorm)]
        case "output.weight": return [TensorPart(.head)]
        default: break
        }
        guard let (layer, stored) = layer(of: name, prefix: "blk.") else { return [] }
        let part = family.ggufNames[String(stored)].map { $0[...] } ?? stored
        switch part {
        case "attn_norm.weight": return [TensorPart(.attentionNorm(layer: layer))]
        case "post_attention_norm.weight": return [TensorPart(.attentionOutputNorm(layer: layer))]
        case "ffn_norm.weight": return [TensorPart(.feedForwardNorm(layer: layer))]
        case "post_ffw_norm.weight": return [TensorPart(.feedForwardOutputNorm(layer: layer))]
        case "attn_q_norm.weight": return [TensorPart(.queryNorm(layer: layer))]
        case "attn_k_norm.weight": return [TensorPart(.keyNorm(layer: layer))]
        default: break
        }
        if hasExperts(layer: layer) {
            switch part {
            case "ffn_gate_inp.weight": return [TensorPart(.router(layer: layer))]
            case "ffn_gate_exps.weight": return experts(layer, .gate)
            case "ffn_up_exps.weight": return experts(layer, .up)
            case "ffn_down_exps.weight": return experts(layer, .down)
            default: break
            }
        }
        var names: [String: [Projection]] = ["attn_output": [.output], "ffn_down": [.down]]
        if family.fusesProjections {
            names["attn_qkv"] = Projection.Site.attentionInput.projections
            names["ffn_up"] = Projection.Site.feedForwardInput.projections
        } else {
            let single: [String: Projection] = [
                "attn_q": .query, "attn_k": .key, "attn_v": .value, "ffn_gate": .gate,
                "ffn_up": .up,
            ]
            names.merge(single.mapValues { [$0] }) { first, _ in first }
        }
        return parts(layer, part) { names[$0] }
    }

    /// All experts' weights, one under the other.
    private func experts(_ layer: Int, _ projection: Projection) -> [TensorPart] {
        guard let experts = departures.experts else { return [] }
        let rows = projection == .down ? hiddenSize : experts.width
        return (0..<experts.count).map {
            TensorPart(
                .expert(layer: layer, $0, projection), rows: $0 * rows..<($0 + 1) * rows)
        }
    }

    /// - Parameter projections: of a module, one under the other.
    private func parts(
        _ layer: Int, _ part: Substring, _ projections: (String) -> [Projection]?
    ) -> [TensorPart] {
        guard let dot = part.lastIndex(of: "."), [".weight", ".bias"].contains(part[dot...]),
            let projections = projections(String(part[..<dot]))
        else { return [] }
        var first = 0
        return projections.map { projection in
            let rows = first..<first + outputCount(of: projection)
            first = rows.upperBound
            return TensorPart(
                part[dot...] == ".weight"
                    ? .weight(layer: layer, projection) : .bias(layer: layer, projection),
                rows: projections.count > 1 ? rows : nil)
        }
    }

    /// The norms of a layer, by the names of their modules.
    package func norms(_ layer: Int) -> [(name: String, role: Checkpoint.Role)] {
        let places: [(String, Checkpoint.Role)] =
            switch departures.norms {
            case .before:
                [
                    ("input_layernorm", .attentionNorm(layer: layer)),
                    ("post_attention_layernorm", .feedForwardNorm(layer: layer)),
                ]
            case .behind:
                [
                    ("post_attention_layernorm", .attentionOutputNorm(layer: layer)),
                    ("post_feedforward_layernorm", .feedForwardOutputNorm(layer: layer)),
                ]
            case .both:
                [
                    ("input_layernorm", .attentionNorm(layer: layer)),
                    ("post_attention_layernorm", .attentionOutputNorm(layer: layer)),
                    ("pre_feedforward_layernorm", .feedForwardNorm(layer: layer)),
                    ("post_feedforward_layernorm", .feedForwardOutputNorm(layer: layer)),
                ]
            }
        return places
            + [
                ("self_attn.q_norm", .queryNorm(layer: layer)),
                ("self_attn.k_norm", .keyNorm(layer: layer)),
            ]
    }

    /// Splits `prefix3.rest` into 3 and rest, for layers that exist.
    private func layer(of name: String, prefix: String) -> (Int, Substring)? {
        guard name.hasPrefix(prefix) else { return nil }
        let rest = name.dropFirst(prefix.count)
        guard let dot = rest.firstIndex(of: "."), let layer = index(rest[..<dot]),
            layer < layerCount
        else { return nil }
        return (layer, rest[rest.index(after: dot)...])
    }

    /// A number as names have it, without signs or zeros in front.
    private func index(_ text: Substring) -> Int? {
        guard let index = Int(text), index >= 0, String(index) == text else { return nil }
        return index
    }

    /// A tensor as a Hugging Face file has it, with what the family's code adds to it.
    package func completed(_ tensor: StoredTensor, as role: Checkpoint.Role) -> StoredTensor {
        guard role.isNorm else { return tensor }
        var tensor = tensor
        tensor.offset = departures.normOffset
        return tensor
    }

    /// How llama.cpp's conversion leaves the rows of a tensor: it interleaves the rotary halves of
    /// some families' queries and keys.
    package func ggufRowOrder(of role: Checkpoint.Role) -> StoredTensor.RowOrder {
        guard family.interleavesHalves else { return .stored }
        switch role {
        case .weight(_, .query), .weight(_, .key), .bias(_, .query), .bias(_, .key):
            return .interleavedHalves(headDimension: headDimension)
        default: return .stored
        }
    }
}

extension Checkpoint.Role {
    /// The same for all families: Llama's name where Llama has such a tensor.
    package var name: String {
        switch self {
        case .embedding: "model.embed_tokens.weight"
        case .finalNorm: "model.norm.weight"
        case .head: "lm_head.weight"
        case .weight(let layer, let projection):
            "model.layers.\(layer).\(projection.rawValue).weight"
        case .bias(let layer, let projection): "model.layers.\(layer).\(projection.rawValue).bias"
        case .attentionNorm(let layer): "model.layers.\(layer).input_layernorm.weight"
        case .feedForwardNorm(let layer): "model.layers.\(layer).post_attention_layernorm.weight"
        case .attentionOutputNorm(let layer): "model.layers.\(layer).attention_output_norm.weight"
        case .feedForwardOutputNorm(let layer):
            "model.layers.\(layer).feedforward_output_norm.weight"
        case .router(let layer): "model.layers.\(layer).router.weight"
        case .expert(let layer, let expert, let projection):
            "model.layers.\(layer).experts.\(expert).\(projection.rawValue).weight"
        case .queryNorm(let layer): "model.layers.\(layer).self_attn.q_norm.weight"
        case .keyNorm(let layer): "model.layers.\(layer).self_attn.k_norm.weight"
        }
    }

    static func norms(layer: Int) -> [Self] {
        [
            .attentionNorm(layer: layer), .feedForwardNorm(layer: layer), .queryNorm(layer: layer),
            .keyNorm(layer: layer), .attentionOutputNorm(layer: layer),
            .feedForwardOutputNorm(layer: layer),
        ]
    }

    /// One row that multiplies others.
    package var isNorm: Bool {
        switch self {
        case .embedding, .head, .weight, .bias, .router, .expert: false
        default: true
        }
    }
}
