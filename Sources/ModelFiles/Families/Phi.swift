extension Family {
    /// Phi-3, 3.5 and 4. Projections that read the same input are one module.
    static let phi3 = Family(
        "phi3", architecture: "phi3", fusesProjections: true,
        defaults: Defaults(
            contextLength: 4096, normEpsilon: 1e-5, rotatesPartly: true,
            // What the first files call it.
            ropeTypeAliases: ["su": "longrope", "yarn": "longrope"]),
        read: { (c, fields) throws(ModelFileError) in
            try fields.refuse("head_dim", because: "Phi's heads divide the hidden size")
            c.biasedProjections = []
            c.slidingWindow = try fields.window(default: nil)
            try c.setWindows(fields) { _ in true }
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.biasedProjections = []
            try c.readWindow(fields)
        })
}
