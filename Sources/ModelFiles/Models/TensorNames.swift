package import Tensors

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
        default: role.name
        }
    }

    /// All tensors that a model of any family may have.
    package var roles: [Checkpoint.Role] {
        [.embedding]
            + (0..<layerCount).flatMap { layer in
                Checkpoint.Role.norms(layer: layer)
                    + Projection.allCases.flatMap {
                        [.weight(layer: layer, $0), .bias(layer: layer, $0)]
                    }
            } + [.finalNorm, .head]
    }

    /// By Hugging Face's name.
    package func role(named name: String) -> Checkpoint.Role? {
        switch name {
        case "model.embed_tokens.weight": return .embedding
        case "model.norm.weight": return .finalNorm
        case "lm_head.weight": return .head
        default: break
        }
        guard let (layer, part) = layer(of: name, prefix: "model.layers.") else { return nil }
        if let norm = norms(layer).first(where: { part == $0.name + ".weight" }) {
            return norm.role
        }
        return role(layer, part) { Projection(rawValue: $0) }
    }

    /// By GGUF's name: `blk.3.attn_q.weight` and its like.
    package func role(ggufName name: String) -> Checkpoint.Role? {
        switch name {
        case "token_embd.weight": return .embedding
        case "output_norm.weight": return .finalNorm
        case "output.weight": return .head
        default: break
        }
        guard let (layer, part) = layer(of: name, prefix: "blk.") else { return nil }
        switch part {
        case "attn_norm.weight": return .attentionNorm(layer: layer)
        case "post_attention_norm.weight": return .attentionOutputNorm(layer: layer)
        case "ffn_norm.weight": return .feedForwardNorm(layer: layer)
        case "post_ffw_norm.weight": return .feedForwardOutputNorm(layer: layer)
        case "attn_q_norm.weight": return .queryNorm(layer: layer)
        case "attn_k_norm.weight": return .keyNorm(layer: layer)
        default: break
        }
        let names: [String: Projection] = [
            "attn_q": .query, "attn_k": .key, "attn_v": .value, "attn_output": .output,
            "ffn_gate": .gate, "ffn_up": .up, "ffn_down": .down,
        ]
        return role(layer, part) { names[$0] }
    }

    private func role(
        _ layer: Int, _ part: Substring, _ projection: (String) -> Projection?
    ) -> Checkpoint.Role? {
        guard let dot = part.lastIndex(of: "."), let projection = projection(String(part[..<dot]))
        else { return nil }
        switch part[dot...] {
        case ".weight": return .weight(layer: layer, projection)
        case ".bias": return .bias(layer: layer, projection)
        default: return nil
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
        guard let dot = rest.firstIndex(of: "."), let layer = Int(rest[..<dot]),
            String(layer) == rest[..<dot], layer >= 0, layer < layerCount
        else { return nil }
        return (layer, rest[rest.index(after: dot)...])
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
        case .embedding, .head, .weight, .bias: false
        default: true
        }
    }
}
