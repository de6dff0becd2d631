import ArgumentParser
import DeviceTransformer
import Devices
import ModelFiles
import Tensors

/// Where a model is to run.
enum DeviceChoice: String, CaseIterable, ExpressibleByArgument {
    case auto, cpu, gpu
}

/// Chooses the GPU that a model runs on.
enum ComputeDevice {
    /// What `--gpu` says.
    static func identifier(_ name: String) throws -> DeviceIdentifier {
        guard let identifier = DeviceIdentifier(name) else {
            throw ValidationError(
                "--gpu is \"\(name)\"; write cuda:0, vulkan:0 or another that martlet devices lists."
            )
        }
        return identifier
    }

    /// - Parameter byteCount: of the weights.
    /// - Returns: nil for the CPU.
    /// - Throws: `DeviceError` when a GPU is asked for and there is none that can.
    static func open(
        _ settings: ModelSettings, _ configuration: ModelConfiguration, byteCount: Int
    ) throws -> Device? {
        switch settings.device {
        case .cpu: return nil
        case .gpu:
            // What it cannot multiply is said before anything is opened.
            _ = try element(settings)
            try DeviceModel.checkFamily(configuration)
            if let identifier = settings.gpu { return try Device(identifier) }
            return try Device(try first())
        case .auto:
            guard (try? element(settings)) != nil,
                (try? DeviceModel.checkFamily(configuration)) != nil,
                let all = try? DeviceDescription.all(),
                let fitting = preferred(all.filter { fits($0, byteCount) })
            else { return nil }
            return try? Device(fitting.identifier)
        }
    }

    static func element(_ settings: ModelSettings) throws -> DeviceElement {
        try DeviceModel.element(
            settings.weights, settings.adapterWeights, settings.activations)
    }

    /// What `--device gpu` means.
    static func first() throws -> DeviceIdentifier {
        try first(in: DeviceDescription.all()).identifier
    }

    /// The first that is real; else the first that the processor plays.
    private static func first(in devices: [DeviceDescription]) throws -> DeviceDescription {
        let usable = devices.filter { $0.refusal == nil }
        if let found = preferred(usable.filter { !$0.isSoftware }) ?? usable.first { return found }
        let reasons = devices.map { "\($0.identifier), \($0.name): \($0.refusal ?? "")" }
        throw DeviceError(
            .unsupported, "no GPU can be used: \(reasons.joined(separator: "; "))")
    }

    /// A card that both reach is used through CUDA: its driver always has the matrix instructions that kernels want.
    private static func preferred(_ devices: [DeviceDescription]) -> DeviceDescription? {
        devices.first { $0.identifier.api == .cuda } ?? devices.first
    }

    /// Room for the weights and half as much again for the cache and adapters.
    private static func fits(_ device: DeviceDescription, _ byteCount: Int) -> Bool {
        device.refusal == nil && !device.isSoftware
            && (device.freeByteCount ?? device.byteCount) / 3 * 2 >= byteCount
    }

    /// About what the weights will take.
    static func weightByteCount(_ c: ModelConfiguration, _ format: WeightFormat) -> Int {
        let tables = (c.tiesEmbeddings ? 1 : 2) * c.vocabularySize * c.hiddenSize
        let panel = PackedMatrix.byteCount(format: format, outputCount: 16, inputCount: 64)
        return (c.layerWeightCount * c.layerCount + tables) / 1024 * panel
    }

    /// - Throws: `DeviceError` with `outOfMemory` when it all cannot fit, before anything is loaded.
    static func check(_ device: DeviceDescription, weights: Int, shared: Int) throws {
        let room = device.freeByteCount ?? device.byteCount
        guard weights + shared > room else { return }
        throw DeviceError(
            .outOfMemory,
            "weights and what a step writes take \(ByteCount.text(weights)) and cache and adapters \(ByteCount.text(shared)), and \(device.identifier) has \(ByteCount.text(room)): give --device-memory less"
        )
    }

    /// What cache and adapters get on a device unless it is said: all that the weights leave but for a
    /// tenth for what a step writes and for others; on one that the processor plays, what the host's cache
    /// would get.
    static func sharedByteCount(_ device: DeviceDescription, weights: Int, host: Int) -> Int {
        let free = device.freeByteCount ?? device.byteCount
        let left = max(0, free - weights - free / 10)
        return device.isSoftware ? min(host, left) : left
    }
}
