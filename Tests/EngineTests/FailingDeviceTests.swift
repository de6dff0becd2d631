import Adapters
import Engine
import StepModels
import Tensors
import Testing

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

        func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {}
        func cacheByteCount(blockCount: Int) -> Int { 0 }
        func free(_ blocks: [Int32]) {}
        func keep(_ adapters: Set<AdapterDigest>) {}
    }

    @Test func theServiceEndsWithTheDevicesError() async throws {
        let limits = EngineLimits(
            maximumSequences: 4, maximumStepTokens: 16, maximumContext: 64, blockCount: 16,
            maximumWaiting: 4)
        let engine = InferenceEngine(limits: limits) {
            EngineCore(model: BrokenModel(), limits: limits)
        }
        let service = Task { try await engine.run() }
        let streams = (1...2).compactMap { number in
            engine.submit(
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
