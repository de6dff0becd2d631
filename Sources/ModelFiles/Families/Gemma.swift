internal import Foundation
internal import Tensors

extension Family {
    static let gemma2 = Family(
        "gemma2", architecture: "gemma2",
        defaults: .gemma(contextLength: 8192),
        read: { (c, fields) throws(ModelFileError) in
            try c.beGemma(fields)
            c.departures.attentionCap = try fields.cap("attn_logit_softcapping", default: 50)
            c.departures.logitCap = try fields.cap("final_logit_softcapping", default: 30)
            c.slidingWindow = try fields.window(default: 4096)
            try c.setWindows(fields) { $0 % 2 == 0 }
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.beGemma()
            c.departures.attentionCap = try fields.cap("attn_logit_softcapping", default: 50)
            c.departures.logitCap = try fields.cap("final_logit_softcapping", default: 30)
            c.scaleAsTheLargest(layerCount: 46)
            c.slidingWindow = try fields.integer("attention.sliding_window", default: 4096)
            c.windowedLayers = c.layers.map { $0 % 2 == 0 }
        })

    static let gemma3 = Family(
        "gemma3_text", architecture: "gemma3",
        defaults: .gemma(contextLength: 131_072, ropeTheta: 1_000_000),
        read: { (c, fields) throws(ModelFileError) in
            try c.beGemma(fields)
            c.departures.headNorms = .each
            c.departures.attentionCap = try fields.cap("attn_logit_softcapping", default: 0)
            c.departures.logitCap = try fields.cap("final_logit_softcapping", default: 0)
            if try fields.bool("use_bidirectional_attention", default: false) {
                throw fields.unsupported(
                    "use_bidirectional_attention", "true", supported: "false")
            }
            c.slidingWindow = try fields.window(default: 4096)
            let pattern = try fields.integer("sliding_window_pattern", default: 6)
            try c.setWindows(fields) { pattern > 0 && ($0 + 1) % pattern != 0 }
            c.departures.windowedRope = try RopeParameters.ofWindows(fields, defaultTheta: 10_000)
        },
        readGGUF: { (c, fields) throws(ModelFileError) in
            c.beGemma()
            c.departures.headNorms = .each
            c.slidingWindow = try fields.integer("attention.sliding_window", default: 0)
            c.windowedLayers = c.layers.map { ($0 + 1) % 6 != 0 }
            c.scaleAsTheLargest(layerCount: 62)
            c.departures.windowedRope = RopeParameters(
                theta: Float(try fields.number("rope.freq_base_swa", default: 10_000)),
                scaling: .none)
        })
}

extension Family.Defaults {
    fileprivate static func gemma(contextLength: Int, ropeTheta: Double = 10_000) -> Self {
        Self(
            contextLength: contextLength, keyValueHeadCount: 4, headDimension: 256,
            ropeTheta: ropeTheta, tiesEmbeddings: true, activationField: "hidden_activation",
            activation: "gelu_pytorch_tanh")
    }
}

extension ModelConfiguration {
    /// What Gemma 2 and 3 share. GGUF files hold norms' weights whole.
    fileprivate mutating func beGemma(_ fields: Fields) throws(ModelFileError) {
        beGemma()
        biasedProjections = try fields.attentionBiases()
        let scalar = try fields.factor("query_pre_attn_scalar", default: 256)
        departures.attentionScale = 1 / scalar.squareRoot()
    }

    fileprivate mutating func beGemma() {
        departures.gate = .gelu
        departures.norms = .both
        departures.normOffset = 1
        departures.embeddingScale = Float(hiddenSize).squareRoot()
    }

    /// GGUF files do not say how the largest of a family scales attention; llama.cpp knows it by its layers.
    fileprivate mutating func scaleAsTheLargest(layerCount: Int) {
        guard self.layerCount == layerCount, headCount > 0 else { return }
        departures.attentionScale = 1 / Float(hiddenSize / headCount).squareRoot()
    }
}
