internal import Tensors

/// Chooses tokens from logits. A choice depends on the logits, the sequence and its seed alone:
/// random numbers are a function of the seed and the token's place, not of a shared generator.
///
/// Each member of a team has one of its own, for the numbers that it works on.
final class Sampler {
    private let kernels: KernelSet
    /// Of the row at hand.
    private var vocabularySize: Int
    /// A row's logits, where a request changes them.
    private var changed: Matrix
    /// What tokens are drawn by: their probabilities as multiples of the likeliest one's, and sums of
    /// blocks of them.
    private var weights: Matrix
    private var sums: Matrix
    /// The three with room for the longest row so far.
    private var room: (changed: Matrix, weights: Matrix, sums: Matrix)
    /// Those that are drawn from, where not all are.
    private var candidates: [Candidate] = []

    private struct Candidate {
        var token: Int
        var weight: Float

        /// Of equally likely ones the lower comes first.
        func precedes(_ other: Candidate) -> Bool {
            weight > other.weight || weight == other.weight && token < other.token
        }
    }

    init(kernels: KernelSet, vocabularySize: Int) {
        self.kernels = kernels
        self.vocabularySize = vocabularySize
        room = Sampler.room(for: vocabularySize)
        (changed, weights, sums) = room
    }

    private static func room(
        for count: Int
    ) -> (changed: Matrix, weights: Matrix, sums: Matrix) {
        let row = { Matrix(rowCount: 1, columnCount: $0) }
        return (row(count), row(count), row(blockCount(count)))
    }

    private static func blockCount(_ count: Int) -> Int {
        (count + KernelSet.sumBlock - 1) / KernelSet.sumBlock
    }

    /// Makes everything as long as a row: an adapter may have another vocabulary than the base.
    private func fit(_ count: Int) {
        guard count != vocabularySize else { return }
        vocabularySize = count
        if count > room.changed.columnCount { room = Sampler.room(for: count) }
        changed = room.changed.first(columns: count)
        weights = room.weights.first(columns: count)
        sums = room.sums.first(columns: Sampler.blockCount(count))
    }

    /// The next token of a sequence.
    ///
    /// - Parameters:
    ///   - logits: the choice is made from row `row`, which is of the sequence's vocabulary. Not read when the peak says it all.
    ///   - peak: of that row.
    func sample(
        _ logits: Matrix, row: Int, peak: LogitPeak, for sequence: TokenSequence
    ) -> Draw {
        if Sampler.needsPeakOnly(sequence) { return .token(Int32(peak.column)) }
        if Sampler.takesThePeak(sequence), sequence.allows(Int32(peak.column)) {
            return .token(Int32(peak.column))
        }
        fit(logits.columnCount)
        let parameters = sequence.request.parameters
        let holdsBackEnd = sequence.completionCount < parameters.minimumTokens
        guard sequence.request.constraint == nil else {
            change(logits, row: row, for: sequence, holdsBackEnd: holdsBackEnd)
            return constrained(sequence, holdsBackEnd: holdsBackEnd)
        }
        guard parameters.changesLogits || holdsBackEnd else {
            return .token(choose(logits, row: row, peak: peak, for: sequence))
        }
        change(logits, row: row, for: sequence, holdsBackEnd: holdsBackEnd)
        return chooseChanged(for: sequence).map { .token($0) } ?? .stuck
    }

    /// What choosing comes to.
    enum Draw: Equatable {
        case token(Int32)
        /// The request's constraint leaves no token, or takes too much work.
        case stuck
        /// It does not know yet: the row is to be computed once more.
        case pending
    }

    private func chooseChanged(for sequence: TokenSequence) -> Int32? {
        let peak = kernels.peak(changed, row: 0, columns: 0..<vocabularySize)
        guard peak.maximum > -.infinity else { return nil }
        return choose(changed, row: 0, peak: peak, for: sequence)
    }

    /// From the changed logits of tokens that a request's constraint allows.
    private func constrained(_ sequence: TokenSequence, holdsBackEnd: Bool) -> Draw {
        guard let constraint = sequence.request.constraint else { return .stuck }
        switch constraint.allowed(in: sequence.constraintState) {
        case .pending: return .pending
        case .unknown: return .stuck
        case .mask(let mask):
            let mayEnd = constraint.mayEnd(in: sequence.constraintState)
            constrain(to: mask, ends: mayEnd && !holdsBackEnd, for: sequence)
        }
        // A mask may have tokens that do not pass when they are read.
        for _ in 0..<Sampler.mostTries {
            guard let token = chooseChanged(for: sequence) else { return .stuck }
            if sequence.allows(token) { return .token(token) }
            changed.withMutableRow(0) { $0[Int(token)] = -.infinity }
        }
        return .stuck
    }

    private static let mostTries = 256

    private func choose(
        _ logits: Matrix, row: Int, peak: LogitPeak, for sequence: TokenSequence
    ) -> Int32 {
        let parameters = sequence.request.parameters
        if parameters.temperature == 0 { return Int32(peak.column) }
        kernels.exponentials(
            logits, row: row, maximum: peak.maximum,
            inverseTemperature: Sampler.inverseTemperature(sequence), into: weights, sums: sums)
        for round in Sampler.floors.indices {
            if let token = draw(for: sequence, round: round) { return token }
        }
        preconditionFailure("The last round sees every weight.")
    }

    /// A temperature may be so low that its reciprocal overflows.
    static func inverseTemperature(_ sequence: TokenSequence) -> Float {
        min(1 / sequence.request.parameters.temperature, .greatestFiniteMagnitude)
    }

    /// Whether the likeliest token is the next one.
    static func needsPeakOnly(_ sequence: TokenSequence) -> Bool {
        sequence.request.constraint == nil && takesThePeak(sequence)
    }

    /// The same, unless a constraint has something against it.
    private static func takesThePeak(_ sequence: TokenSequence) -> Bool {
        let parameters = sequence.request.parameters
        return parameters.temperature == 0 && !parameters.changesLogits
            && sequence.completionCount >= parameters.minimumTokens
    }

    /// Takes from the changed logits what a mask forbids. End tokens stay where the completion may end; where it must,
    /// they stay whatever else was asked.
    private func constrain(to allowed: [UInt64], ends: Bool, for sequence: TokenSequence) {
        let endTokens = sequence.request.parameters.endTokens
        changed.withMutableRow(0) { logits in
            let kept = ends ? endTokens.map { ($0, logits[Int($0)]) } : []
            for first in stride(from: 0, to: logits.count, by: 64) {
                let word = first / 64 < allowed.count ? allowed[first / 64] : 0
                // Most words allow all or nothing.
                if word == .max { continue }
                for index in first..<min(first + 64, logits.count)
                where word >> UInt64(index - first) & 1 == 0 { logits[index] = -.infinity }
            }
            for token in endTokens { logits[Int(token)] = -.infinity }
            for (token, logit) in kept { logits[Int(token)] = logit }
        }
    }

    private func change(
        _ logits: Matrix, row: Int, for sequence: TokenSequence, holdsBackEnd: Bool
    ) {
        let parameters = sequence.request.parameters
        logits.withRow(row) { source in
            changed.withMutableRow(0) { logits in
                for index in source.indices { logits[index] = source[index] }
                if parameters.repetitionPenalty != 1 {
                    for token in sequence.promptTokens.union(sequence.completionCounts.keys) {
                        let logit = logits[Int(token)]
                        logits[Int(token)] =
                            logit > 0
                            ? logit / parameters.repetitionPenalty
                            : logit * parameters.repetitionPenalty
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
        }
    }

    // MARK: Drawing

    /// Whether its tokens are drawn by their logits as they are.
    static func drawsUnchanged(_ sequence: TokenSequence) -> Bool {
        let parameters = sequence.request.parameters
        return parameters.temperature > 0 && !parameters.changesLogits
            && sequence.request.constraint == nil
            && sequence.completionCount >= parameters.minimumTokens
    }

    /// Takes over the sums of a row's weights that another device has.
    func setSums(_ source: Matrix, row: Int) { sums.setRow(0, source.row(row)) }

    /// Takes over some of its weights.
    func setWeights(_ source: ArraySlice<Float>, block: Int) {
        let first = block * KernelSet.sumBlock
        weights.withMutableRow(0) { weights in
            for index in first..<min(first + KernelSet.sumBlock, vocabularySize) {
                weights[index] = source[source.startIndex + index - first]
            }
        }
    }

    /// The blocks whose weights a round of drawing reads; found by their sums.
    func blocks(for sequence: TokenSequence, round: Int) -> [Int] {
        let parameters = sequence.request.parameters
        return sums.withRow(0) { sums in
            guard parameters.drawsFromAll else {
                guard Sampler.isRound(round, parameters) else { return [] }
                let least = max(Sampler.floors[round], parameters.minP)
                return sums.indices.filter { sums[$0] >= least }
            }
            var left = Sampler.uniform(sequence) * total
            let found = sums.indices.first { block in
                if left < Double(sums[block]) { return true }
                left -= Double(sums[block])
                return false
            }
            guard let block = found else { return [] }
            // Where rounding leaves a little at the end of a block, the next has the token.
            let next = sums.indices[(block + 1)...].first { sums[$0] > 0 }
            return [block] + (next.map { [$0] } ?? [])
        }
    }

    /// Draws by the weights that a round reads.
    ///
    /// - Parameter round: one after another below `floors.count`.
    /// - Returns: nil when those do not say yet.
    func draw(for sequence: TokenSequence, round: Int) -> Int32? {
        let (parameters, uniform) = (sequence.request.parameters, Sampler.uniform(sequence))
        let token =
            parameters.drawsFromAll
            ? draw(uniform) : drawFromMostLikely(parameters, uniform, round: round)
        return token.map { Int32($0) }
    }

    private static func uniform(_ sequence: TokenSequence) -> Double {
        uniform(seed: sequence.request.parameters.seed, index: sequence.completionCount)
    }

    /// Most tokens are far less likely than the likeliest: rounds begin with those that are not.
    static let floors: [Float] = [0x1p-6, 0x1p-12, 0x1p-24, 0]

    /// All that min-p leaves are wanted at once where nothing else says how many.
    private static func isRound(_ round: Int, _ parameters: SamplingParameters) -> Bool {
        floors[round] == 0 || parameters.topK > 0 || parameters.minP == 0
    }

    /// Calls `body` with the tokens of each block whose weights' sum is wanted, until it has seen enough.
    private func forEachBlock(
        where isWanted: (_ sum: Float) -> Bool,
        _ body: (_ tokens: Range<Int>, _ weights: Span<Float>) -> Bool
    ) {
        sums.withRow(0) { sums in
            weights.withRow(0) { weights in
                for block in sums.indices where isWanted(sums[block]) {
                    let first = block * KernelSet.sumBlock
                    let tokens = first..<min(first + KernelSet.sumBlock, vocabularySize)
                    if body(tokens, weights) { return }
                }
            }
        }
    }

    /// Sum of all weights.
    private var total: Double {
        sums.withRow(0) { sums in sums.indices.reduce(0) { $0 + Double(sums[$1]) } }
    }

    /// From all tokens: walks their weights until the sum passes the drawn share of the total.
    private func draw(_ uniform: Double) -> Int? {
        var left = uniform * total
        var token = 0
        forEachBlock { sum in
            if left < Double(sum) { return true }
            left -= Double(sum)
            return false
        } _: { tokens, weights in
            for index in tokens where weights[index] > 0 {
                token = index
                left -= Double(weights[index])
                if left < 0 { return true }
            }
            // Sums are rounded: a little may be left at the end of the block.
            left = 0
            return false
        }
        return token
    }

    /// From the tokens that min-p, then top-k, then top-p leave, in that order as vLLM applies them.
    private func drawFromMostLikely(
        _ parameters: SamplingParameters, _ uniform: Double, round: Int
    ) -> Int? {
        guard Sampler.isRound(round, parameters) else { return nil }
        let floor = Sampler.floors[round]
        let count = parameters.topK > 0 ? parameters.topK : vocabularySize
        // Top-p goes by the sum of what the others leave.
        let isShareKnown = parameters.topK == 0 && parameters.minP == 0
        let share = isShareKnown ? Double(parameters.topP) * total : .infinity
        var kept = collect(atLeast: max(floor, parameters.minP))
        guard candidates.count >= count || kept >= share || floor <= parameters.minP else {
            return nil
        }
        if candidates.count > count { kept = keepMostLikely(Double(count)) { _ in 1 } }
        if parameters.topP < 1 {
            let share = isShareKnown ? share : Double(parameters.topP) * kept
            kept = keepMostLikely(share) { Double($0.weight) }
        }
        var left = uniform * kept
        for candidate in candidates {
            left -= Double(candidate.weight)
            if left < 0 { return candidate.token }
        }
        return candidates.last?.token ?? 0
    }

    /// Makes candidates of the tokens of at least some weight.
    ///
    /// - Returns: the sum of their weights.
    private func collect(atLeast least: Float) -> Double {
        candidates.removeAll(keepingCapacity: true)
        var sum = 0.0
        // A sum of what is not negative is never rounded below its largest part.
        forEachBlock(where: { $0 >= least }) { tokens, weights in
            for token in tokens where weights[token] >= least && weights[token] > 0 {
                candidates.append(Candidate(token: token, weight: weights[token]))
                sum += Double(weights[token])
            }
            return false
        }
        return sum
    }

    /// Keeps the most likely candidates, as many as it takes for their amounts to add up to `wanted`:
    /// quickselect, by the sum instead of the rank.
    ///
    /// - Returns: the sum of the weights kept.
    private func keepMostLikely(_ wanted: Double, _ amount: (Candidate) -> Double) -> Double {
        // Those before `low` are kept, those from `high` on are not.
        var (low, high, left) = (0, candidates.count, wanted)
        while high - low > 1 {
            let middle = partition(low..<high)
            let upper = candidates[low..<middle].reduce(0) { $0 + amount($1) }
            if upper >= left {
                high = middle
            } else {
                left -= upper
                low = middle
            }
        }
        candidates.removeLast(candidates.count - high)
        return candidates.reduce(0) { $0 + Double($1.weight) }
    }

    /// Puts the more likely part of some candidates before the others; neither part is empty.
    private func partition(_ range: Range<Int>) -> Int {
        let pivot = candidates[range.lowerBound + (range.count - 1) / 2]
        var (i, j) = (range.lowerBound, range.upperBound - 1)
        while true {
            while candidates[i].precedes(pivot) { i += 1 }
            while pivot.precedes(candidates[j]) { j -= 1 }
            if i >= j { return j + 1 }
            candidates.swapAt(i, j)
            (i, j) = (i + 1, j - 1)
        }
    }

    /// A number in 0 ..< 1 for a seed and a place, by SplitMix64's mixing function
    /// (https://doi.org/10.1145/2714064.2660195).
    static func uniform(seed: UInt64, index: Int) -> Double {
        var z = seed &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Double(z >> 11) / Double(1 << 53)
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
