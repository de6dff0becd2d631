import Adapters
import DeviceTransformer
import Devices
import Engine
import ModelFiles
import StepModels
import Tensors
import Transformer

/// A base model ready to compute and everything that an engine on it needs.
struct LoadedModel {
    let checkpoint: Checkpoint
    let kernels: KernelSet
    let team: WorkerTeam
    let limits: EngineLimits
    /// Of the weights, wherever they are.
    let weightByteCount: Int
    private let place: Place
    private let settings: ModelSettings

    /// Where the weights are.
    private enum Place {
        case host(ModelWeights)
        case device(DeviceModel)
    }

    init(_ settings: ModelSettings, maximumWaiting: Int = 1024, progress: Progress) throws {
        var settings = settings
        let checkpoint = try Checkpoint.open(path: settings.modelPath)
        let configuration = checkpoint.configuration
        self.checkpoint = checkpoint
        kernels = try KernelSet.best()
        team = WorkerTeam(memberCount: settings.threads)
        // Weights, holes between them, and a step's rows.
        let weights = ComputeDevice.weightByteCount(configuration, settings.weights)
        let byteCount =
            weights + weights / 16
            + DeviceModel.workspaceByteCount(
                configuration, rowCount: settings.maximumStepTokens)
        let device = try ComputeDevice.open(settings, configuration, byteCount: byteCount)
        if let device, settings.deviceByteCount == nil {
            settings.deviceByteCount = ComputeDevice.sharedByteCount(
                device.description, weights: byteCount, host: settings.kvByteCount)
        }
        self.settings = settings
        limits = try LoadedModel.limits(
            settings, configuration,
            on: try device.map { ($0.description, try ComputeDevice.element(settings)) },
            maximumWaiting: maximumWaiting)
        if let device {
            try ComputeDevice.check(
                device.description, weights: byteCount, shared: limits.deviceMemory?.byteCount ?? 0)
        }
        let packed = try ModelWeights(checkpoint, format: settings.weights, team: team) {
            progress.show("loading \(checkpoint.path)", $0)
        }
        weightByteCount = packed.byteCount
        if let device {
            progress.show("bringing the model to \(device.description.name)")
            place = .device(
                try DeviceModel(
                    weights: packed, adapterFormat: settings.adapterWeights,
                    activations: settings.activations, blockCount: limits.blockCount,
                    poolByteCount: limits.deviceMemory?.byteCount ?? 0, device: device,
                    kernels: kernels, team: team,
                    maximumRows: limits.maximumStepTokens,
                    maximumContext: limits.maximumContext))
        } else {
            place = .host(packed)
        }
        progress.finish()
    }

    /// What computes: for the log.
    var deviceName: String {
        switch place {
        case .host: "\(settings.threads) threads, kernels \(kernels.name)"
        case .device(let model):
            "on \(model.description.identifier), \(model.description.name)\(model.description.isSoftware ? " (played by the CPU)" : "")"
        }
    }

    var isOnDevice: Bool {
        if case .device = place { true } else { false }
    }

    /// An engine of its own; on the CPU with a cache of its own.
    func makeCore() -> EngineCore { EngineCore(model: makeModel(), limits: limits) }

    /// A forward pass; on the CPU with a cache of its own, on a GPU there is only one.
    func makeModel() -> any StepModel {
        switch place {
        case .device(let model): return model
        case .host(let weights): return makeModel(weights)
        }
    }

    private func makeModel(_ weights: ModelWeights) -> DecoderModel {
        let configuration = checkpoint.configuration
        let cache = KeyValueCache(
            format: settings.activations, layerCount: configuration.layerCount,
            headCount: configuration.keyValueHeadCount,
            headDimension: configuration.headDimension, blockCount: limits.blockCount)
        // Sequences take blocks from the lowest number on, and kept ones come to be among them.
        cache.takeMemory(
            blockCount: limits.keptBlockCount + 3 * limits.maximumSequences, team: team)
        return DecoderModel(
            weights: weights, adapterFormat: settings.adapterWeights, cache: cache,
            kernels: kernels, team: team,
            maximumRows: limits.maximumStepTokens, maximumContext: limits.maximumContext)
    }

    private static func limits(
        _ settings: ModelSettings, _ configuration: ModelConfiguration,
        on device: (description: DeviceDescription, element: DeviceElement)?, maximumWaiting: Int
    ) throws -> EngineLimits {
        let paging = device.map {
            DeviceModel.paging(configuration, $0.element, on: $0.description)
        }
        let blockByteCount =
            paging?.pageByteCount
            ?? KeyValueCache.blockByteCount(
                format: settings.activations, layerCount: configuration.layerCount,
                headCount: configuration.keyValueHeadCount,
                headDimension: configuration.headDimension)
        // More blocks than every sequence at full length could use would only take room.
        let positions = KeyValueCache.blockPositions
        let wanted = settings.contextLength ?? configuration.contextLength
        let useful = settings.maximumSequences * ((wanted + positions - 1) / positions)
        // Adapters always have a quarter of a device that they share with the cache, and the cache half. Where
        // the cache's size is said on a device that has its own memory, adapters have the rest.
        let adapterFloor = (settings.deviceByteCount ?? 0) / 4
        let cacheByteCount =
            settings.hasOwnCache
            ? settings.kvByteCount
            : settings.deviceByteCount.map { $0 - adapterFloor } ?? settings.kvByteCount
        let blockCount = min(cacheByteCount / blockByteCount, useful)
        let deviceMemory = try settings.deviceByteCount.map { byteCount in
            guard blockCount * blockByteCount <= byteCount else {
                throw DeviceError(
                    .outOfMemory,
                    "the cache would take \(ByteCount.text(blockCount * blockByteCount)) of the \(ByteCount.text(byteCount)) that the weights leave: give --kv-memory less"
                )
            }
            return DeviceMemory(
                byteCount: byteCount, blockByteCount: blockByteCount,
                // What the cache cannot use is theirs in any case.
                adapterFloor: settings.hasOwnCache
                    ? byteCount - blockCount * blockByteCount
                    : max(adapterFloor, byteCount - blockCount * blockByteCount),
                blockFloor: settings.hasOwnCache
                    ? blockCount : min(blockCount, byteCount / 2 / blockByteCount),
                paging: paging.map {
                    DeviceMemory.Paging(
                        pageByteCount: $0.pageByteCount, tableByteCount: $0.tableByteCount,
                        pagesPerPiece: $0.pagesPerPiece)
                })
        }
        let room = (deviceMemory?.blockFloor ?? blockCount) * positions
        guard room >= min(wanted, 16), settings.contextLength.map({ $0 <= room }) ?? true else {
            throw CacheTooSmall(
                tokens: room, wanted: wanted,
                byteCount: (wanted + positions - 1) / positions * blockByteCount)
        }
        var limits = EngineLimits(
            maximumSequences: settings.maximumSequences,
            maximumStepTokens: settings.maximumStepTokens,
            maximumContext: min(wanted, room), blockCount: blockCount,
            maximumWaiting: maximumWaiting,
            keptBlockCount: settings.prefixByteCount / blockByteCount,
            deviceMemory: deviceMemory)
        limits.draftRows = min(settings.draftRows, settings.maximumStepTokens)
        return limits
    }
}

struct CacheTooSmall: Error, CustomStringConvertible {
    let tokens: Int
    let wanted: Int
    /// Of all blocks that so many tokens begin.
    let byteCount: Int

    var description: String {
        // Rounded to the nearest it might still be too small.
        "the key/value cache holds \(tokens) tokens and a sequence may have \(wanted): "
            + "give --kv-memory at least \(ByteCount.text(byteCount, .up)) (--device-memory twice that), or a smaller --context-length"
    }
}
