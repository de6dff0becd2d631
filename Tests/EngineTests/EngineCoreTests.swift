import Adapters
import Engine
import Foundation
import Tensors
import TestSupport
import Testing

/// Whatever shares the batch, however the prompt is chunked, whatever is preempted: the same bits.
struct EngineCoreTests {
    struct Result: Equatable {
        var tokens: [Int32] = []
        var logprobs: [UInt32] = []
        var promptLogprobs: [UInt32] = []
        var finish: FinishReason?
    }

    static func request(
        _ number: Int, adapter: DeviceAdapter?, promptCount: Int, maximumTokens: Int = 12,
        seed: UInt64 = 4,
        change: (inout SamplingParameters) -> Void = { _ in }
    ) -> EngineRequest {
        var generator = SeededGenerator(seed: UInt64(number))
        var parameters = SamplingParameters()
        parameters.maximumTokens = maximumTokens
        parameters.temperature = 0.9
        parameters.seed = seed
        parameters.logprobCount = 3
        parameters.promptLogprobCount = 2
        change(&parameters)
        var prompt = (0..<promptCount).map { _ in Int32.random(in: 0..<70, using: &generator) }
        if let adapter, adapter.shape.hasOwnVocabulary, promptCount > 3 {
            prompt[promptCount / 2] = Int32(adapter.vocabularySize - 1)
        }
        if let invocation = adapter?.shape.invocation, promptCount > 2 * invocation.count {
            // Now and then twice.
            for place in [promptCount / 3, promptCount / 2] where number % 2 == 0 {
                prompt.replaceSubrange(place..<place + invocation.count, with: invocation)
            }
        }
        return EngineRequest(
            id: RequestID(UInt64(number)), prompt: prompt, adapter: adapter, adapterName: nil,
            parameters: parameters)
    }

    /// Runs until nothing is left. `arrivals` are submitted one a step.
    static func run(_ core: inout EngineCore, _ requests: [EngineRequest]) -> [RequestID: Result] {
        var results: [RequestID: Result] = [:]
        var waiting = requests[...]
        var steps = 0
        while !core.isIdle || !waiting.isEmpty {
            if let next = waiting.popFirst() { core.apply(.submit(next)) }
            collect(core.step(), into: &results)
            steps += 1
            #expect(steps < 10_000)
            if steps >= 10_000 { break }
        }
        return results
    }

    static func collect(_ outputs: [EngineCore.Output], into results: inout [RequestID: Result]) {
        for output in outputs {
            guard case .step(let step) = output.event else { continue }
            var result = results[output.id] ?? Result()
            if let scores = step.promptScores {
                result.promptLogprobs = scores.flatMap {
                    [$0.chosen.logprob.bitPattern] + $0.top.map(\.logprob.bitPattern)
                }
            }
            if let token = step.token { result.tokens.append(token) }
            if let scores = step.scores {
                result.logprobs +=
                    [scores.chosen.logprob.bitPattern] + scores.top.map(\.logprob.bitPattern)
            }
            result.finish = step.finish ?? result.finish
            results[output.id] = result
        }
    }

    static let lowRank = [
        nil, "plain", "all-linear", "dora", "odd-rank", nil, "lora-bias", "rank-over-lane",
    ]

    /// Adapters with weights of their own, those that change embedding or head, and those that act from
    /// some token on.
    static let others = [
        "saved-both", nil, "alora-once", "saved-norm", "saved-layer", "tokens-both", "plain",
        "embedding-and-head", "everything", "saved-mlp", "alora-once", "head-dora",
    ]

    /// Adapters with more tokens than the base, or fewer.
    static let vocabularies = [
        "peft-resized", nil, "peft-shrunk", "trl-sft-chat", "peft-resized-dora", "hf-trainer",
        "peft-resized-targets", nil, "peft-shrunk-targets", "axolotl-tokens", "peft-resized-tokens",
    ]
    static let tiedVocabularies = [
        "resized", nil, "shrunk", "resized-saved", "spare-tokens", "resized-targets",
    ]

    static func mixed(
        _ engine: TinyEngine, count: Int, _ names: [String?] = lowRank, maximumTokens: Int = 12
    ) throws -> [EngineRequest] {
        let adapters = try names.map { try $0.map { try engine.adapter($0) } }
        return (0..<count).map {
            request(
                $0 + 1, adapter: adapters[$0 % adapters.count], promptCount: 1 + $0 * 7 % 40,
                maximumTokens: maximumTokens)
        }
    }

    struct Formats: Sendable {
        var weights: WeightFormat
        var activations: ComputeFormat
        var adapters: WeightFormat?

        init(_ weights: WeightFormat, _ activations: ComputeFormat, adapters: WeightFormat? = nil) {
            self.weights = weights
            self.activations = activations
            self.adapters = adapters
        }
    }

    @Test(
        arguments: [
            Formats(.f32, .f32), Formats(.bf16, .f32), Formats(.bf16, .bf16), Formats(.q8, .f32),
            Formats(.q8, .bf16), Formats(.q4, .bf16), Formats(.f32, .f32, adapters: .q8),
            Formats(.bf16, .bf16, adapters: .q8), Formats(.q8, .bf16, adapters: .q8),
        ],
        [
            ("llama", lowRank), ("mistral", lowRank), ("qwen3", lowRank), ("llama", others),
            ("qwen3", others), ("tools/llama", vocabularies), ("tools/tied", tiedVocabularies),
        ])
    func resultsDoNotDependOnTheBatch(
        _ formats: Formats, _ adapters: (family: String, names: [String?])
    ) throws {
        let family = adapters.family
        let engine = try TinyEngine(
            family: family, format: formats.weights, activations: formats.activations,
            adapterFormat: formats.adapters)
        let requests = try Self.mixed(engine, count: 16, adapters.names)
        var together = engine.core()
        let all = Self.run(&together, requests)
        #expect(all.count == 16)
        for request in requests {
            var alone = engine.core()
            let single = Self.run(&alone, [request])[request.id]
            #expect(single != nil && single == all[request.id])
            #expect(single?.promptLogprobs.isEmpty == (request.prompt.count == 1))
        }
    }

    @Test(
        arguments: WeightFormat.allCases,
        [
            ("llama", nil, lowRank), ("llama", WeightFormat.q8, lowRank), ("llama", nil, others),
            ("tools/llama", nil, vocabularies), ("tools/tied", nil, tiedVocabularies),
        ])
    func resultsDoNotDependOnChunksThreadsOrPreemption(
        _ format: WeightFormat,
        _ kinds: (family: String, adapters: WeightFormat?, names: [String?])
    ) throws {
        let (family, adapters) = (kinds.family, kinds.adapters)
        let engine = try TinyEngine(family: family, format: format, adapterFormat: adapters)
        let requests = try Self.mixed(engine, count: 12, kinds.names)
        var core = engine.core()
        let expected = Self.run(&core, requests)
        #expect(core.status.preemptionCount == 0)

        for chunk in [1, 3, 17] {
            var chunked = engine.core(maximumStepTokens: chunk)
            #expect(Self.run(&chunked, requests) == expected)
        }
        let threaded = try TinyEngine(
            family: family, format: format, adapterFormat: adapters, threads: 3)
        let threadedRequests = try Self.mixed(threaded, count: 12, kinds.names)
        var other = threaded.core()
        #expect(Self.run(&other, threadedRequests) == expected)

        // Five blocks for sequences of up to four: they keep displacing each other.
        var tight = engine.core(blockCount: 5)
        #expect(Self.run(&tight, requests) == expected)
        #expect(tight.status.preemptionCount > 0)
        #expect(tight.status.freeBlockCount == 5)
    }

    @Test(
        arguments: [
            Formats(.bf16, .f32), Formats(.bf16, .bf16), Formats(.q8, .f32), Formats(.q8, .bf16),
            Formats(.q4, .f32), Formats(.q4, .bf16), Formats(.bf16, .f32, adapters: .q8),
            Formats(.bf16, .bf16, adapters: .q8), Formats(.q8, .bf16, adapters: .q8),
        ])
    func kernelSetsAgree(_ formats: Formats) throws {
        var all: [[RequestID: Result]] = []
        for kernels in KernelSet.available {
            let engine = try TinyEngine(
                format: formats.weights, activations: formats.activations,
                adapterFormat: formats.adapters, kernels: kernels)
            var core = engine.core()
            all.append(Self.run(&core, try Self.mixed(engine, count: 8)))
        }
        for result in all { #expect(result == all[0]) }
    }

    /// Tokens that the base lacks are drawn and scored; those that the adapter lacks are not.
    @Test(arguments: [("peft-resized", 131), ("trl-sft-chat", 192), ("peft-shrunk", 124)])
    func logitsAreOfTheAdaptersVocabulary(_ name: String, _ size: Int) throws {
        let engine = try TinyEngine(family: "tools/llama", format: .f32)
        let adapter = try engine.adapter(name)
        #expect(adapter.vocabularySize == size)
        for temperature in [0, 0.9, 2] as [Float] {
            func run(_ change: (inout SamplingParameters) -> Void) throws -> [TokenScores] {
                let request = Self.request(
                    1, adapter: adapter, promptCount: 9, maximumTokens: 20
                ) {
                    $0.temperature = temperature
                    $0.logprobCount = 500
                    $0.endTokens = []
                    change(&$0)
                }
                // The base's rows before and behind leave nothing in the sampler.
                let others = [
                    Self.request(2, adapter: nil, promptCount: 5),
                    Self.request(3, adapter: nil, promptCount: 7),
                ]
                var core = engine.core()
                for request in [others[0], request, others[1]] { core.apply(.submit(request)) }
                var scores: [TokenScores] = []
                while !core.isIdle {
                    for output in core.step() where output.id == request.id {
                        guard case .step(let step) = output.event else { continue }
                        if let score = step.scores { scores.append(score) }
                    }
                }
                return scores
            }
            let scores = try run { _ in }
            #expect(scores.count == 20)
            for score in scores {
                #expect(score.top.count == size)
                let sum = score.top.reduce(0.0) { $0 + exp(Double($1.logprob)) }
                #expect(abs(sum - 1) < 1e-4)
            }
            let last = Int32(size - 1)
            let forced = try run { $0.logitBias[last] = 100 }
            #expect(forced.allSatisfy { $0.chosen.token == last })
            let penalized = try run {
                $0.logitBias[last] = 100
                $0.frequencyPenalty = 2
                $0.repetitionPenalty = 1.1
                $0.topK = 5
                $0.minP = 0.01
            }
            #expect(penalized.count == 20 && penalized[0].chosen.token == last)
        }
    }

    /// What 8 bits take from an adapter is little beside what the adapter does.
    @Test(arguments: ["plain", "all-linear", "dora", "odd-rank", "lora-bias", "rank-over-lane"])
    func quantizedAdaptersAreClose(_ name: String) throws {
        func logprobs(_ name: String?, _ format: WeightFormat) throws -> [Float] {
            let engine = try TinyEngine(format: .f32, adapterFormat: format)
            var core = engine.core()
            let request = Self.request(
                1, adapter: try name.map(engine.adapter), promptCount: 40, maximumTokens: 0)
            return Self.run(&core, [request])[request.id]?.promptLogprobs.map {
                Float(bitPattern: $0)
            } ?? []
        }
        func distance(_ a: [Float], _ b: [Float]) -> Float {
            zip(a, b).reduce(0) { $0 + abs($1.0 - $1.1) } / Float(a.count)
        }
        let (exact, base) = (try logprobs(name, .f32), try logprobs(nil, .f32))
        let rounded = try logprobs(name, .q8)
        #expect(exact.count == 39 * 3 && rounded.count == exact.count)
        #expect(distance(rounded, exact) > 0)
        #expect(distance(rounded, exact) < 0.06 * distance(base, exact))
    }

    @Test func cancellingFreesBlocksAtOnce() throws {
        let engine = try TinyEngine()
        var core = engine.core(maximumStepTokens: 8)
        let long = Self.request(1, adapter: nil, promptCount: 40)
        core.apply(.submit(long))
        _ = core.step()
        #expect(core.status.freeBlockCount < 128)
        core.apply(.cancel(long.id))
        #expect(core.status.freeBlockCount == 128)
        #expect(core.isIdle)
        core.apply(.cancel(long.id))
    }

    @Test func scoringAPromptGeneratesNothing() throws {
        let engine = try TinyEngine()
        var core = engine.core()
        let request = Self.request(1, adapter: nil, promptCount: 9, maximumTokens: 0)
        let result = try #require(Self.run(&core, [request])[request.id])
        #expect(result.tokens.isEmpty && result.finish == .length)
        #expect(result.promptLogprobs.count == 8 * 3)
    }
}
