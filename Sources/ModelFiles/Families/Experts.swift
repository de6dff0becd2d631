extension Family {
    static let qwen3MoE = Family(
        "qwen3_moe", architecture: "qwen3moe", expertNames: ExpertNames(),
        defaults: Defaults(contextLength: 32_768, keyValueHeadCount: 4),
        read: { (c, fields) throws(ModelFileError) in
            c.departures.headNorms = .each
            c.biasedProjections = try fields.attentionBiases()
            try c.readLateWindows(fields)
            var experts = Departures.Experts(
                // transformers 5 writes the second name.
                count: try fields.integer(
                    "num_experts", default: try fields.integer("num_local_experts", default: 128)),
                perToken: try fields.integer("num_experts_per_tok", default: 8),
                width: try fields.integer("moe_intermediate_size", default: 768))
            experts.normalizes = try fields.bool("norm_topk_prob", default: false)
            let step = try fields.integer("decoder_sparse_step", default: 1)
            guard step > 0 else {
                throw fields.unsupported(
                    "decoder_sparse_step", "\(step)", supported: "numbers above 0")
            }
            let dense = try fields.integers("mlp_only_layers") ?? []
            experts.denseLayers = Set(
                c.layers.filter { dense.contains($0) || ($0 + 1) % step != 0 })
            c.departures.experts = experts
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.departures.headNorms = .each
            try fields.refuseWindow()
            c.departures.experts = try fields.experts(
                width: try fields.integer("expert_feed_forward_length"))
        })

    static let mixtral = Family(
        // GGUF calls it llama.
        "mixtral", architecture: nil, adapterArchitecture: "llama", interleavesHalves: true,
        expertNames: ExpertNames(
            router: "block_sparse_moe.gate", experts: "block_sparse_moe.experts", gate: "w1",
            up: "w3", down: "w2"),
        defaults: Defaults(
            contextLength: 131_072, keyValueHeadCount: 8, normEpsilon: 1e-5, ropeTheta: 1e6),
        read: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = []
            c.slidingWindow = try fields.window(default: nil)
            try c.setWindows(fields) { _ in true }
            c.departures.experts = Departures.Experts(
                count: try fields.integer("num_local_experts", default: 8),
                perToken: try fields.integer("num_experts_per_tok", default: 2),
                width: c.intermediateSize)
        })
}

extension GGUFFields {
    /// - Parameter width: outputs of an expert's gate.
    func experts(width: Int) throws(ModelFileError) -> Departures.Experts {
        for name in [
            "expert_shared_count", "expert_group_count", "leading_dense_block_count",
        ] where try integer(name, default: 0) != 0 {
            throw ModelFileError(.unsupportedField, "\(file.path): \(architecture).\(name)")
        }
        // 1 is softmax over all.
        for name in ["expert_weights_scale", "expert_gating_func"]
        where ![0, 1].contains(try number(name, default: 0)) {
            throw ModelFileError(.unsupportedField, "\(file.path): \(architecture).\(name)")
        }
        guard try value("expert_weights_norm", \.bool, default: true) else {
            throw ModelFileError(
                .unsupportedField, "\(file.path): \(architecture).expert_weights_norm")
        }
        return Departures.Experts(
            count: try integer("expert_count"), perToken: try integer("expert_used_count"),
            width: width)
    }
}

extension ModelConfiguration {
    package func hasExperts(layer: Int) -> Bool {
        departures.experts.map { !$0.denseLayers.contains(layer) } ?? false
    }

    /// The projections that all tokens take.
    package func projections(layer: Int) -> [Projection] {
        hasExperts(layer: layer)
            ? [.query, .key, .value, .output] : Projection.allCases
    }

    /// Router and experts of a layer.
    func expertRoles(layer: Int) -> [Checkpoint.Role] {
        guard let experts = departures.experts, hasExperts(layer: layer) else { return [] }
        return [.router(layer: layer)]
            + (0..<experts.count).flatMap { expert in
                Projection.ofExperts.map { .expert(layer: layer, expert, $0) }
            }
    }
}

extension Projection {
    package static let ofExperts: [Projection] = [.gate, .up, .down]
}
