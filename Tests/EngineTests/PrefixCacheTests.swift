import Adapters
import Engine
import Tensors
import TestSupport
import Testing

/// Blocks that sequences share: the same bits, never another adapter's, none lost.
struct PrefixCacheTests {
    typealias Result = EngineCoreTests.Result

    static func request(
        _ id: Int, _ prompt: [Int32], _ adapter: DeviceAdapter? = nil, tokens: Int = 6
    )
        -> EngineRequest
    {
        var parameters = SamplingParameters()
        parameters.maximumTokens = tokens
        parameters.temperature = 0.7
        parameters.seed = UInt64(id)
        parameters.logprobCount = 2
        return EngineRequest(
            id: RequestID(UInt64(id)), prompt: prompt, adapter: adapter, adapterName: nil,
            parameters: parameters)
    }

    static func prompt(_ seed: UInt64, _ count: Int) -> [Int32] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in Int32.random(in: 0..<70, using: &generator) }
    }

    @Test(arguments: [WeightFormat.f32, .bf16, .q8])
    func whatIsFoundGivesTheSameBits(_ format: WeightFormat) throws {
        let engine = try TinyEngine(format: format)
        let shared = Self.prompt(1, 37)
        let requests = try [nil, "all-linear", "plain"].enumerated().flatMap { index, name in
            let adapter = try name.map { try engine.adapter($0) }
            return [0, 3, 16, 17, 37].map { count in
                Self.request(
                    index * 100 + count,
                    Array(shared[..<(count == 0 ? 37 : count)])
                        + Self.prompt(UInt64(count), count == 37 ? 0 : 8),
                    adapter)
            }
        }
        var cold: [RequestID: Result] = [:]
        for request in requests {
            var core = engine.core(keptBlockCount: 0)
            cold.merge(EngineCoreTests.run(&core, [request])) { $1 }
            #expect(core.status.foundTokenCount == 0 && core.status.keptBlockCount == 0)
        }
        var warm = engine.core()
        for _ in 0..<3 {
            for request in requests {
                #expect(EngineCoreTests.run(&warm, [request])[request.id] == cold[request.id])
            }
        }
        #expect(warm.status.foundTokenCount > 32 * 3 * 3)
        #expect(warm.status.freeBlockCount == warm.status.blockCount)
        // All at once, twice: they find each other's blocks while they run.
        var crowd = engine.core()
        #expect(EngineCoreTests.run(&crowd, requests) == cold)
        #expect(EngineCoreTests.run(&crowd, requests) == cold)
        #expect(crowd.status.freeBlockCount == crowd.status.blockCount)
    }

    /// The same tokens under another adapter are another prefix.
    @Test func adaptersDoNotShare() throws {
        let engine = try TinyEngine()
        let prompt = Self.prompt(4, 40)
        var core = engine.core()
        for (index, name) in [nil, "all-linear", "plain"].enumerated() {
            let adapter = try name.map { try engine.adapter($0) }
            _ = EngineCoreTests.run(&core, [Self.request(index, prompt, adapter)])
        }
        #expect(core.status.foundTokenCount == 0)
        _ = EngineCoreTests.run(&core, [Self.request(9, prompt, try engine.adapter("all-linear"))])
        #expect(core.status.foundTokenCount == 32)
    }

    /// Before it acts, an adapter that is invoked by tokens is the base, and finds the base's blocks; what
    /// it computed itself is found by nobody else, nor where it acted from another token on.
    @Test func whatComesBeforeAnInvocationIsTheBase() throws {
        let engine = try TinyEngine()
        let adapter = try engine.adapter("alora-once")
        func prompt(invokedAt places: [Int], count: Int = 50) -> [Int32] {
            var prompt = Self.prompt(4, count).map { $0 == 61 ? 60 : $0 }
            for place in places { prompt.replaceSubrange(place..<place + 2, with: [61, 33]) }
            return prompt
        }
        func run(_ core: inout EngineCore, _ request: EngineRequest) -> (Result?, found: Int) {
            let before = core.status.foundTokenCount
            let result = EngineCoreTests.run(&core, [request])[request.id]
            return (result, core.status.foundTokenCount - before)
        }
        let cases: [(prompt: [Int32], adapter: DeviceAdapter?, found: Int)] = [
            (prompt(invokedAt: [33]), nil, 0),
            // Two blocks of the base's, and then its own.
            (prompt(invokedAt: [33]), adapter, 32),
            (prompt(invokedAt: [33]), adapter, 48),
            // Not invoked at all: the base, which has computed the first two blocks of these tokens.
            (prompt(invokedAt: []), adapter, 32),
            (prompt(invokedAt: []), nil, 48),
            // The same first three blocks, in which it acts from elsewhere on.
            (prompt(invokedAt: [33, 46]), adapter, 32),
            (prompt(invokedAt: [33, 46, 48]), adapter, 32),
            (prompt(invokedAt: [31]), adapter, 16),
            (prompt(invokedAt: [31, 40]), adapter, 16),
        ]
        var core = engine.core()
        for (index, item) in cases.enumerated() {
            let request = Self.request(index, item.prompt, item.adapter)
            var alone = engine.core(keptBlockCount: 0)
            let (result, found) = run(&core, request)
            #expect(found == item.found, "case \(index)")
            #expect(result == run(&alone, request).0, "case \(index)")
        }
    }

    /// Scoring a prompt computes every row of it.
    @Test func scoringFindsNothing() throws {
        let engine = try TinyEngine()
        var core = engine.core()
        var request = Self.request(1, Self.prompt(5, 40))
        request.parameters.promptLogprobCount = 1
        let first = EngineCoreTests.run(&core, [request])
        #expect(EngineCoreTests.run(&core, [request]) == first)
        #expect(first[request.id]?.promptLogprobs.count == 2 * 39)
        #expect(core.status.foundTokenCount == 0)
    }

    /// Random arrivals, cancellations and far too few blocks: every completion equals the one computed
    /// alone, and in the end every block is there.
    @Test(arguments: 0..<6 as Range<UInt64>)
    func seededTrafficLosesNothing(seed: UInt64) throws {
        let engine = try TinyEngine(format: seed % 2 == 0 ? .bf16 : .f32)
        let adapters = [nil, try engine.adapter("all-linear"), try engine.adapter("plain")]
        var generator = SeededGenerator(seed: seed)
        let requests = (1...60).map { id in
            // Few beginnings, so that prefixes meet.
            let length = Int.random(in: 1...44, using: &generator)
            let beginning = Self.prompt(UInt64.random(in: 0..<3, using: &generator), 44)
            let tail = Self.prompt(UInt64(id), Int.random(in: 0...6, using: &generator))
            return Self.request(
                id, Array(beginning[..<length]) + tail,
                adapters.randomElement(using: &generator) ?? nil,
                tokens: Int.random(in: 1...9, using: &generator))
        }
        var expected: [RequestID: Result] = [:]
        for request in requests {
            var alone = engine.core(keptBlockCount: 0)
            expected.merge(EngineCoreTests.run(&alone, [request])) { $1 }
        }
        var core = engine.core(
            maximumSequences: 6, maximumStepTokens: Int.random(in: 5...40, using: &generator),
            blockCount: Int.random(in: 4...12, using: &generator),
            keptBlockCount: seed % 3 == 0 ? 1000 : 3)
        var waiting = requests[...]
        var collected: [RequestID: Result] = [:]
        var cancelled: Set<RequestID> = []
        var steps = 0
        while !waiting.isEmpty || !core.isIdle {
            for _ in 0..<Int.random(in: 0...3, using: &generator) {
                if let next = waiting.popFirst() { core.apply(.submit(next)) }
            }
            if Int.random(in: 0..<12, using: &generator) == 0,
                let any = requests.randomElement(using: &generator),
                !waiting.contains(where: { $0.id == any.id }), collected[any.id]?.finish == nil
            {
                cancelled.insert(any.id)
                core.apply(.cancel(any.id))
            }
            EngineCoreTests.collect(core.step(), into: &collected)
            #expect(core.status.freeBlockCount <= core.status.blockCount)
            #expect(seed % 3 == 0 || core.status.keptBlockCount <= 3)
            steps += 1
            try #require(steps < 20_000)
        }
        for request in requests where !cancelled.contains(request.id) {
            #expect(collected[request.id] == expected[request.id])
        }
        #expect(core.status.freeBlockCount == core.status.blockCount)
        #expect(core.status.foundTokenCount > 0)
    }
}
