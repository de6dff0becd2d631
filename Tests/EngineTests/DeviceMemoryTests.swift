import Adapters
import Engine
import TestSupport
import Testing

/// More adapters in use than the device holds: they take turns, and nothing else changes.
struct DeviceMemoryTests {
    typealias Result = EngineCoreTests.Result

    static let names = ["plain", "all-linear", "dora", "odd-rank", "lora-bias", "rank-over-lane"]
    static let blockByteCount = 1 << 10

    let engine: TinyEngine
    let adapters: [DeviceAdapter]

    init() throws {
        engine = try TinyEngine()
        adapters = try Self.names.map { [engine] in try engine.adapter($0) }
    }

    private var largest: Int { adapters.map(\.byteCount).max() ?? 0 }

    /// Room for the largest adapter and a little more beside the blocks' floor.
    private func memory(adapterBytes: Int, blockFloor: Int, blocks: Int) -> DeviceMemory {
        DeviceMemory(
            byteCount: adapterBytes + blocks * Self.blockByteCount,
            blockByteCount: Self.blockByteCount, adapterFloor: adapterBytes,
            blockFloor: blockFloor)
    }

    private func requests(_ count: Int, tokens: Int = 12) -> [EngineRequest] {
        (0..<count).map { index in
            EngineCoreTests.request(
                index + 1, adapter: index % 7 == 6 ? nil : adapters[index % 7 % adapters.count],
                promptCount: 1 + index * 5 % 40, maximumTokens: tokens
            ) { $0.promptLogprobCount = index % 2 == 0 ? 2 : nil }
        }
    }

    @Test(arguments: [1.0, 1.5, 2.2])
    func takingTurnsChangesNoBits(_ share: Double) throws {
        let requests = requests(21)
        var roomy = engine.core()
        let expected = EngineCoreTests.run(&roomy, requests)
        #expect(roomy.status.activationCount == 0, "Without a limit nobody counts.")
        let bytes = Int(Double(largest) * share)
        var tight = engine.core(
            deviceMemory: memory(adapterBytes: bytes, blockFloor: 128, blocks: 128))
        var results: [RequestID: Result] = [:]
        for request in requests { tight.apply(.submit(request)) }
        var steps = 0
        while !tight.isIdle, steps < 5_000 {
            EngineCoreTests.collect(tight.step(), into: &results)
            #expect(tight.status.deviceAdapterByteCount <= bytes)
            steps += 1
        }
        #expect(results == expected)
        #expect(tight.status.activationCount > Self.names.count)
    }

    /// Whoever is next by fair shares comes onto the device, though many stand before it for another adapter.
    @Test func theNextInTurnComesOntoTheDevice() {
        var core = engine.core(
            maximumSequences: 2,
            deviceMemory: memory(adapterBytes: 2 * largest, blockFloor: 128, blocks: 128))
        for id in 1...40 {
            let adapter = adapters[id == 40 ? 1 : 0]
            core.apply(
                .submit(
                    EngineCoreTests.request(
                        id, adapter: adapter, promptCount: 20, maximumTokens: 40)))
        }
        var steps = 0
        while !core.isIdle, steps < 5_000 {
            steps += 1
            if core.step().contains(where: { $0.id == RequestID(40) }) { break }
        }
        // All of the first adapter's take 19 times 40 steps.
        #expect(steps < 300)
    }

    /// Twice as many adapters as fit: first tokens come nearly as soon as if all did.
    @Test func firstTokensHardlyWait() {
        func firstTokens(_ memory: DeviceMemory?) -> [Int] {
            var core = engine.core(maximumStepTokens: 64, deviceMemory: memory)
            for (index, adapter) in adapters.enumerated() {
                core.apply(
                    .submit(
                        EngineCoreTests.request(
                            index + 1, adapter: adapter, promptCount: 20, maximumTokens: 30)))
            }
            var first: [RequestID: Int] = [:]
            var step = 0
            while !core.isIdle, step < 5_000 {
                step += 1
                for output in core.step() where first[output.id] == nil { first[output.id] = step }
            }
            return first.values.sorted()
        }
        let half = adapters.map(\.byteCount).sorted().suffix(3).reduce(0, +)
        let fits = firstTokens(nil)
        let turns = firstTokens(memory(adapterBytes: half, blockFloor: 128, blocks: 128))
        #expect(fits.count == 6 && turns.count == 6)
        // Whoever is on stays for four steps, then the others have their first tokens.
        #expect(turns[5] <= fits[5] + 6, "\(fits) \(turns)")
    }

    /// Sequences that need blocks take them from adapters that nobody uses, down to their floor.
    @Test func idleAdaptersGiveWayToLongSequences() {
        let total = adapters.reduce(0) { $0 + $1.byteCount }
        let blocks = 8
        let memory = DeviceMemory(
            byteCount: total + blocks * Self.blockByteCount, blockByteCount: Self.blockByteCount,
            adapterFloor: largest, blockFloor: 4)
        var core = engine.core(
            blockCount: 64, keptBlockCount: 0, deviceMemory: memory)
        for (index, adapter) in adapters.enumerated() {
            let request = EngineCoreTests.request(
                index + 1, adapter: adapter, promptCount: 3, maximumTokens: 2)
            core.apply(.submit(request))
            while !core.isIdle { _ = core.step() }
        }
        #expect(core.status.deviceAdapterCount == adapters.count)
        // Twelve sequences of four blocks each want far more than eight.
        for index in 0..<12 {
            core.apply(
                .submit(
                    EngineCoreTests.request(
                        100 + index, adapter: nil, promptCount: 50, maximumTokens: 12)))
        }
        var most = 0
        while !core.isIdle {
            _ = core.step()
            most = max(most, core.status.blockCount - core.status.freeBlockCount)
        }
        #expect(core.status.deviceAdapterCount < adapters.count)
        #expect(core.status.deviceAdapterByteCount >= 0 && most > 0)
    }

    /// A large adapter gets its turn while small ones, of which two fit together, are wanted all the time.
    @Test func aLargeAdapterDoesNotStarve() {
        let sorted = adapters.sorted { $0.byteCount < $1.byteCount }
        let large = sorted[sorted.count - 1]
        var core = engine.core(
            deviceMemory: memory(adapterBytes: large.byteCount, blockFloor: 128, blocks: 128))
        for (index, adapter) in (sorted.prefix(3) + [large]).enumerated() {
            core.apply(
                .submit(
                    EngineCoreTests.request(
                        index + 1, adapter: adapter, promptCount: 2, maximumTokens: 60)))
        }
        var tokens = 0
        for _ in 0..<80 {
            for output in core.step() where output.id == RequestID(4) { tokens += 1 }
        }
        #expect(tokens > 4)
    }

    /// Urgent requests that no block is left for do not keep the device from the one that holds them.
    @Test func whoHoldsTheBlocksIsComputed() {
        let sorted = adapters.sorted { $0.byteCount < $1.byteCount }
        let large = sorted[sorted.count - 1]
        // Four blocks, which one sequence fills.
        var core = engine.core(
            blockCount: 4, keptBlockCount: 0,
            deviceMemory: memory(adapterBytes: large.byteCount, blockFloor: 4, blocks: 4))
        core.apply(
            .submit(
                EngineCoreTests.request(1, adapter: large, promptCount: 50, maximumTokens: 12)))
        _ = core.step()
        for (index, adapter) in sorted.prefix(3).enumerated() {
            core.apply(
                .submit(
                    EngineCoreTests.request(
                        index + 2, adapter: adapter, promptCount: 30, maximumTokens: 2)))
        }
        var steps = 0
        while !core.isIdle, steps < 500 {
            _ = core.step()
            #expect(core.report.tokenCount > 0, "A step computed nothing.")
            steps += 1
        }
        #expect(core.isIdle && steps < 100)
    }
}
