import Adapters
import Engine
import TestSupport
import Testing

/// What each owner of requests gets of the engine while others want it too.
struct FairnessTests {
    private static func request(
        _ id: Int, _ flow: Flow, promptCount: Int = 8, tokens: Int = 40,
        adapter: DeviceAdapter? = nil
    ) -> EngineRequest {
        var parameters = SamplingParameters()
        parameters.maximumTokens = tokens
        parameters.temperature = 0
        return EngineRequest(
            id: RequestID(UInt64(id)), prompt: PrefixCacheTests.prompt(UInt64(id), promptCount),
            adapter: adapter, adapterName: nil, flow: flow, parameters: parameters)
    }

    /// Runs a core step by step and notes whose tokens come.
    private struct Run {
        var core: EngineCore
        var owners: [RequestID: String] = [:]
        var counts: [String: Int] = [:]
        var tokens: [RequestID: [Int32]] = [:]
        private var lastID = 0

        init(_ core: EngineCore) { self.core = core }

        @discardableResult
        mutating func submit(
            _ flow: Flow, promptCount: Int = 8, tokens: Int = 40, adapter: DeviceAdapter? = nil
        ) -> RequestID {
            lastID += 1
            let request = FairnessTests.request(
                lastID, flow, promptCount: promptCount, tokens: tokens, adapter: adapter)
            owners[request.id] = flow.owner
            core.apply(.submit(request))
            return request.id
        }

        /// - Returns: who got a token.
        @discardableResult
        mutating func step() -> [RequestID] {
            core.step().compactMap { output in
                guard case .step(let step) = output.event, let token = step.token else {
                    return nil
                }
                counts[owners[output.id] ?? "", default: 0] += 1
                tokens[output.id, default: []].append(token)
                return output.id
            }
        }
    }

    /// Two owners who always have more than the engine can do get tokens by their weights, whoever came first and however
    /// many requests each has.
    @Test(arguments: [(1.0, 1.0), (3, 1), (1, 3), (1, 10)])
    func backloggedOwnersShareByWeight(first: Double, second: Double) throws {
        var run = Run(try TinyEngine().core(maximumSequences: 8))
        let (a, b) = (Flow(owner: "a", weight: first), Flow(owner: "b", weight: second))
        for _ in 0..<64 { run.submit(a) }
        for _ in 0..<30 { run.step() }
        let head = run.counts["a"] ?? 0
        run.counts = [:]
        for _ in 0..<12 { run.submit(b) }
        for step in 0..<600 {
            run.step()
            if step % 5 == 0 {
                run.submit(a)
                run.submit(b)
            }
        }
        let (gotA, gotB) = (Double(run.counts["a"] ?? 0), Double(run.counts["b"] ?? 0))
        #expect(head > 150)
        // Neither waits: seats are full throughout.
        #expect(gotA + gotB > 600 * 7)
        #expect(abs(gotA / (gotA + gotB) - first / (first + second)) < 0.03)
    }

    /// At no time do two backlogged owners drift apart by more than decision 16 says.
    @Test(arguments: [(2, 1.0), (8, 1), (8, 3), (16, 0.2)])
    func twoOwnersNeverDriftApart(seats: Int, weight: Double) throws {
        var run = Run(try TinyEngine().core(maximumSequences: seats))
        let flows = [Flow(owner: "a", weight: weight), Flow(owner: "b")]
        // A prompt, what must be computed before a seat is given up, and the margin.
        let bound = 16.0 + 2 * 16 * Double(seats) + 128 + 2 * Double(seats)
        var (widest, prompts) = (0.0, [String: Int]())
        for step in 0..<300 {
            for index in 0..<(step == 0 ? 2 * seats : seats) {
                run.submit(flows[0], promptCount: 16, tokens: 40)
                run.submit(flows[1], promptCount: 16, tokens: 2 + index % 7)
            }
            for id in run.step() where run.tokens[id]?.count == 1 {
                prompts[run.owners[id] ?? "", default: 0] += 16
            }
            func served(_ flow: Flow) -> Double {
                Double(2 * (run.counts[flow.owner] ?? 0) + (prompts[flow.owner] ?? 0)) / flow.weight
            }
            widest = max(widest, abs(served(flows[0]) - served(flows[1])))
        }
        #expect(widest <= bound / min(weight, 1))
        #expect(widest > 0)
    }

    /// Who comes while another owner has all seats and a long line is in the next step.
    @Test func aNewcomerDoesNotWaitForALine() throws {
        var run = Run(try TinyEngine().core(maximumSequences: 4))
        for _ in 0..<64 { run.submit(Flow(owner: "flood")) }
        for _ in 0..<20 { run.step() }
        var waits: [Int] = []
        for _ in 0..<20 {
            let id = run.submit(Flow(owner: "quiet"), tokens: 2)
            waits.append((1...100).first { _ in run.step().contains(id) } ?? 100)
            for _ in 0..<7 { run.step() }
        }
        #expect(waits.allSatisfy { $0 == 1 }, "\(waits)")
        // Nobody loses what was computed: there was room for all.
        #expect(run.core.status.preemptionCount == 0)
    }

    /// Somebody who asks little at a time, but again and again, is always new, and gets no more for it.
    @Test(arguments: [(30, 1), (4, 2), (48, 3)])
    func askingOftenGetsNoMoreThanOnesShare(promptCount: Int, tokens: Int) throws {
        var run = Run(try TinyEngine().core(maximumSequences: 4))
        for _ in 0..<200 { run.submit(Flow(owner: "flood")) }
        for _ in 0..<20 { run.step() }
        run.counts = [:]
        var asked = 0
        for _ in 0..<300 {
            let id = run.submit(
                Flow(owner: "often"), promptCount: promptCount, tokens: tokens)
            asked += 1
            while run.tokens[id]?.count != tokens { run.step() }
        }
        let often = asked * (promptCount + 2 * (tokens - 1))
        let flood = 2 * (run.counts["flood"] ?? 0) + 8 * (run.counts["flood"] ?? 0) / 40
        #expect(often <= flood + 128 + 2 * promptCount)
    }

    /// Time without requests earns nothing and costs nothing.
    @Test func whoComesBackIsNeitherAheadNorBehind() throws {
        var run = Run(try TinyEngine().core(maximumSequences: 8))
        let (a, b) = (Flow(owner: "a"), Flow(owner: "b"))
        // One works alone while the other is away, then the other way round.
        for (busy, other) in [(a, b), (b, a)] {
            for _ in 0..<40 { run.submit(busy) }
            for _ in 0..<60 { run.step() }
            run.counts = [:]
            for _ in 0..<40 { run.submit(other) }
            for _ in 0..<100 { run.step() }
            let (x, y) = (run.counts[busy.owner] ?? 0, run.counts[other.owner] ?? 0)
            #expect(abs(x - y) < (x + y) / 10, "\(busy.owner) \(x), \(other.owner) \(y)")
            while !run.core.isIdle { run.step() }
        }
    }

    /// More urgent requests get seats at once and keep them, less urgent ones what is left.
    @Test func urgentRequestsGoFirst() throws {
        var run = Run(try TinyEngine().core(maximumSequences: 2))
        for _ in 0..<4 { run.submit(Flow(owner: "batch", priority: 5)) }
        for _ in 0..<4 { run.step() }
        let urgent = (0..<2).map { _ in run.submit(Flow(owner: "live"), tokens: 6) }
        // The first step is for what has nothing in it yet.
        #expect(Set(run.step()).isSubset(of: urgent))
        for _ in 0..<4 { #expect(Set(run.step()) == Set(urgent)) }
        while run.counts["live"] != 12 { run.step() }
        let before = run.counts["batch"] ?? 0
        run.counts = [:]
        while !run.core.isIdle { run.step() }
        #expect(run.counts["batch"] == 4 * 40 - before)
    }

    /// Adapters of one owner take turns too, once one of them is far ahead.
    @Test func oneAdaptersFloodLeavesOthersTheirTurn() throws {
        let engine = try TinyEngine()
        let (flood, quiet) = (try engine.adapter("plain"), try engine.adapter("dora"))
        var run = Run(engine.core(maximumSequences: 4))
        let flow = Flow(owner: "a")
        for _ in 0..<64 { run.submit(flow, adapter: flood) }
        let id = run.submit(flow, tokens: 2, adapter: quiet)
        let steps = (1...2000).first { _ in run.step().contains(id) } ?? 2000
        // In turn it would be after 16 times 40 steps.
        #expect(steps < 200)
    }

    /// Owners with more than there is memory for finish all the same, with the same tokens.
    @Test(arguments: [5, 6, 9])
    func scarceBlocksEndNobodysWait(blockCount: Int) throws {
        func all(_ core: EngineCore) -> (Run, Int) {
            var run = Run(core)
            for index in 0..<18 {
                run.submit(
                    Flow(owner: "\(index % 3)", priority: index % 7 == 0 ? 1 : 0),
                    promptCount: 1 + index * 2 % 23, tokens: 41 - index)
            }
            var steps = 0
            while !run.core.isIdle, steps < 20_000 {
                run.step()
                steps += 1
            }
            return (run, steps)
        }
        let engine = try TinyEngine()
        let (wide, _) = all(engine.core())
        let (tight, steps) = all(engine.core(maximumSequences: 3, blockCount: blockCount))
        #expect(steps < 20_000)
        #expect(tight.tokens == wide.tokens)
        #expect(tight.core.status.freeBlockCount == blockCount)
    }

    /// What one scope has computed is found by it, and by nobody else: not even the time that it takes tells of it.
    @Test func prefixesAreFoundWithinTheirScope() throws {
        let engine = try TinyEngine()
        var core = engine.core()
        let adapter = try engine.adapter("plain")
        let scopes = [nil, PrefixScope(hash: 0..<16), PrefixScope(hash: 1..<17)]
        for adapter in [nil, adapter] {
            var tokens: Set<[Int32]> = []
            for round in 0..<2 {
                for (index, scope) in scopes.enumerated() {
                    var parameters = SamplingParameters()
                    parameters.maximumTokens = 3
                    parameters.temperature = 0
                    let id = RequestID(UInt64(round * 10 + index + (adapter == nil ? 0 : 100)))
                    core.apply(
                        .submit(
                            EngineRequest(
                                id: id, prompt: PrefixCacheTests.prompt(7, 40), adapter: adapter,
                                adapterName: nil, prefixScope: scope, parameters: parameters)))
                    var (found, chosen) = (0, [Int32]())
                    while !core.isIdle {
                        for output in core.step() {
                            guard case .step(let step) = output.event else { continue }
                            found = step.foundPromptCount
                            if let token = step.token { chosen.append(token) }
                        }
                    }
                    #expect(found == (round == 0 ? 0 : 32))
                    tokens.insert(chosen)
                }
            }
            #expect(tokens.count == 1)
        }
    }

    /// A request that goes away while it stands aside gives back what it held.
    @Test func cancelledOnesGiveBackTheirBlocks() throws {
        var run = Run(try TinyEngine().core(maximumSequences: 2))
        let first = (0..<6).map { _ in run.submit(Flow(owner: "a")) }
        for _ in 0..<20 { run.step() }
        for _ in 0..<6 { run.submit(Flow(owner: "b")) }
        for _ in 0..<20 { run.step() }
        for id in first { run.core.apply(.cancel(id)) }
        while !run.core.isIdle { run.step() }
        #expect(run.core.status.freeBlockCount == 128)
        #expect(run.counts["b"] == 240)
    }
}
