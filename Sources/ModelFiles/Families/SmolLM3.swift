extension Family {
    static let smollm3 = Family(
        "smollm3", architecture: "smollm3", interleavesHalves: true,
        defaults: Defaults(
            contextLength: 32_768, keyValueHeadCount: 4, ropeTheta: 2_000_000,
            tiesEmbeddings: true),
        read: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = try fields.biases()
            let interval = try fields.integer("no_rope_layer_interval", default: 4)
            guard interval > 0 else {
                throw fields.unsupported(
                    "no_rope_layer_interval", "\(interval)", supported: "numbers above 0")
            }
            // Transformers' field has a one for each layer that is rotated.
            let rotated = try fields.integers("no_rope_layers", count: c.layerCount)
            c.departures.unrotatedLayers = Set(
                c.layers.filter { layer in
                    rotated.map { $0[layer] == 0 } ?? ((layer + 1) % interval == 0)
                })
            if try fields.bool("use_sliding_window", default: false) {
                c.slidingWindow = try fields.window(default: nil)
            }
            let unrotated = c.departures.unrotatedLayers
            try c.setWindows(fields) { unrotated.contains($0) }
        },
        // llama.cpp knows of no other interval.
        readGGUF: { (c, fields) throws(ModelFileError) in
            try fields.refuseWindow()
            c.departures.unrotatedLayers = Set(c.layers.filter { ($0 + 1) % 4 == 0 })
        })
}
