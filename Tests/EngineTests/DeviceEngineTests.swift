import Adapters
import Devices
import Engine
import Tensors
import TestSupport
import Testing

/// On a GPU too: whatever shares the batch, however the prompt is chunked, whatever is preempted or leaves the device, the
/// same bits.
@Suite(
    .enabled(if: TestDevice.isThere, "no Vulkan driver: see docs/operating/gpus.md"), .serialized)
struct DeviceEngineTests {
    typealias Result = EngineCoreTests.Result

    static func core(
        _ engine: TinyEngine, on device: Device, maximumStepTokens: Int = 64, blockCount: Int = 128,
        deviceMemory: DeviceMemory? = nil
    ) throws -> EngineCore {
        engine.core(
            maximumStepTokens: maximumStepTokens, blockCount: blockCount,
            deviceMemory: deviceMemory,
            model: try engine.deviceModel(
                maximumRows: maximumStepTokens, blockCount: blockCount, on: device))
    }

    static let kinds = [
        ("llama", EngineCoreTests.lowRank), ("mistral", EngineCoreTests.lowRank),
        ("qwen3", EngineCoreTests.others), ("llama", EngineCoreTests.others),
    ]

    @Test(arguments: [WeightFormat.f32, .bf16], kinds)
    func resultsDoNotDependOnTheBatchChunksOrPreemption(
        _ format: WeightFormat, _ adapters: (family: String, names: [String?])
    ) throws {
        let engine = try TinyEngine(family: adapters.family, format: format)
        let device = try TestDevice.open()
        let requests = try EngineCoreTests.mixed(engine, count: 12, adapters.names)
        var together = try Self.core(engine, on: device)
        let all = EngineCoreTests.run(&together, requests)
        #expect(all.count == 12)
        var alone = try Self.core(engine, on: device)
        for request in requests {
            let single = EngineCoreTests.run(&alone, [request])[request.id]
            #expect(single != nil && single == all[request.id])
        }
        var chunked = try Self.core(engine, on: device, maximumStepTokens: 3)
        #expect(EngineCoreTests.run(&chunked, requests) == all)
        var tight = try Self.core(engine, on: device, blockCount: 5)
        #expect(EngineCoreTests.run(&tight, requests) == all)
        #expect(tight.status.preemptionCount > 0)
    }

    /// Adapters leave the device and come back.
    @Test func takingTurnsChangesNoBits() throws {
        let engine = try TinyEngine()
        let device = try TestDevice.open()
        let requests = try EngineCoreTests.mixed(engine, count: 14)
        var roomy = try Self.core(engine, on: device)
        let expected = EngineCoreTests.run(&roomy, requests)
        let largest = requests.compactMap { $0.adapter?.byteCount }.max() ?? 0
        var tight = try Self.core(
            engine, on: device,
            deviceMemory: DeviceMemory(
                byteCount: largest + 128 << 10, blockByteCount: 1 << 10, adapterFloor: largest,
                blockFloor: 128))
        #expect(EngineCoreTests.run(&tight, requests) == expected)
        #expect(tight.status.activationCount > 6)
    }

    /// The CPU and a GPU choose the same tokens where nothing is close.
    @Test func greedyTokensAreTheCPUs() throws {
        let engine = try TinyEngine(format: .f32)
        let device = try TestDevice.open()
        let requests = try EngineCoreTests.lowRank.enumerated().map { index, name in
            EngineCoreTests.request(
                index + 1, adapter: try name.map(engine.adapter), promptCount: 5 + index
            ) { $0.temperature = 0 }
        }
        var (host, other) = (engine.core(), try Self.core(engine, on: device))
        let expected = EngineCoreTests.run(&host, requests)
        let found = EngineCoreTests.run(&other, requests)
        #expect(found.mapValues(\.tokens) == expected.mapValues(\.tokens))
    }
}

extension DeviceEngineTests {
    /// A device that is lost at any call of a step fails every request, by name, and nothing hangs.
    @Test func aLostDeviceFailsEveryRequest() throws {
        let engine = try TinyEngine()
        let device = try TestDevice.open()
        let requests = try EngineCoreTests.mixed(engine, count: 4)
        var failures = 0
        for call in stride(from: 0, to: 60, by: 3) {
            var core = try Self.core(engine, on: device)
            var ends: [RequestID: Bool] = [:]
            for request in requests { core.apply(.submit(request)) }
            _ = DeviceFault.lost.strike(at: call) {
                var steps = 0
                while !core.isIdle, steps < 1000 {
                    for output in core.step() {
                        switch output.event {
                        case .failed(let failure):
                            #expect(failure == .deviceLost)
                            ends[output.id] = false
                        case .step(let step):
                            if step.finish != nil { ends[output.id] = true }
                        }
                    }
                    steps += 1
                }
            }
            #expect(ends.count == requests.count, "call \(call)")
            guard core.failure != nil else { continue }
            failures += 1
            // Nothing is computed any more.
            core.apply(.submit(requests[0]))
            let outputs = core.step()
            #expect(outputs.count == 1 && core.isIdle)
        }
        #expect(failures > 10)
    }
}
