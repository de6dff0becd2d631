extension Family {
    static let qwen2 = Family(
        "qwen2", architecture: "qwen2",
        defaults: Defaults(contextLength: 32_768, keyValueHeadCount: 32),
        read: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = [.query, .key, .value]
            try c.readLateWindows(fields)
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = [.query, .key, .value]
            try c.readWindow(fields)
        })

    static let qwen3 = Family(
        "qwen3", architecture: "qwen3",
        defaults: Defaults(contextLength: 32_768, keyValueHeadCount: 32, headDimension: 128),
        read: { (c, fields) throws(ModelFileError) in
            c.departures.headNorms = .each
            c.biasedProjections = try fields.attentionBiases()
            try c.readLateWindows(fields)
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.departures.headNorms = .each
            try c.readWindow(fields)
        })
}

extension ModelConfiguration {
    /// Windows from some layer on, where they are used at all.
    mutating func readLateWindows(_ fields: Fields) throws(ModelFileError) {
        if try fields.bool("use_sliding_window", default: false) {
            slidingWindow = try fields.window(default: 4096)
        }
        let first = try fields.integer("max_window_layers", default: 28)
        try setWindows(fields) { $0 >= first }
    }
}
