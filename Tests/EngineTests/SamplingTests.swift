import Engine
import Tensors
import TestSupport
import Testing

/// What tokens are chosen, and how often.
struct SamplingTests {
    @Test func seedsDecide() throws {
        let engine = try TinyEngine()
        func tokens(seed: UInt64) -> [Int32]? {
            var core = engine.core()
            let request = EngineCoreTests.request(
                1, adapter: nil, promptCount: 5, maximumTokens: 30, seed: seed)
            return EngineCoreTests.run(&core, [request])[request.id]?.tokens
        }
        #expect(tokens(seed: 1) == tokens(seed: 1))
        #expect(tokens(seed: 1) != tokens(seed: 2))
    }

    @Test func samplingParametersDoWhatTheySay() throws {
        let engine = try TinyEngine(format: .f32)
        func run(_ change: (inout SamplingParameters) -> Void) throws -> EngineCoreTests.Result {
            var core = engine.core()
            let request = EngineCoreTests.request(
                3, adapter: nil, promptCount: 6, maximumTokens: 20, change: change)
            return try #require(EngineCoreTests.run(&core, [request])[request.id])
        }
        let greedy = try run { $0.temperature = 0 }
        #expect(try run { $0.topK = 1 }.tokens == greedy.tokens)
        #expect(try run { $0.topP = 1e-6 }.tokens == greedy.tokens)
        #expect(try run { $0.minP = 1 }.tokens == greedy.tokens)
        #expect(try run { $0.temperature = .leastNonzeroMagnitude }.tokens == greedy.tokens)
        let first = try #require(greedy.tokens.first)
        #expect(
            try run {
                $0.temperature = 0; $0.logitBias = [first: -100]
            }.tokens.first != first)
        #expect(try run { $0.logitBias = [7: 100] }.tokens.allSatisfy { $0 == 7 })
        // An end token ends, unless it is too early.
        let ended = try run {
            $0.temperature = 0; $0.endTokens = [first]
        }
        #expect(ended.tokens == [first] && ended.finish == .endToken(first))
        let later = try run {
            $0.temperature = 0; $0.endTokens = [first]; $0.minimumTokens = 3
        }
        #expect(later.tokens.count >= 3 && !later.tokens.prefix(3).contains(first))
        // Penalties: nothing repeats when repeating is made hopeless.
        let unrepeated = try run {
            $0.temperature = 0; $0.presencePenalty = 1000
        }
        #expect(Set(unrepeated.tokens).count == unrepeated.tokens.count)
        let frequency = try run {
            $0.temperature = 0; $0.frequencyPenalty = 1000
        }
        #expect(Set(frequency.tokens).count == frequency.tokens.count)
        #expect(
            try run {
                $0.temperature = 0; $0.repetitionPenalty = 50
            }.tokens != greedy.tokens)
        #expect(greedy.finish == .length && greedy.tokens.count == 20)
    }

    struct Rules: CustomStringConvertible {
        var temperature: Float = 1
        var topK = 0
        var topP: Float = 1
        var minP: Float = 0

        var description: String { "temperature \(temperature), \(topK), \(topP), \(minP)" }

        /// What is left of the model's distribution, by sorting.
        func apply(to logprobs: [Double]) -> [Double] {
            let weights = logprobs.map { exponential($0 / Double(temperature)) }
            let largest = weights.max() ?? 0
            var order = weights.indices.sorted { weights[$0] > weights[$1] }
            order.removeAll { weights[$0] < Double(minP) * largest }
            if topK > 0 { order = Array(order.prefix(topK)) }
            let basis = order.reduce(0) { $0 + weights[$1] }
            var (sum, kept) = (0.0, [Double](repeating: 0, count: weights.count))
            for token in order where sum < Double(topP) * basis || topP == 1 {
                sum += weights[token]
                kept[token] = weights[token]
            }
            return kept.map { $0 / sum }
        }
    }

    /// Drawn tokens follow the model's distribution as far as the rules leave it: chi-squared over many
    /// seeds, and nothing that the rules exclude.
    @Test(arguments: [
        Rules(), Rules(temperature: 0.3), Rules(topK: 5), Rules(temperature: 2, topK: 66),
        Rules(topP: 0.5), Rules(temperature: 0.5, topP: 0.9), Rules(temperature: 3, topP: 0.97),
        Rules(minP: 0.1), Rules(topK: 20, topP: 0.7), Rules(topK: 40, topP: 0.9, minP: 0.02),
        Rules(topP: 0.8, minP: 1e-4), Rules(temperature: 0.7, topP: 0.9, minP: 1e-3),
    ])
    func drawsFollowTheDistribution(_ rules: Rules) throws {
        let engine = try TinyEngine(format: .f32)
        var counts = [Int](repeating: 0, count: 70)
        var core = engine.core()
        let draws = 3000
        var logprobs = [Double](repeating: 0, count: 70)
        for seed in 0..<draws {
            var parameters = SamplingParameters()
            parameters.maximumTokens = 1
            parameters.seed = UInt64(seed) &* 77
            parameters.logprobCount = 70
            parameters.temperature = rules.temperature
            (parameters.topK, parameters.topP, parameters.minP) = (
                rules.topK, rules.topP, rules.minP
            )
            core.apply(
                .submit(
                    EngineRequest(
                        id: RequestID(UInt64(seed)), prompt: [5, 9], adapter: nil,
                        adapterName: nil, parameters: parameters)))
            while !core.isIdle {
                for output in core.step() {
                    guard case .step(let step) = output.event, let token = step.token else {
                        continue
                    }
                    counts[Int(token)] += 1
                    for score in step.scores?.top ?? [] {
                        logprobs[Int(score.token)] = Double(score.logprob)
                    }
                }
            }
        }
        #expect(counts.reduce(0, +) == draws)
        var (statistic, freedom) = (0.0, -1)
        for (count, probability) in zip(counts, rules.apply(to: logprobs)) {
            let expected = probability * Double(draws)
            #expect(expected > 0 || count == 0, "The rules exclude it.")
            guard expected >= 5 else { continue }
            statistic += (Double(count) - expected) * (Double(count) - expected) / expected
            freedom += 1
        }
        // Five standard deviations of the distribution of that statistic.
        let limit = Double(freedom) + 5 * (2 * Double(max(freedom, 1))).squareRoot() + 5
        #expect(statistic < limit, "chi-squared \(statistic), \(freedom) degrees of freedom")
    }
}

/// e to the power of x, by its series.
private func exponential(_ x: Double) -> Double {
    var (term, sum) = (1.0, 1.0)
    for n in 1...60 {
        term *= x / 16 / Double(n)
        sum += term
    }
    return (0..<4).reduce(sum) { value, _ in value * value }
}
