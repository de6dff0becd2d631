import Adapters
import Conformance
import Engine
import JSONTree
import ModelFiles
import StepModels
import Tensors
import TestSupport
import Testing
import Transformer

/// What an adapter file means, proven against PEFT: every rule of the format either gives PEFT's
/// logits or is refused with its code. scripts/make_conformance.py makes the goldens.
struct ConformanceTests {
    static let families = ConformanceSuite.families

    static func suite(_ family: String) throws -> ConformanceSuite {
        try ConformanceSuite(family, in: Repository.conformance(""))
    }

    static func onCPU(
        _ kernels: KernelSet, _ activations: ComputeFormat = .f32
    ) -> ConformanceSuite.MakeModel {
        { weights, rowCount, blockCount in
            let c = weights.configuration
            return DecoderModel(
                weights: weights, adapterFormat: weights.format,
                cache: KeyValueCache(
                    format: activations, layerCount: c.layerCount, headCount: c.keyValueHeadCount,
                    headDimension: c.headDimension, blockCount: blockCount), kernels: kernels,
                team: WorkerTeam(memberCount: 2), maximumRows: rowCount, maximumContext: 64)
        }
    }

    /// All adapters of a family and the base in ONE batch, on the base's safetensors or GGUF file.
    static func run(
        _ family: String, modelFile: String = "model", _ makeModel: ConformanceSuite.MakeModel
    ) throws {
        let differences = try suite(family).differences(modelFile: modelFile, makeModel)
        #expect(differences.count > (ConformanceSuite.firstFamilies.contains(family) ? 35 : 15))
        for (name, difference) in differences {
            #expect(difference < 1e-4, "\(family), \(name): \(difference)")
        }
    }

    @Test(arguments: families)
    func everyAdapterInOneBatchMatchesPEFT(_ family: String) throws {
        try Self.run(family, Self.onCPU(KernelSet.available[0]))
    }

    /// What invokes an adapter is looked for in the prompt alone: PEFT's own generation, made to say the
    /// suite's tokens.
    @Test(arguments: ["llama", "qwen2"])
    func generationMatchesPEFT(_ family: String) throws {
        let suite = try Self.suite(family)
        let engine = try TinyEngine(family: family, format: .f32)
        let decoded = suite.cases.map(\.name).filter {
            suite.expected.tensors["\($0).decoded"] != nil
        }
        #expect(decoded.count >= 5)
        for name in decoded {
            let adapter = try engine.adapter(name)
            let model = engine.model(maximumRows: 32, blockCount: 2)
            let logits = try suite.logits("\(name).decoded")
            let promptCount = suite.tokens.count - logits.rowCount
            let start = adapter.start(in: Array(suite.tokens[..<promptCount]))
            var position = 0
            for count in [promptCount] + Array(repeating: 1, count: logits.rowCount - 1) {
                var batch = Batch()
                batch.append(
                    tokens: suite.tokens[position..<position + count], firstPosition: position,
                    blocks: [0, 1], adapter: adapter, adapterStart: start)
                let wanted = model.forward(batch, wanting: [count - 1])
                position += count
                let row = model.logits(of: 0..<1, in: wanted).logits.row(0)
                let expected = logits.row(position - promptCount)
                let difference = zip(row, expected).map { abs($0 - $1) }.max() ?? .infinity
                #expect(difference < 1e-4, "\(family), \(name), position \(position)")
            }
        }
    }

    /// llama.cpp has Mistral as Llama, and no dense layers in Qwen 3 MoE.
    @Test(arguments: families.filter { !["mistral", "qwen3_moe"].contains($0) })
    func theSameOnAGGUFBase(_ family: String) throws {
        try Self.run(family, modelFile: "model.gguf", Self.onCPU(KernelSet.available[0]))
    }

    @Test func everyKernelSetMatchesPEFT() throws {
        for kernels in KernelSet.available {
            try Self.run("llama", Self.onCPU(kernels))
        }
    }

    @Test(arguments: [("llama", 140), ("qwen2", 25)])
    func whatCannotRunIsRefusedWithItsCode(_ family: String, count: Int) throws {
        let suite = try Self.suite(family)
        let base = try Checkpoint.open(path: suite.folder + "/model")
        let refused = suite.cases.compactMap { item in item.code.map { (item.name, $0) } }
        #expect(refused.count >= count)
        for (name, code) in refused {
            let error = #expect(throws: ModelFileError.self, "\(name) was not refused") {
                _ = try suite.adapter(name, base)
            }
            #expect(error?.code.description == code, "\(name): \(error.map { "\($0)" } ?? "")")
        }
    }

    @Test func anAdapterForAnotherBaseIsRefused() throws {
        let qwen = try Checkpoint.open(path: Repository.conformance("qwen3/model"))
        let error = #expect(throws: ModelFileError.self) {
            _ = try Self.suite("llama").adapter("all-linear", qwen)
        }
        #expect(error?.code == .wrongShape)
        let gguf = #expect(throws: ModelFileError.self) {
            _ = try Self.suite("llama").adapter("all-linear.gguf", qwen)
        }
        #expect(gguf?.code == .wrongBaseModel)
    }

    @Test func equalAdaptersHaveEqualDigests() throws {
        let suite = try Self.suite("llama")
        let base = try Checkpoint.open(path: suite.folder + "/model")
        let plain = try suite.adapter("plain", base).digest
        #expect(try suite.adapter("plain", base).digest == plain)
        #expect(try suite.adapter("all-linear", base).digest != plain)
    }
}

/// Hidden states behind embeddings, proven against PEFT: the head's product with them is PEFT's logits, whose mean is that
/// of their mean.
struct VectorTests {
    /// Of a cap's logits the mean is not that of the hidden states' mean.
    @Test(arguments: ConformanceTests.families.filter { $0 != "gemma2" })
    func vectorsAreWhatPEFTsLogitsAreMadeOf(_ family: String) throws {
        try Self.check(family) { $0.model(maximumRows: 64, blockCount: 128) }
    }

    /// - Parameter makeModel: with 64 rows and 128 blocks.
    static func check(_ family: String, _ makeModel: (TinyEngine) throws -> any StepModel) throws {
        let suite = try ConformanceTests.suite(family)
        let engine = try TinyEngine(family: family, format: .f32)
        let checkpoint = engine.checkpoint
        let name =
            checkpoint.configuration.tiesEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight"
        let file = try SafetensorsFile(path: suite.folder + "/model/model.safetensors")
        let stored = try #require(file.tensors[name])
        let head = try stored.matrix()
        // Those that change neither the head nor the embedding.
        let names = ["base", "plain", "dora", "all-linear", "odd-rank"]
        for maximumStepTokens in [64, 5] {
            var core = engine.core(
                maximumStepTokens: maximumStepTokens, model: try makeModel(engine))
            var requests: [RequestID: (name: String, pooling: Pooling)] = [:]
            for (index, name) in names.enumerated() {
                for pooling in Pooling.allCases {
                    var parameters = SamplingParameters()
                    parameters.maximumTokens = 0
                    parameters.pooling = pooling
                    let id = RequestID(UInt64(2 * index + (pooling == .mean ? 1 : 0)))
                    requests[id] = (name, pooling)
                    core.apply(
                        .submit(
                            EngineRequest(
                                id: id, prompt: suite.tokens,
                                adapter: name == "base" ? nil : try engine.adapter(name),
                                adapterName: nil, parameters: parameters)))
                }
            }
            var count = 0
            while !core.isIdle {
                for output in core.step() {
                    guard case .step(let step) = output.event, let vector = step.vector,
                        let request = requests[output.id]
                    else { continue }
                    count += 1
                    #expect(step.finish == .length && step.token == nil)
                    let logits = try suite.logits(request.name)
                    let rows =
                        request.pooling == .mean
                        ? 0..<logits.rowCount : logits.rowCount - 1..<logits.rowCount
                    for token in stride(from: 0, to: logits.columnCount, by: 3) {
                        let found =
                            zip(vector, head.row(token)).reduce(0.0) {
                                $0 + Double($1.0) * Double($1.1)
                            } * Double(checkpoint.configuration.departures.logitScale)
                        let expected =
                            rows.reduce(0.0) {
                                $0 + Double(logits[row: $1, column: token])
                            } / Double(rows.count)
                        #expect(abs(found - expected) < 1e-4, "\(family), \(request), \(token)")
                    }
                }
            }
            #expect(count == 2 * names.count)
        }
    }
}
