internal import Tensors

/// Chooses tokens from logits. A choice depends on the logits, the sequence and its seed alone:
/// random numbers are a function of the seed and the token's place, not of a shared generator.
///
/// Each member of a team has one of its own, for the numbers that it works on.
final class Sampler {
    private let kernels: KernelSet
    private let vocabularySize: Int
    private var logits: [Float]
    private var weights: [Float]

    init(kernels: KernelSet, vocabularySize: Int) {
        self.kernels = kernels
        self.vocabularySize = vocabularySize
        logits = Array(repeating: 0, count: vocabularySize)
        weights = logits
    }

    /// The next token of a sequence.
    ///
    /// - Parameters:
    ///   - matrix: logits; the choice is made from row `row`. Not read when the peak says it all.
    ///   - peak: of that row.
    func sample(
        _ matrix: Matrix, row: Int, peak: LogitPeak, for sequence: TokenSequence
    ) -> Int32 {
        if Sampler.needsPeakOnly(sequence) { return Int32(peak.column) }
        let parameters = sequence.request.parameters
        let holdsBackEnd = sequence.completionCount < parameters.minimumTokens
        let isChanged = parameters.changesLogits || holdsBackEnd
        matrix.withRow(row) { source in
            for index in 0..<vocabularySize { logits[index] = source[index] }
        }
        var maximum = peak.maximum
        if isChanged {
            change(for: sequence, holdsBackEnd: holdsBackEnd)
            maximum = logits.max() ?? 0
        }
        if parameters.temperature == 0 { return Int32(logits.firstIndex(of: maximum) ?? 0) }
        let sum = kernels.exponentials(
            logits, maximum: maximum, inverseTemperature: 1 / parameters.temperature, into: &weights
        )
        let uniform = Sampler.uniform(seed: parameters.seed, index: sequence.completionCount)
        guard parameters.topK > 0 || parameters.topP < 1 || parameters.minP > 0 else {
            return draw(weights.indices, total: sum, uniform)
        }
        return drawFromMostLikely(parameters, total: sum, uniform)
    }

    /// Whether the likeliest token is the next one.
    static func needsPeakOnly(_ sequence: TokenSequence) -> Bool {
        let parameters = sequence.request.parameters
        return parameters.temperature == 0 && !parameters.changesLogits
            && sequence.completionCount >= parameters.minimumTokens
    }

    private func change(for sequence: TokenSequence, holdsBackEnd: Bool) {
        let parameters = sequence.request.parameters
        if parameters.repetitionPenalty != 1 {
            for token in sequence.promptTokens.union(sequence.completionCounts.keys) {
                let logit = logits[Int(token)]
                logits[Int(token)] =
                    logit > 0
                    ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
            }
        }
        for (token, count) in sequence.completionCounts {
            logits[Int(token)] -=
                parameters.presencePenalty + parameters.frequencyPenalty * Float(count)
        }
        for (token, bias) in parameters.logitBias { logits[Int(token)] += bias }
        if holdsBackEnd {
            for token in parameters.endTokens { logits[Int(token)] = -.infinity }
        }
    }

    // MARK: Drawing

    /// Walks the weights in the order given until their sum passes the drawn share of the total.
    private func draw(
        _ candidates: some BidirectionalCollection<Int>, total: Float, _ uniform: Float
    ) -> Int32 {
        var left = uniform * total
        for index in candidates {
            left -= weights[index]
            if left < 0 { return Int32(index) }
        }
        // Rounding may leave a rest beyond the last weight.
        return Int32(candidates.last { weights[$0] > 0 } ?? 0)
    }

    /// min-p, then top-k, then top-p, in that order as vLLM applies them.
    private func drawFromMostLikely(
        _ parameters: SamplingParameters, total: Float, _ uniform: Float
    ) -> Int32 {
        let wanted = parameters.topK > 0 ? min(parameters.topK, vocabularySize) : vocabularySize
        var candidates = mostLikely(
            count: wanted, share: parameters.topK > 0 ? 1 : parameters.topP, total: total,
            minimum: parameters.minP)
        if candidates.count > wanted { candidates.removeLast(candidates.count - wanted) }
        var kept: Float = candidates.reduce(0) { $0 + weights[$1] }
        if parameters.topP < 1 {
            // With top-k (or min-p) the share is of what they left.
            let basis = parameters.topK > 0 || parameters.minP > 0 ? kept : total
            var sum: Float = 0
            var count = 0
            while count < candidates.count, sum < parameters.topP * basis || count == 0 {
                sum += weights[candidates[count]]
                count += 1
            }
            candidates.removeLast(candidates.count - count)
            kept = sum
        }
        return draw(candidates, total: kept, uniform)
    }

    /// Candidates, most likely first, lower index first among equals: at least those that make up
    /// `count` of them or `share` of the total, whichever is fewer. Only as many are sorted as it
    /// takes: weights fall into buckets by their power of two.
    private func mostLikely(count: Int, share: Float, total: Float, minimum: Float) -> [Int] {
        // The largest weight is exp(0) = 1, so the exponents are 0, -1, -2, …
        var counts = [Int](repeating: 0, count: 256)
        var sums = [Float](repeating: 0, count: 256)
        for weight in weights where weight > 0 && weight >= minimum {
            let bucket = Sampler.bucket(of: weight)
            counts[bucket] += 1
            sums[bucket] += weight
        }
        let basis = minimum > 0 ? sums.reduce(0, +) : total
        var last = 0
        var seen = 0
        var sum: Float = 0
        for bucket in counts.indices where counts[bucket] > 0 {
            last = bucket
            seen += counts[bucket]
            sum += sums[bucket]
            // A little beyond the share, for the order of summation differs.
            if seen >= count || sum > min(1, share * 1.0001) * basis && share < 1 { break }
        }
        return weights.indices
            .filter {
                weights[$0] > 0 && weights[$0] >= minimum && Sampler.bucket(of: weights[$0]) <= last
            }
            .sorted { (weights[$0], $1) > (weights[$1], $0) }
    }

    private static func bucket(of weight: Float) -> Int {
        max(0, min(255, 127 - Int(weight.bitPattern >> 23 & 0xFF)))
    }

    /// A number in 0 ..< 1 for a seed and a place, by SplitMix64's mixing function
    /// (https://doi.org/10.1145/2714064.2660195).
    static func uniform(seed: UInt64, index: Int) -> Float {
        var z = seed &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Float(z >> 40) / Float(1 << 24)
    }

    // MARK: Scores

    /// Log probabilities of a token and of the `count` most likely ones.
    func scores(
        _ matrix: Matrix, row: Int, peak: LogitPeak, token: Int32, count: Int
    ) -> TokenScores {
        let logSumExp = kernels.logSumExp(matrix, row: row, maximum: peak.maximum)
        return matrix.withRow(row) { logits in
            func scored(_ index: Int, rank: Int) -> TokenLogprob {
                TokenLogprob(token: Int32(index), logprob: logits[index] - logSumExp, rank: rank)
            }
            let own = logits[Int(token)]
            var rank = 1
            for index in 0..<logits.count where logits[index] > own { rank += 1 }
            var best: [Int] = []
            for index in 0..<logits.count where count > 0 {
                if best.count == count, logits[index] <= logits[best[count - 1]] { continue }
                let place = best.firstIndex { logits[$0] < logits[index] } ?? best.count
                best.insert(index, at: place)
                if best.count > count { best.removeLast() }
            }
            return TokenScores(
                chosen: scored(Int(token), rank: rank),
                top: best.enumerated().map { scored($1, rank: $0 + 1) })
        }
    }
}
