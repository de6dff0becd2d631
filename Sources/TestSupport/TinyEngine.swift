package import Adapters
package import DeviceTransformer
package import Devices
package import Engine
package import ModelFiles
package import StepModels
package import Tensors
package import Transformer

/// An engine on one of the conformance suite's tiny models, without threads or clocks.
package struct TinyEngine {
    package let checkpoint: Checkpoint
    package let weights: ModelWeights
    package let format: WeightFormat
    private let activations: ComputeFormat
    private let adapterFormat: WeightFormat
    private let threads: Int
    private let kernels: KernelSet

    package init(
        family: String = "llama", format: WeightFormat = .bf16,
        activations: ComputeFormat? = nil, adapterFormat: WeightFormat? = nil, threads: Int = 1,
        kernels: KernelSet = KernelSet.available[0]
    ) throws {
        checkpoint = try Checkpoint.open(
            path: Repository.family(family) + "/model")
        self.format = format
        self.activations = activations ?? (format == .f32 ? .f32 : .bf16)
        self.adapterFormat = adapterFormat ?? format.adapterFormat
        self.threads = threads
        self.kernels = kernels
        weights = try ModelWeights(
            checkpoint, format: format, team: WorkerTeam(memberCount: threads))
    }

    package func adapter(_ name: String) throws -> DeviceAdapter {
        let path = checkpoint.path.dropLast("model".count) + name
        return try DeviceAdapter(
            try AdapterFile.open(
                path: String(path), base: checkpoint, limits: AdapterLimits()),
            base: checkpoint, format: adapterFormat)
    }

    package func model(maximumRows: Int, blockCount: Int, maximumContext: Int = 64) -> DecoderModel
    {
        let c = checkpoint.configuration
        let cache = KeyValueCache(
            format: activations, layerCount: c.layerCount, headCount: c.keyValueHeadCount,
            headDimension: c.headDimension, blockCount: blockCount)
        return DecoderModel(
            weights: weights, adapterFormat: adapterFormat, cache: cache, kernels: kernels,
            team: WorkerTeam(memberCount: threads),
            maximumRows: maximumRows, maximumContext: maximumContext)
    }

    /// The same on the tests' GPU.
    package func deviceModel(
        maximumRows: Int, blockCount: Int, maximumContext: Int = 64, on device: Device? = nil,
        poolByteCount: Int? = nil, form: ProductForm? = nil
    ) throws -> DeviceModel {
        try DeviceModel(
            weights: weights, adapterFormat: adapterFormat, activations: activations,
            blockCount: blockCount, poolByteCount: poolByteCount ?? 4 << 20,
            device: try device ?? TestDevice.vulkan.open(), kernels: kernels,
            team: WorkerTeam(memberCount: threads), maximumRows: maximumRows,
            maximumContext: maximumContext, form: form)
    }

    package func core(
        maximumSequences: Int = 32, maximumStepTokens: Int = 64, blockCount: Int = 128,
        maximumContext: Int = 64, keptBlockCount: Int = 1000, deviceMemory: DeviceMemory? = nil,
        draftRows: Int = 0, model: (any StepModel)? = nil
    ) -> EngineCore {
        var limits = EngineLimits(
            maximumSequences: maximumSequences, maximumStepTokens: maximumStepTokens,
            maximumContext: maximumContext, blockCount: blockCount, maximumWaiting: 1000,
            keptBlockCount: keptBlockCount, deviceMemory: deviceMemory)
        limits.draftRows = draftRows
        return EngineCore(
            model: model
                ?? self.model(
                    maximumRows: maximumStepTokens, blockCount: blockCount,
                    maximumContext: maximumContext),
            limits: limits)
    }
}
