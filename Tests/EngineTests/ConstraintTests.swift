import Engine
import StepModels
import Synchronization
import TestSupport
import Testing

/// Completions that must be something, token by token.
struct ConstraintTests {
    /// Tokens whose number modulo three is that of their place; after five of them nothing follows.
    final class Counting: TokenConstraint {
        let start: Int32 = 0
        /// From this state on it does not know any more.
        let stuck: Int32
        /// How often it asks for more time before it knows a state.
        let delay: Int
        private let asked = Mutex<[Int32: Int]>([:])

        init(stuck: Int32 = .max, delay: Int = 0) {
            self.stuck = stuck
            self.delay = delay
        }

        func allowed(in state: Int32) -> AllowedTokens {
            guard state < stuck else { return .unknown }
            let count = asked.withLock { asked in
                asked[state, default: 0] += 1
                return asked[state] ?? 0
            }
            guard count > delay else { return .pending }
            var mask: [UInt64] = [0, 0]
            for token in 0..<70 where next(state, Int32(token)) != nil {
                mask[token / 64] |= 1 << UInt64(token % 64)
            }
            return .mask(mask)
        }

        func next(_ state: Int32, _ token: Int32) -> Int32? {
            state < min(5, stuck) && token % 3 == state % 3 ? state + 1 : nil
        }

        /// Of which only the first is.
        func forced(in state: Int32) -> [Int32] {
            state == 1 ? [1, 1, 1] : []
        }

        func mayEnd(in state: Int32) -> Bool { state == 5 }
        func mayContinue(in state: Int32) -> Bool { state < 5 }
    }

    private static func request(
        _ number: Int, _ constraint: (any TokenConstraint)?, temperature: Float
    ) -> EngineRequest {
        var parameters = SamplingParameters()
        parameters.maximumTokens = 12
        parameters.temperature = temperature
        parameters.seed = UInt64(number)
        return EngineRequest(
            id: RequestID(UInt64(number)), prompt: [1, 2, Int32(3 + number)], adapter: nil,
            adapterName: nil, parameters: parameters, constraint: constraint)
    }

    /// A mask that takes several steps changes no token, its own request's or another's.
    @Test func slowMasksChangeNothing() throws {
        let engine = try TinyEngine()
        func tokens(_ delay: Int) -> [RequestID: [Int32]] {
            var core = engine.core()
            let requests = (1...6).map {
                Self.request(
                    $0, $0 % 2 == 0 ? Counting(delay: delay) : nil, temperature: 1.5)
            }
            return EngineCoreTests.run(&core, requests).mapValues(\.tokens)
        }
        let fast = tokens(0)
        #expect(fast.count == 6 && tokens(3) == fast)
    }

    /// Beside requests that may say anything, whose tokens stay what they are.
    @Test(arguments: [0, 1.5] as [Float])
    func constrainedRowsKeepToIt(_ temperature: Float) throws {
        let engine = try TinyEngine()
        let constraint = Counting()
        let requests = (1...8).map {
            Self.request($0, $0 % 2 == 0 ? constraint : nil, temperature: temperature)
        }
        var together = engine.core()
        let all = EngineCoreTests.run(&together, requests)
        for request in requests {
            var alone = engine.core()
            let single = EngineCoreTests.run(&alone, [request])[request.id]
            #expect(single != nil && single == all[request.id])
            guard request.constraint != nil, let tokens = all[request.id]?.tokens else { continue }
            #expect(tokens.count == 5)
            #expect(tokens.enumerated().allSatisfy { $0.element % 3 == Int32($0.offset % 3) })
        }
    }

    @Test func oneThatDoesNotKnowFailsAlone() throws {
        let engine = try TinyEngine()
        var core = engine.core()
        let requests = [
            Self.request(1, Counting(stuck: 2), temperature: 1),
            Self.request(2, nil, temperature: 1),
        ]
        for request in requests { core.apply(.submit(request)) }
        var failed: [RequestID] = []
        var finished: [RequestID] = []
        while !core.isIdle {
            for output in core.step() {
                switch output.event {
                case .failed(let failure):
                    #expect(failure == .constraintFailed)
                    failed.append(output.id)
                case .step(let step): if step.finish != nil { finished.append(output.id) }
                }
            }
        }
        #expect(failed == [requests[0].id] && finished == [requests[1].id])
        #expect(core.failure == nil)
    }
}
