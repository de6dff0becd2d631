/// What a decoder-only model is, whatever file it came from: everything the forward pass must know
/// besides the weights.
package struct ModelConfiguration: Sendable, Equatable {
    package var family: Family
    package var vocabularySize: Int
    package var hiddenSize: Int
    package var intermediateSize: Int
    package var layerCount: Int
    package var headCount: Int
    package var keyValueHeadCount: Int
    package var headDimension: Int
    package var normEpsilon: Float
    package var rope: RopeParameters
    /// The longest sequence the model was made for.
    package var contextLength: Int
    /// Positions that a token sees in layers with a window, itself included.
    package var slidingWindow: Int?
    /// Whether layer i has the window; none where it is empty.
    package var windowedLayers: [Bool] = []
    /// Whether the output head is the embedding matrix.
    package var tiesEmbeddings: Bool

    /// The projections with biases; nil for those that the file has biases of.
    package var biasedProjections: Set<Projection>?
    package var departures = Departures()

    package var layers: Range<Int> { 0..<max(0, min(layerCount, 1024)) }
    /// Of a head, how many dimensions rotate.
    package var rotaryDimension: Int { departures.rotaryDimension ?? headDimension }
    package var queryWidth: Int { headCount * headDimension }
    package var keyValueWidth: Int { keyValueHeadCount * headDimension }

    /// Weights of one layer that a token is multiplied with: it takes two operations for each.
    package var layerWeightCount: Int {
        let feedForward = departures.experts.map { 3 * $0.perToken * $0.width + $0.count }
        return hiddenSize
            * (2 * queryWidth + 2 * keyValueWidth + (feedForward ?? 3 * intermediateSize))
    }

    package func window(layer: Int) -> Int {
        !windowedLayers.isEmpty && windowedLayers[layer] ? slidingWindow ?? 0 : 0
    }

    /// Multiplies q · k.
    package var attentionScale: Float {
        departures.attentionScale ?? 1 / Float(headDimension).squareRoot()
    }
}

/// Rotary position embedding: base frequency and how it is stretched.
package struct RopeParameters: Sendable, Equatable {
    package enum Scaling: Sendable, Equatable {
        case none
        /// Every frequency divided by the factor.
        case linear(factor: Float)
        /// Llama 3's: long wavelengths divided by the factor, short ones kept, a ramp between.
        case llama3(factor: Float, lowFrequency: Float, highFrequency: Float, originalContext: Int)
        /// One divisor for each frequency, as GGUF files carry them.
        case divisors([Float])
        /// YaRN (https://arxiv.org/abs/2309.00071): frequencies that turn less than `slow` times over the original context
        /// are divided by the factor, those that turn more than `fast` times are kept, a ramp between.
        case yarn(Yarn)
        /// LongRoPE (https://arxiv.org/abs/2402.13753): a divisor for each frequency.
        case longrope(LongRope)
    }

    package struct LongRope: Sendable, Equatable {
        /// Where no sequence is longer than the original context, and else.
        package var (short, long): ([Float], [Float])
        package var originalContext: Int
        /// Multiplies cosines and sines.
        package var angleScale: Float

        /// What a factor asks of attention.
        static func scale(_ factor: Double, _ originalContext: Int) -> Double {
            factor <= 1
                ? 1
                : (1 + naturalLogarithm(factor) / naturalLogarithm(Double(originalContext)))
                    .squareRoot()
        }
    }

    package struct Yarn: Sendable, Equatable {
        package var factor: Float
        package var fast: Float = 32
        package var slow: Float = 1
        package var originalContext: Int
        /// Whether the ramp's ends are whole numbers.
        package var truncates = true
        /// Multiplies cosines and sines.
        package var angleScale: Float

        package init(factor: Float, originalContext: Int) {
            self.factor = factor
            self.originalContext = originalContext
            angleScale = Yarn.scale(factor, 1)
        }

        /// What a factor asks of attention.
        package static func scale(_ factor: Float, _ multiplier: Float) -> Float {
            factor <= 1 ? 1 : 0.1 * multiplier * naturalLogarithm(factor) + 1
        }

        /// Where the ramp begins and ends, counted in pairs of dimensions.
        fileprivate func ramp(dimension: Int, theta: Float) -> (Float, Float) {
            func pair(_ turns: Float) -> Float {
                Float(dimension) * naturalLogarithm(Float(originalContext) / (turns * 2 * .pi))
                    / (2 * naturalLogarithm(theta))
            }
            let low = truncates ? pair(fast).rounded(.down) : pair(fast)
            let high = truncates ? pair(slow).rounded(.up) : pair(slow)
            return (max(low, 0), min(high, Float(dimension - 1)))
        }
    }

    package var theta: Float
    package var scaling: Scaling

    /// Multiplies cosines and sines.
    package var angleScale: Float {
        switch scaling {
        case .yarn(let yarn): yarn.angleScale
        case .longrope(let long): long.angleScale
        default: 1
        }
    }

    /// Radians that each pair of dimensions turns per position, computed as transformers does, in
    /// 32-bit floats.
    ///
    /// - Parameters:
    ///   - dimension: of a head, how many dimensions rotate.
    ///   - longest: positions of the longest sequence.
    package func frequencies(dimension: Int, longest: Int) -> [Float] {
        let powers = (0..<dimension / 2).map { power(theta, Float(2 * $0) / Float(dimension)) }
        let base = powers.map { 1 / $0 }
        switch scaling {
        case .none: return base
        case .linear(let factor): return base.map { $0 / factor }
        case .divisors(let divisors): return zip(base, divisors).map { $0 / $1 }
        case .yarn(let yarn):
            let (low, high) = yarn.ramp(dimension: dimension, theta: theta)
            let width = high == low ? 0.001 : high - low
            return base.enumerated().map { index, frequency in
                let kept = 1 - min(max((Float(index) - low) / width, 0), 1)
                return frequency / yarn.factor * (1 - kept) + frequency * kept
            }
        case .longrope(let rope):
            let divisors = longest > rope.originalContext ? rope.long : rope.short
            return zip(divisors, powers).map { 1 / ($0 * $1) }
        case .llama3(let factor, let low, let high, let original):
            return base.map { frequency in
                let wavelength = 2 * Float.pi / frequency
                if wavelength > Float(original) / low { return frequency / factor }
                if wavelength < Float(original) / high { return frequency }
                let ramp = (Float(original) / wavelength - low) / (high - low)
                return (1 - ramp) * frequency / factor + ramp * frequency
            }
        }
    }
}

/// The linear maps of a layer that adapters may change, by the names of Hugging Face modules.
package enum Projection: String, Sendable, CaseIterable {
    case query = "self_attn.q_proj"
    case key = "self_attn.k_proj"
    case value = "self_attn.v_proj"
    case output = "self_attn.o_proj"
    case gate = "mlp.gate_proj"
    case up = "mlp.up_proj"
    case down = "mlp.down_proj"

    /// The input that a projection reads. Projections that read the same input share one shrink.
    package enum Site: Int, Sendable, CaseIterable {
        case attentionInput, attentionOutput, feedForwardInput, feedForwardOutput

        /// Without an array, whose references all threads would count.
        package static let count = 4

        package var projections: [Projection] {
            switch self {
            case .attentionInput: [.query, .key, .value]
            case .attentionOutput: [.output]
            case .feedForwardInput: [.gate, .up]
            case .feedForwardOutput: [.down]
            }
        }

        /// Of the one module that some families have for all of them; nil where there is but one anyhow.
        var fusedName: String? {
            switch self {
            case .attentionInput: "self_attn.qkv_proj"
            case .feedForwardInput: "mlp.gate_up_proj"
            case .attentionOutput, .feedForwardOutput: nil
            }
        }
    }

    package var site: Site {
        switch self {
        case .query, .key, .value: .attentionInput
        case .output: .attentionOutput
        case .gate, .up: .feedForwardInput
        case .down: .feedForwardOutput
        }
    }
}

extension ModelConfiguration {
    /// Rows of a projection's weights.
    package func outputCount(of projection: Projection) -> Int {
        switch projection {
        case .query: queryWidth
        case .key, .value: keyValueWidth
        case .output, .down: hiddenSize
        case .gate, .up: intermediateSize
        }
    }

    /// Columns of the weights of a site's projections.
    package func inputCount(of site: Projection.Site) -> Int {
        switch site {
        case .attentionInput, .feedForwardInput: hiddenSize
        case .attentionOutput: queryWidth
        case .feedForwardOutput: intermediateSize
        }
    }

    /// The shape of a tensor, if a model like this may have it.
    package func shape(of role: Checkpoint.Role) -> [Int]? {
        switch role {
        case .embedding, .head: [vocabularySize, hiddenSize]
        case .finalNorm: [hiddenSize]
        case .attentionNorm, .feedForwardNorm:
            departures.norms == .behind ? nil : [hiddenSize]
        case .attentionOutputNorm, .feedForwardOutputNorm:
            departures.norms == .before ? nil : [hiddenSize]
        case .queryNorm, .keyNorm:
            switch departures.headNorms {
            case .none: nil
            case .each: [headDimension]
            case .together: if case .queryNorm = role { [queryWidth] } else { [keyValueWidth] }
            }
        case .weight(_, let projection):
            [outputCount(of: projection), inputCount(of: projection.site)]
        case .bias(_, let projection): [outputCount(of: projection)]
        case .router: departures.experts.map { [$0.count, hiddenSize] }
        case .expert(_, _, let projection):
            departures.experts.map {
                projection == .down ? [hiddenSize, $0.width] : [$0.width, hiddenSize]
            }
        }
    }

    /// Refuses sizes that cannot be, before anything is allocated by them.
    func validated(source: String) throws(ModelFileError) -> ModelConfiguration {
        func require(_ condition: Bool, _ what: String) throws(ModelFileError) {
            guard condition else { throw ModelFileError(.invalidField, "\(source): \(what)") }
        }
        let sizes = [
            ("vocabulary size", vocabularySize), ("hidden size", hiddenSize),
            ("feed-forward size", intermediateSize), ("layer count", layerCount),
            ("head count", headCount), ("key/value head count", keyValueHeadCount),
            ("head dimension", headDimension), ("context length", contextLength),
        ]
        for (name, size) in sizes {
            try require(size > 0 && size < 1 << 24, "the \(name) \(size) is not plausible")
        }
        try require(layerCount <= 1024, "the layer count \(layerCount) is not plausible")
        try require(headCount <= 1024 && headDimension <= 1024, "too many or too large heads")
        try require(
            headCount % keyValueHeadCount == 0,
            "\(headCount) query heads do not divide into \(keyValueHeadCount) key/value heads")
        try require(
            rotaryDimension % 2 == 0 && (2...headDimension).contains(rotaryDimension),
            "\(rotaryDimension) of a head's \(headDimension) dimensions cannot be rotated")
        try require(
            normEpsilon > 0 && normEpsilon < 1, "the norm's epsilon \(normEpsilon) is not plausible"
        )
        try require(
            rope.theta > 1 && rope.theta.isFinite, "rope theta \(rope.theta) is not plausible")
        if let slidingWindow {
            try require(slidingWindow > 0, "a window of \(slidingWindow) positions")
        }
        let scales = [
            departures.embeddingScale, departures.residualScale, departures.logitScale,
            attentionScale,
        ]
        try require(
            scales.allSatisfy { $0 > 0 && $0.isFinite }, "a scale of \(scales) is not plausible")
        if let experts = departures.experts {
            try require(
                (1...4096).contains(experts.count) && (1...experts.count).contains(experts.perToken)
                    && experts.perToken <= 64 && departures.norms == .before && experts.width > 0
                    && experts.width < 1 << 24,
                "\(experts.perToken) of \(experts.count) experts of \(experts.width) are not plausible"
            )
        }
        if let theta = departures.windowedRope?.theta {
            try require(theta > 1 && theta.isFinite, "rope theta \(theta) is not plausible")
        }
        if case .yarn(let yarn) = rope.scaling {
            try require(
                yarn.factor >= 1 && yarn.factor < 1e4 && yarn.fast > yarn.slow && yarn.slow > 0
                    && yarn.fast.isFinite && yarn.originalContext > 0 && yarn.angleScale > 0
                    && yarn.angleScale < 1e4, "YaRN's numbers are not plausible")
        }
        if case .divisors(let divisors) = rope.scaling {
            try require(
                divisors.count == rotaryDimension / 2 && divisors.allSatisfy { $0 > 0 },
                "the rope divisors do not fit the head dimension")
        }
        if case .longrope(let long) = rope.scaling {
            try require(
                [long.short, long.long].allSatisfy {
                    $0.count == rotaryDimension / 2 && $0.allSatisfy { $0 > 0 && $0.isFinite }
                } && long.originalContext > 0 && long.angleScale > 0 && long.angleScale < 1e4,
                "LongRoPE's numbers are not plausible or do not fit the head dimension")
        }
        return self
    }
}
