import Adapters
import Conformance
import DeviceTransformer
import Devices
import Engine
import ModelFiles
import StepModels
import Tensors
import TestSupport
import Testing

/// On a GPU too: whatever shares the batch, however the prompt is chunked, whatever is preempted or leaves the device, the
/// same bits.
@Suite(.serialized)
struct DeviceEngineTests {
    typealias Result = EngineCoreTests.Result

    static func core(
        _ engine: TinyEngine, on device: Device, maximumStepTokens: Int = 64, blockCount: Int = 128,
        deviceMemory: DeviceMemory? = nil, draftRows: Int = 0, form: ProductForm? = nil
    ) throws -> EngineCore {
        engine.core(
            maximumStepTokens: maximumStepTokens, blockCount: blockCount,
            deviceMemory: deviceMemory, draftRows: draftRows,
            model: try engine.deviceModel(
                maximumRows: maximumStepTokens, blockCount: blockCount, on: device,
                poolByteCount: deviceMemory?.byteCount, form: form))
    }

    /// A device, and how it multiplies.
    struct Target: Sendable {
        var device: TestDevice
        var weights: WeightFormat
        var products: ProductForm
    }

    /// What the devices have of formats and forms of products.
    static let targets: [Target] = TestDevice.all.flatMap { kind -> [Target] in
        guard let device = try? kind.open() else { return [] }
        let forms = ProductForm.allCases.filter { $0.isThere(on: device.description, .bf16) }
        return [Target(device: kind, weights: .f32, products: .scalar)]
            + forms.map { Target(device: kind, weights: .bf16, products: $0) }
    }

    /// A pool with room for some of the adapters beside so many blocks.
    static func memory(
        _ engine: TinyEngine, on device: Device, adapterBytes: Int, blockCount: Int
    ) -> DeviceMemory {
        let paging = DeviceModel.paging(
            engine.checkpoint.configuration, engine.format == .f32 ? .f32 : .bf16,
            on: device.description)
        let page = paging.pageByteCount
        let bytes = (adapterBytes + page - 1) / page * page
        return DeviceMemory(
            byteCount: bytes + blockCount * page, blockByteCount: page, adapterFloor: bytes,
            blockFloor: blockCount,
            paging: .init(
                pageByteCount: page, tableByteCount: paging.tableByteCount,
                pagesPerPiece: paging.pagesPerPiece))
    }

    struct Case: Sendable {
        var target: Target
        var family: String
        var adapters: [String?]
    }

    /// The played card, which is slow, has one for each form that a real one would use.
    static let cases: [Case] = {
        let kinds = [
            ("llama", EngineCoreTests.lowRank), ("mistral", EngineCoreTests.lowRank),
            ("qwen3", EngineCoreTests.others), ("llama", EngineCoreTests.others),
        ]
        let vulkan = targets.filter { $0.device == .vulkan }.flatMap { target in
            kinds.map { Case(target: target, family: $0.0, adapters: $0.1) }
        }
        return vulkan + [
            Case(
                target: Target(device: .cuda, weights: .f32, products: .scalar),
                family: "qwen3", adapters: EngineCoreTests.others),
            Case(
                target: Target(device: .cuda, weights: .bf16, products: .bf16Tiles),
                family: "llama", adapters: EngineCoreTests.lowRank),
        ]
    }()

    @Test(arguments: TestDevice.all)
    func draftsChangeNoBit(_ kind: TestDevice) throws {
        let engine = try TinyEngine()
        let device = try kind.open()
        let requests = try EngineCoreTests.mixed(engine, count: 4, maximumTokens: 10)
        var plain = try Self.core(engine, on: device)
        let expected = EngineCoreTests.run(&plain, requests)
        var drafting = try Self.core(engine, on: device, draftRows: 16)
        let found = EngineCoreTests.run(
            &drafting,
            requests.map { request in
                EngineRequest(
                    id: request.id, prompt: request.prompt, adapter: request.adapter,
                    adapterName: nil, parameters: request.parameters,
                    prediction: (expected[request.id]?.tokens ?? []).enumerated().map {
                        $0 == 5 ? 1 : $1
                    })
            })
        #expect(expected.count == 4 && found == expected)
    }

    @Test(arguments: cases)
    func resultsDoNotDependOnTheBatchChunksOrPreemption(_ one: Case) throws {
        let target = one.target
        let form = target.products
        let engine = try TinyEngine(family: one.family, format: target.weights)
        let device = try target.device.open()
        let requests = try EngineCoreTests.mixed(
            engine, count: 12, one.adapters, maximumTokens: 5)
        var together = try Self.core(engine, on: device, form: form)
        let all = EngineCoreTests.run(&together, requests)
        #expect(all.count == 12)
        var alone = try Self.core(engine, on: device, form: form)
        for request in requests.enumerated().filter({ $0.offset % 3 == 0 }).map(\.element) {
            let single = EngineCoreTests.run(&alone, [request])[request.id]
            #expect(single != nil && single == all[request.id])
        }
        var chunked = try Self.core(engine, on: device, maximumStepTokens: 3, form: form)
        #expect(EngineCoreTests.run(&chunked, requests) == all)
        var tight = try Self.core(engine, on: device, blockCount: 5, form: form)
        #expect(EngineCoreTests.run(&tight, requests) == all)
        #expect(tight.status.preemptionCount > 0)
    }

    /// Tokens that are drawn on the device are those that the host draws from its logits.
    @Test(arguments: TestDevice.all)
    func drawsAreThoseOfTheLogits(_ kind: TestDevice) throws {
        let engine = try TinyEngine()
        let device = try kind.open()
        func run(logprobs: Int?) throws -> [RequestID: [Int32]] {
            var core = try Self.core(engine, on: device)
            let requests = (1...8).map { number in
                EngineCoreTests.request(number, adapter: nil, promptCount: 3 + number) {
                    $0.logprobCount = logprobs
                    $0.promptLogprobCount = nil
                    $0.temperature = Float(number % 4) * 0.6
                    if number % 3 == 0 { $0.topP = 0.8 }
                    if number % 3 == 1 { $0.topK = 5 }
                }
            }
            return EngineCoreTests.run(&core, requests).mapValues(\.tokens)
        }
        let expected = try run(logprobs: 0)
        #expect(try run(logprobs: nil) == expected)
        #expect(expected.count == 8 && expected.values.allSatisfy { $0.count == 12 })
    }

    /// Adapters leave the device and come back; blocks and adapters share one pool, which holds what the account
    /// says and no page more.
    @Test(
        arguments: TestDevice.all.flatMap { device in
            (device == .cuda ? [1.4] : [1.0, 1.4, 2.3]).map { (device, $0) }
        },
        [EngineCoreTests.lowRank, EngineCoreTests.others])
    func takingTurnsChangesNoBits(
        _ target: (device: TestDevice, share: Double), _ names: [String?]
    ) throws {
        let engine = try TinyEngine()
        let (device, share) = (try target.device.open(), target.share)
        let requests = try EngineCoreTests.mixed(engine, count: 24, names, maximumTokens: 6)
        var roomy = try Self.core(engine, on: device)
        let expected = EngineCoreTests.run(&roomy, requests)
        let account = Self.memory(engine, on: device, adapterBytes: 0, blockCount: 1)
        let largest = requests.compactMap { $0.adapter.map(account.byteCount(of:)) }.max() ?? 0
        var tight = try Self.core(
            engine, on: device, blockCount: 12,
            deviceMemory: Self.memory(
                engine, on: device, adapterBytes: Int(Double(largest) * share), blockCount: 8))
        #expect(EngineCoreTests.run(&tight, requests) == expected)
        #expect(tight.status.activationCount > 6)
        #expect(tight.failure == nil)
    }

    /// Sixty-four adapters of mixed ranks in one step, and rows of the base between them: those are untouched.
    @Test(arguments: TestDevice.all)
    func baseRowsBesideManyAdaptersAreUntouched(_ device: TestDevice) throws {
        let engine = try TinyEngine()
        let device = try device.open()
        let names = try ConformanceSuite("llama", in: Repository.conformance("")).accepted.prefix(
            64)
        #expect(names.count == 64)
        let adapters = try names.map(engine.adapter)
        #expect(Set(adapters.map(\.rank)).count > 3)
        let tokens: [Int32] = [5, 9, 13]
        func logits(_ adapters: [DeviceAdapter?]) throws -> [Matrix] {
            let model = try engine.deviceModel(
                maximumRows: 3 * adapters.count, blockCount: adapters.count, on: device)
            var batch = Batch()
            for (index, adapter) in adapters.enumerated() {
                batch.append(
                    tokens: tokens, firstPosition: 0, blocks: [Int32(index)], adapter: adapter)
            }
            let wanted = try model.forward(batch, wanting: Array(0..<batch.rowCount))
            return try adapters.indices.map { index in
                let found = try model.logits(
                    of: 3 * index..<3 * index + 3, in: wanted, peaksOnly: false
                ).logits
                return Matrix(rows: (0..<3).map { found.row($0) })
            }
        }
        let alone = try logits([nil])[0]
        var all: [DeviceAdapter?] = adapters
        for place in [64, 32, 0] { all.insert(nil, at: place) }
        let mixed = try logits(all)
        for index in [0, 33, 66] {
            for row in 0..<3 {
                let (found, expected) = (mixed[index].row(row), alone.row(row))
                #expect(found.map(\.bitPattern) == expected.map(\.bitPattern))
            }
        }
        #expect(!mixed[1].row(2).elementsEqual(alone.row(2)))
    }

    /// Tiles and the specification agree, as far as numbers added in another order do.
    @Test(arguments: TestDevice.all)
    func tilesAreCloseToTheSpecification(_ kind: TestDevice) throws {
        let engine = try TinyEngine(format: .bf16)
        let device = try kind.open()
        let requests = try EngineCoreTests.mixed(engine, count: 8)
        var scalar = try Self.core(engine, on: device, form: .scalar)
        let expected = EngineCoreTests.run(&scalar, requests)
        for target in Self.targets where target.device == kind && target.products != .scalar {
            let form = target.products
            var tiled = try Self.core(engine, on: device, form: form)
            let found = EngineCoreTests.run(&tiled, requests)
            for request in requests {
                let a = found[request.id]?.promptLogprobs.map { Float(bitPattern: $0) } ?? []
                let b = expected[request.id]?.promptLogprobs.map { Float(bitPattern: $0) } ?? []
                #expect(a.count == b.count)
                #expect(zip(a, b).allSatisfy { abs($0 - $1) < 0.02 }, "\(form)")
            }
        }
    }

    /// The CPU and a GPU choose the same tokens where nothing is close.
    @Test(arguments: TestDevice.all)
    func greedyTokensAreTheCPUs(_ device: TestDevice) throws {
        let engine = try TinyEngine(format: .f32)
        let device = try device.open()
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
    @Test(arguments: TestDevice.all)
    func aLostDeviceFailsEveryRequest(_ device: TestDevice) throws {
        let engine = try TinyEngine()
        let device = try device.open()
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
