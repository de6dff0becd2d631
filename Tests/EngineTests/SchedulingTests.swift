import Adapters
import Engine
import TestSupport
import Testing

/// Who is computed when: results are the same anyway, waiting is not.
struct SchedulingTests {
    private static func request(
        _ id: Int, promptCount: Int, tokens: Int = 40, adapter: DeviceAdapter? = nil
    ) -> EngineRequest {
        var parameters = SamplingParameters()
        parameters.maximumTokens = tokens
        parameters.temperature = 0
        let prompt = PrefixCacheTests.prompt(UInt64(id), promptCount)
        return EngineRequest(
            id: RequestID(UInt64(id)), prompt: prompt, adapter: adapter, adapterName: nil,
            parameters: parameters)
    }

    /// Beside a sequence that decodes, a prompt gets half of the step's tokens; alone it gets all.
    @Test func promptsLeaveDecodingSequencesTheirPace() throws {
        let engine = try TinyEngine()
        func steps(besideDecode: Bool) -> Int {
            var core = engine.core(maximumStepTokens: 16)
            if besideDecode {
                core.apply(.submit(Self.request(1, promptCount: 4)))
                #expect(core.step().map(\.id) == [RequestID(1)])
            }
            core.apply(.submit(Self.request(2, promptCount: 60, tokens: 2)))
            for count in 1...20 {
                let ids = core.step().map(\.id)
                #expect(ids.contains(RequestID(1)) == besideDecode)
                if ids.contains(RequestID(2)) { return count }
            }
            return 0
        }
        #expect(steps(besideDecode: false) == 4)
        #expect(steps(besideDecode: true) == 8)
    }

    /// A request whose adapter runs already goes first, but not before others forever.
    @Test func adaptersShareStepsWithinBounds() throws {
        let engine = try TinyEngine()
        let adapter = try engine.adapter("plain")
        var core = engine.core(maximumSequences: 2)
        core.apply(.submit(Self.request(1, promptCount: 4, tokens: 50, adapter: adapter)))
        core.apply(.submit(Self.request(2, promptCount: 4, tokens: 2)))
        core.apply(.submit(Self.request(3, promptCount: 4, tokens: 2)))
        for id in 4..<24 {
            core.apply(.submit(Self.request(id, promptCount: 4, tokens: 2, adapter: adapter)))
        }
        var order: [RequestID] = []
        while !core.isIdle {
            for output in core.step() where !order.contains(output.id) { order.append(output.id) }
        }
        #expect(order.count == 23)
        #expect(order.prefix(3) == [RequestID(1), RequestID(4), RequestID(5)])
        // The first in line is passed over eight times, the one behind it as often and once by it.
        #expect(order.firstIndex(of: RequestID(2)) == 9)
        #expect(order.firstIndex(of: RequestID(3)) == 10)
    }

    @Test func aPromptFoundInTheCacheIsCounted() throws {
        let engine = try TinyEngine()
        var core = engine.core()
        var found: [Int] = []
        for id in [7, 7] {
            core.apply(.submit(Self.request(id, promptCount: 40, tokens: 1)))
            while !core.isIdle {
                for output in core.step() {
                    if case .step(let step) = output.event { found.append(step.foundPromptCount) }
                }
            }
        }
        #expect(found == [0, 32])
    }
}
