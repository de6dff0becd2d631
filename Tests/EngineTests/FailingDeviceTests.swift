import Adapters
import Engine
import StepModels
import Tensors
import TestSupport
import Testing
import Transformer

/// A device that cannot go on ends its requests by name and the engine's service with an error, so that a supervisor
/// starts the process anew.
struct FailingDeviceTests {
    /// Computes nothing, and fails at the first step.
    final class BrokenModel: StepModel {
        let vocabularySize = 70
        let kernels = KernelSet.available[0]
        let memberCount = 1
        let deviceUsage: DeviceUsage? = nil

        func forward(_ batch: Batch, wanting wanted: [Int]) throws(StepFailure) -> WantedRows {
            throw StepFailure("vkQueueSubmit2 gave VkResult -4 (device_lost)")
        }

        func logits(
            of rows: Range<Int>, in wanted: WantedRows, peaksOnly: Bool
        ) throws(StepFailure) -> (logits: Matrix, peaks: [LogitPeak]) {
            throw StepFailure("nothing was computed")
        }

        func hiddenStates(
            of rows: Range<Int>, in wanted: WantedRows
        ) throws(StepFailure) -> Matrix { throw StepFailure("nothing was computed") }

        func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {}
        func cacheByteCount(blockCount: Int) -> Int { 0 }
        func free(_ blocks: [Int32]) {}
        func keep(_ adapters: Set<AdapterDigest>) {}
        func bring(_ adapters: [DeviceAdapter]) -> Set<AdapterDigest> { [] }
        func waitForAdapter() {}
    }

    /// Has no place for one adapter.
    final class RefusingModel: StepModel {
        let inner: DecoderModel
        let refused: AdapterDigest

        init(_ inner: DecoderModel, refusing refused: AdapterDigest) {
            self.inner = inner
            self.refused = refused
        }

        var vocabularySize: Int { inner.vocabularySize }
        var kernels: KernelSet { inner.kernels }
        var memberCount: Int { inner.memberCount }
        var deviceUsage: DeviceUsage? { nil }

        func forward(_ batch: Batch, wanting wanted: [Int]) throws(StepFailure) -> WantedRows {
            if batch.segments.contains(where: { $0.adapter.digest == refused }) {
                throw StepFailure("no place", adapter: refused)
            }
            return inner.forward(batch, wanting: wanted)
        }

        func logits(
            of rows: Range<Int>, in wanted: WantedRows, peaksOnly: Bool
        ) throws(StepFailure) -> (logits: Matrix, peaks: [LogitPeak]) {
            inner.logits(of: rows, in: wanted, peaksOnly: peaksOnly)
        }

        func hiddenStates(
            of rows: Range<Int>, in wanted: WantedRows
        ) throws(StepFailure) -> Matrix { inner.hiddenStates(of: rows, in: wanted) }

        func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {
            inner.forEach(count, work)
        }
        func cacheByteCount(blockCount: Int) -> Int { 0 }
        func free(_ blocks: [Int32]) {}
        func keep(_ adapters: Set<AdapterDigest>) {}
        func bring(_ adapters: [DeviceAdapter]) -> Set<AdapterDigest> { [] }
        func waitForAdapter() {}
    }

    /// An adapter that has no place fails its own requests; the others' results are what they are without it.
    @Test func anAdapterWithoutAPlaceFailsAlone() throws {
        let engine = try TinyEngine()
        let adapters = try ["plain", "dora"].map(engine.adapter)
        let requests = (1...6).map { number in
            EngineCoreTests.request(
                number, adapter: number % 3 == 0 ? nil : adapters[number % 3 - 1], promptCount: 9)
        }
        let kept = requests.filter { $0.adapter !== adapters[1] }
        var roomy = engine.core()
        let expected = EngineCoreTests.run(&roomy, kept)
        var core = engine.core(
            model: RefusingModel(
                engine.model(maximumRows: 64, blockCount: 128), refusing: adapters[1].digest))
        for request in requests { core.apply(.submit(request)) }
        var results: [RequestID: EngineCoreTests.Result] = [:]
        var refused: Set<RequestID> = []
        while !core.isIdle {
            let outputs = core.step()
            EngineCoreTests.collect(outputs, into: &results)
            for output in outputs {
                guard case .failed(let failure) = output.event else { continue }
                #expect(failure == .adapterRefused)
                refused.insert(output.id)
            }
        }
        #expect(results == expected)
        #expect(refused == Set(requests.filter { $0.adapter === adapters[1] }.map(\.id)))
        #expect(core.failure == nil && core.status.freeBlockCount == 128)
    }

    @Test func theServiceEndsWithTheDevicesError() async throws {
        let limits = EngineLimits(
            maximumSequences: 4, maximumStepTokens: 16, maximumContext: 64, blockCount: 16,
            maximumWaiting: 4)
        let engine = InferenceEngine(limits: limits) {
            EngineCore(model: BrokenModel(), limits: limits)
        }
        let service = Task { try await engine.run() }
        let streams = try (1...2).map { number in
            try engine.submit(
                EngineRequest(
                    id: engine.nextID(), prompt: [Int32(number)], adapter: nil, adapterName: nil,
                    parameters: SamplingParameters()))
        }
        #expect(streams.count == 2)
        for stream in streams {
            let failure = await #expect(throws: EngineFailure.self) {
                for try await _ in stream {}
            }
            #expect(failure == .deviceLost)
        }
        let error = await #expect(throws: StepFailure.self) { try await service.value }
        #expect(error?.description.contains("device_lost") == true)
    }
}
