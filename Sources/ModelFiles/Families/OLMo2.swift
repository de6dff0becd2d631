extension Family {
    static let olmo2 = Family(
        "olmo2", architecture: "olmo2",
        defaults: Defaults(contextLength: 2048, normEpsilon: 1e-5),
        read: { (c, fields) throws(ModelFileError) in
            c.departures.norms = .behind
            c.departures.headNorms = .together
            c.biasedProjections = try fields.attentionBiases()
            try c.setWindows(fields) { _ in false }
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.departures.norms = .behind
            c.departures.headNorms = .together
            try fields.refuseWindow()
        })
}
