extension Family {
    static let seedOSS = Family(
        "seed_oss", architecture: "seed_oss",
        ggufNames: ["post_attention_norm.weight": "ffn_norm.weight"],
        defaults: Defaults(contextLength: 524_288, keyValueHeadCount: 8, headDimension: 128),
        read: { (c, fields) throws(ModelFileError) in
            // An absent one is transformers' default, a null one follows from the others.
            if fields.isNull("head_dim"), c.headCount > 0 {
                c.headDimension = c.hiddenSize / c.headCount
            }
            c.biasedProjections = try fields.seedBiases()
            // Transformers obeys these in any decoder's configuration.
            for name in ["sliding_window", "attention_chunk_size"] {
                try fields.refuse(name, because: "Seed-OSS's tokens see all before them")
            }
            try c.setWindows(fields) { _ in false }
        })
}

extension Fields {
    /// The output projection's is asked for by itself.
    fileprivate func seedBiases() throws(ModelFileError) -> Set<Projection> {
        var biased: Set<Projection> = []
        if try bool("attention_bias", default: true) { biased.formUnion([.query, .key, .value]) }
        if try bool("attention_out_bias", default: false) { biased.insert(.output) }
        if try bool("mlp_bias", default: false) { biased.formUnion([.gate, .up, .down]) }
        return biased
    }
}
