extension Family {
    static let granite = Family(
        "granite", architecture: "granite", interleavesHalves: true,
        defaults: Defaults(contextLength: 2048),
        read: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = try fields.biases()
            try c.setWindows(fields) { _ in false }
            c.departures.embeddingScale = try fields.factor("embedding_multiplier", default: 1)
            c.departures.residualScale = try fields.factor("residual_multiplier", default: 1)
            c.departures.attentionScale = try fields.factor("attention_multiplier", default: 1)
            c.departures.logitScale = 1 / (try fields.factor("logits_scaling", default: 1))
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            try fields.refuseWindow()
            c.departures.embeddingScale = try fields.factor("embedding_scale", default: 1)
            c.departures.residualScale = try fields.factor("residual_scale", default: 1)
            c.departures.attentionScale = try fields.optionalFactor("attention.scale")
            c.departures.logitScale = 1 / (try fields.factor("logit_scale", default: 1))
        })
}
