import Engine
import Tensors
import TestSupport
import Testing

/// Drafts save steps and change nothing else.
struct DraftTests {
    /// The same request with something said about its completion.
    private func request(
        _ request: EngineRequest, predicting prediction: [Int32]
    ) -> EngineRequest {
        EngineRequest(
            id: request.id, prompt: request.prompt, adapter: request.adapter, adapterName: nil,
            parameters: request.parameters, constraint: request.constraint,
            prediction: prediction)
    }

    /// All kinds of requests: greedy and drawn, with penalties, log probabilities, ends and constraints.
    private func requests(_ engine: TinyEngine, count: Int) throws -> [EngineRequest] {
        let adapters = try EngineCoreTests.lowRank.map { try $0.map { try engine.adapter($0) } }
        return (1...count).map { number in
            let plain = EngineCoreTests.request(
                number, adapter: adapters[number % adapters.count], promptCount: 1 + number % 23,
                maximumTokens: 1 + number % 29, seed: UInt64(number)
            ) { parameters in
                parameters.temperature = [0, 0.3, 1, 2][number % 4]
                parameters.topK = number % 5 == 0 ? 3 : 0
                parameters.topP = number % 7 == 0 ? 0.8 : 1
                if number % 3 == 0 { parameters.repetitionPenalty = 1.3 }
                if number % 6 == 1 { parameters.frequencyPenalty = 0.4 }
                if number % 2 == 0 { parameters.logprobCount = nil }
                if number % 9 != 0 { parameters.promptLogprobCount = nil }
                if number % 5 == 1 { parameters.endTokens = [7, 8, 9, 10, 11, 12] }
                if number % 10 == 1 { parameters.minimumTokens = 4 }
            }
            let constraint =
                number % 8 == 3
                ? ConstraintTests.Counting(
                    stuck: number % 16 == 3 ? 3 : .max, delay: number % 24 == 3 ? 2 : 0) : nil
            return EngineRequest(
                id: plain.id, prompt: plain.prompt, adapter: plain.adapter, adapterName: nil,
                parameters: plain.parameters, constraint: constraint)
        }
    }

    @Test(arguments: [(8, 64, 4), (64, 512, 30), (15, 16, 3)])
    func draftsChangeNoBit(_ draftRows: Int, _ stepTokens: Int, _ sequences: Int) throws {
        let engine = try TinyEngine()
        let requests = try requests(engine, count: 500)
        var plain = engine.core(maximumSequences: 30, maximumStepTokens: 64, blockCount: 128)
        let expected = EngineCoreTests.run(&plain, requests)
        var generator = SeededGenerator(seed: 9)
        // Some say what will come, some nearly, some something else.
        let predicting = requests.map { one in
            var prediction = expected[one.id]?.tokens ?? []
            switch Int(one.id.description.dropFirst()) ?? 0 {
            case let number where number % 4 == 0: prediction = []
            case let number where number % 4 == 1:
                if let place = prediction.indices.randomElement(using: &generator) {
                    prediction[place] = .random(in: 0..<70, using: &generator)
                }
            case let number where number % 8 == 2: prediction.insert(5, at: 0)
            case let number where number % 16 == 6: prediction += [1, 2, 3, 70, 1_000_000, -1]
            default: break
            }
            return request(one, predicting: prediction)
        }
        // Few blocks: sequences are preempted, and drafts get none.
        var drafting = engine.core(
            maximumSequences: sequences, maximumStepTokens: stepTokens, blockCount: 24,
            draftRows: draftRows)
        var found: [RequestID: EngineCoreTests.Result] = [:]
        var (steps, drafted, accepted, place) = (0, 0, 0, 0)
        while !drafting.isIdle || place < predicting.count, steps < 20_000 {
            if place < predicting.count, drafting.status.waitingCount < 4 {
                drafting.apply(.submit(predicting[place]))
                place += 1
            }
            EngineCoreTests.collect(drafting.step(), into: &found)
            steps += 1
            drafted += drafting.report.draftedCount
            accepted += drafting.report.acceptedCount
            #expect(drafting.report.tokenCount <= stepTokens)
        }
        #expect(found == expected)
        #expect(accepted > 100 && accepted < drafted)
        #expect(drafting.status.freeBlockCount == 24)
    }

    @Test func whatIsPredictedTakesFewerSteps() throws {
        let engine = try TinyEngine()
        let plain = EngineCoreTests.request(
            3, adapter: nil, promptCount: 8, maximumTokens: 40)
        var core = engine.core()
        let tokens = EngineCoreTests.run(&core, [plain])[plain.id]?.tokens ?? []
        #expect(tokens.count == 40)
        var drafting = engine.core(draftRows: 16)
        drafting.apply(.submit(request(plain, predicting: tokens)))
        var last = EngineEvent.Step()
        var steps = 0
        while !drafting.isIdle {
            for output in drafting.step() {
                if case .step(let step) = output.event { last = step }
            }
            steps += 1
        }
        #expect(steps == 4)
        #expect(last.acceptedCount == last.draftedCount && last.acceptedCount >= 36)
    }
}
