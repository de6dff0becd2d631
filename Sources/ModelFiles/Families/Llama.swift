extension Family {
    static let llama = Family(
        "llama", architecture: "llama", interleavesHalves: true,
        defaults: Defaults(contextLength: 2048),
        read: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = try fields.biases()
            try c.setWindows(fields) { _ in false }
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            try c.readWindow(fields)
            guard try fields.integer("expert_count", default: 0) > 0 else { return }
            c.family = .mixtral
            c.departures.experts = try fields.experts(width: c.intermediateSize)
        })

    static let mistral = Family(
        // GGUF calls it llama: without a window they are the same.
        "mistral", architecture: nil, adapterArchitecture: "llama", interleavesHalves: true,
        defaults: Defaults(contextLength: 131_072, keyValueHeadCount: 8),
        read: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = []
            // An absent window is transformers' default, a null one is none.
            c.slidingWindow = try fields.window(default: 4096)
            try c.setWindows(fields) { _ in true }
        })
}
