import AdapterSources
import AdapterStore
import Adapters
import ArgumentParser
import Devices
import Foundation
import Generation
import JSONTree
import Logging
import ModelFiles
import Tensors

extension ComputeFormat: ExpressibleByArgument {}
extension WeightFormat: ExpressibleByArgument {}

/// Which model, in which form: what `serve` and `run` share.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The base model: a Hugging Face folder (safetensors), a GGUF file, or OWNER/NAME[@REVISION] on the Hub.",
            valueName: "model"
        ))
    var model: String?

    @Option(
        help: ArgumentHelp(
            "A folder of adapters: every sub-folder with an adapter_config.json is served under its name.",
            valueName: "folder"))
    var adapters: String?

    @Option(
        name: .customLong("adapter"),
        help: ArgumentHelp(
            "One adapter: a PEFT folder, a GGUF LoRA file, hf:owner/name[@revision], s3://bucket/prefix or https://host/folder/. May be repeated.",
            valueName: "name=source"))
    var adapter: [String] = []

    @Option(
        help:
            "The format that weights are multiplied in: f32 is the reference, bf16 nearly as exact, q8 and q4 are smaller and faster. (default: bf16)"
    )
    var weights: WeightFormat?

    @Option(
        help:
            "The format of activations and the key/value cache: bf16, or f32, which agrees more closely with f32 weights and computes at half the speed. (default: bf16; f32 beside f32 weights)"
    )
    var activations: ComputeFormat?

    @Option(
        help:
            "The format of adapters: bf16, or q8, half as large and faster when many different ones run at once. (default: bf16; f32 beside f32 weights)"
    )
    var adapterWeights: WeightFormat?

    @Option(
        help:
            "Where the model runs. gpu takes the first that kernels can run on, auto a GPU that is real and has the memory, or else the CPU; martlet devices lists them. (default: cpu, or gpu where --gpu says which)"
    )
    var device: DeviceChoice?

    @Option(help: ArgumentHelp("Which GPU.", valueName: "cuda:n|vulkan:n"))
    var gpu: String?

    @Option(help: "Threads that compute. (default: all processors that it may use)")
    var threads: Int?

    @Option(
        help:
            "The longest sequence, prompt and completion together. (default: the model's, as far as the cache holds it)"
    )
    var contextLength: Int?

    @Option(help: "Sequences that run at the same time. (default: 64)")
    var maxSequences: Int?

    @Option(
        help:
            "Token rows of one forward pass; long prompts are split into chunks of this size. (default: 256)"
    )
    var maxStepTokens: Int?

    @Option(
        help:
            "Rows that a small step may come to with drafts of what comes next, which are computed at once and verified: answers are the same, those that quote their prompts come faster. 0 for no drafts. (default: 16)"
    )
    var draftRows: Int?

    @Option(
        help: ArgumentHelp(
            "Memory for the key/value cache, such as 4GiB. (default: 4GiB or a quarter of the memory)",
            valueName: "size"))
    var kvMemory: String?

    @Option(
        help: ArgumentHelp(
            "Instead of that, memory that the cache shares with the adapters in use; when not all fit, they take turns. (default: no limit for adapters in use; on a GPU what the model leaves)",
            valueName: "size"))
    var deviceMemory: String?

    @Option(
        help: ArgumentHelp(
            "Of that, memory for what requests with the same beginning and adapter can share; 0 for none. (default: 128MiB)",
            valueName: "size"))
    var prefixMemory: String?

    @Option(
        help: ArgumentHelp(
            "Memory for adapters; those that were not used for long give way. (default: 8GiB or a quarter of the memory)",
            valueName: "size"))
    var hostMemory: String?

    @Option(
        help: ArgumentHelp(
            "Where adapters are kept ready to be read, and names that were given while serving; none for nowhere. (default: ~/.cache/martlet, for adapters only)",
            valueName: "folder"))
    var diskCache: String?

    @Option(help: ArgumentHelp("How large that may become. (default: 50GiB)", valueName: "size"))
    var diskQuota: String?

    @Option(
        help: ArgumentHelp(
            "A YAML file with any of these options, by their long names; environment variables MARTLET_… and the command line win over it.",
            valueName: "file"))
    var config: String?
}

/// `ModelOptions` with everything decided.
struct ModelSettings: Sendable {
    var modelPath: String
    var adapters: [(name: String, source: AdapterSource)]
    /// Names that stand on their own on the command line: one that cannot be served is a mistake.
    var explicitAdapters: Set<String> = []
    var watchedFolders: [String] = []
    var weights: WeightFormat
    var activations: ComputeFormat
    /// Where the model is to be fetched from; nil when it is on this machine.
    var hubLocation: HubLocation?
    var adapterWeights: WeightFormat
    var device: DeviceChoice
    /// The number of a GPU, when one is named.
    var gpu: DeviceIdentifier?
    var threads: Int
    var contextLength: Int?
    var maximumSequences: Int
    var maximumStepTokens: Int
    var draftRows: Int
    var kvByteCount: Int
    /// Whether somebody has said so.
    var hasOwnCache: Bool
    var prefixByteCount: Int
    /// What cache and adapters share; nil when adapters in use have no limit.
    var deviceByteCount: Int?
    var hostByteCount: Int
    var diskCache: DiskCache
    var diskQuota: Int

    /// Where the disk tier is.
    enum DiskCache: Sendable, Equatable {
        case none
        /// Shared by all that do not say otherwise: content only, no names.
        case common(String)
        case own(String)
    }

    init(_ options: ModelOptions, _ settings: Settings) throws {
        guard let model = options.model ?? settings.string("model") else {
            throw ValidationError(
                "Which model? Give --model a Hugging Face folder, a GGUF file, or OWNER/NAME on the Hub."
            )
        }
        modelPath = ModelSettings.absolute(model)
        // What is on this machine is meant before what is elsewhere.
        if model.hasPrefix("hf:") || !FileManager.default.fileExists(atPath: modelPath) {
            hubLocation = HubLocation.base(model)
            guard hubLocation != nil || !model.hasPrefix("hf:") else {
                throw ValidationError(
                    "--model is \"\(model)\"; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")
            }
        }
        adapters = []
        if let folder = options.adapters ?? settings.string("adapters") {
            let folder = ModelSettings.absolute(folder)
            adapters += try ModelSettings.adapters(in: folder).map { ($0.name, .path($0.path)) }
            watchedFolders.append(folder)
        }
        for pair in options.adapter.isEmpty ? settings.strings("adapter") : options.adapter {
            guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
                throw ValidationError("--adapter takes name=source, not \"\(pair)\".")
            }
            let name = String(pair[..<equals])
            adapters.append(
                (name, try AdapterSource(String(pair[pair.index(after: equals)...]))))
            explicitAdapters.insert(name)
        }
        if let repeated = Dictionary(grouping: adapters, by: \.name).first(where: { $1.count > 1 })?
            .key
        {
            throw ValidationError("Two adapters are called \(repeated).")
        }
        func format<Format: RawRepresentable<String> & CaseIterable>(
            _ flag: Format?, _ name: String, default fallback: Format
        ) throws -> Format {
            if let flag { return flag }
            guard let text = settings.string(name) else { return fallback }
            guard let format = Format(rawValue: text) else {
                let names = Format.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("\(name) is \"\(text)\"; it may be one of \(names).")
            }
            return format
        }
        weights = try format(options.weights, "weights", default: .bf16)
        activations = try format(
            options.activations, "activations", default: weights == .f32 ? .f32 : .bf16)
        guard weights != .f32 || activations == .f32 else {
            throw ValidationError("With f32 weights the activations are f32 too.")
        }
        adapterWeights = try format(
            options.adapterWeights, "adapter-weights", default: weights.adapterFormat)
        guard adapterWeights == .q8 || adapterWeights == weights.adapterFormat else {
            throw ValidationError(
                "Beside \(weights.rawValue) weights --adapter-weights may be \(weights.adapterFormat.rawValue) or q8."
            )
        }
        if let name = options.gpu ?? settings.string("gpu") {
            gpu = try ComputeDevice.identifier(name)
        }
        device = try format(
            options.device, "device", default: gpu == nil ? .cpu : .gpu)
        guard device == .gpu || gpu == nil else {
            throw ValidationError("--gpu names a GPU, and --device is \(device.rawValue).")
        }
        func integer(
            _ flag: Int?, _ name: String, default fallback: Int?, in range: ClosedRange<Int>
        ) throws -> Int? {
            guard let value = try flag ?? settings.integer(name) ?? fallback else { return nil }
            guard range.contains(value) else {
                throw ValidationError(
                    "--\(name) is \(value); it must be between \(range.lowerBound) and \(range.upperBound)."
                )
            }
            return value
        }
        threads =
            try integer(
                options.threads, "threads", default: WorkerTeam.defaultMemberCount, in: 1...1024)
            ?? 1
        contextLength = try integer(
            options.contextLength, "context-length", default: nil, in: 16...1 << 22)
        maximumSequences =
            try integer(options.maxSequences, "max-sequences", default: 64, in: 1...4096) ?? 64
        maximumStepTokens =
            try integer(options.maxStepTokens, "max-step-tokens", default: 256, in: 1...8192) ?? 256
        draftRows =
            try integer(options.draftRows, "draft-rows", default: 16, in: 0...1024) ?? 16
        let memory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        func bytes(_ flag: String?, _ name: String, default fallback: Int) throws -> Int {
            guard let size = flag ?? settings.string(name) else { return fallback }
            guard let bytes = ByteCount.parse(size) else {
                throw ValidationError(
                    "--\(name) is \"\(size)\"; write a size such as 512MiB or 4GiB.")
            }
            return bytes
        }
        hasOwnCache = options.kvMemory != nil || settings.string("kv-memory") != nil
        kvByteCount = try bytes(
            options.kvMemory, "kv-memory", default: min(4 << 30, memory / 4))
        if options.deviceMemory != nil || settings.string("device-memory") != nil {
            guard !hasOwnCache else {
                throw ValidationError(
                    "--device-memory takes the place of --kv-memory; give one of them.")
            }
            deviceByteCount = try bytes(options.deviceMemory, "device-memory", default: 0)
        }
        hostByteCount = try bytes(
            options.hostMemory, "host-memory", default: min(8 << 30, memory / 4))
        diskQuota = try bytes(options.diskQuota, "disk-quota", default: 50 << 30)
        switch options.diskCache ?? settings.string("disk-cache") {
        case "none": diskCache = .none
        case let folder?: diskCache = .own(ModelSettings.absolute(folder))
        case nil: diskCache = ModelSettings.cacheRoot.map { .common($0) } ?? .none
        }
        prefixByteCount = try bytes(
            options.prefixMemory, "prefix-memory",
            default: min(128 << 20, deviceByteCount.map { $0 / 4 } ?? kvByteCount))
    }

    /// Of this user, for what can be had again.
    static var cacheRoot: String? {
        let environment = ProcessInfo.processInfo.environment
        let caches = environment["XDG_CACHE_HOME"] ?? environment["HOME"].map { $0 + "/.cache" }
        return caches.map { $0 + "/martlet" }
    }

    /// Fetches the model, if it is not on this machine.
    mutating func fetchModel(
        _ policy: SourcePolicy, _ progress: Progress, _ logger: Logger? = nil
    ) async throws {
        guard let hubLocation else { return }
        var root = ModelSettings.cacheRoot ?? NSTemporaryDirectory() + "martlet"
        if case .own(let folder) = diskCache { root = folder }
        let fetcher = try BaseFetcher(hubLocation, root: root, policy: policy)
        modelPath = try await fetcher.fetch(progress, logger)
    }

    /// What the model is called unless it is given another name.
    var defaultName: String {
        hubLocation?.repository
            ?? URL(fileURLWithPath: modelPath).deletingPathExtension().lastPathComponent
    }

    private static func absolute(_ path: String) -> String {
        URL(fileURLWithPath: path).standardizedFileURL.path
    }

    /// Sub-folders that hold a PEFT adapter and GGUF files, by name.
    static func adapters(in folder: String) throws -> [(name: String, path: String)] {
        guard !AdapterFolder.isAdapter(folder) else {
            throw ValidationError(
                "\(folder) is an adapter itself. Give --adapter NAME=\(folder), or --adapters with the folder that it lies in."
            )
        }
        do {
            return try AdapterFolder(folder).adapters
        } catch {
            throw ValidationError(
                FileManager.default.fileExists(atPath: folder)
                    ? "The folder of adapters \(folder) cannot be read; see its permissions."
                    : "There is no folder of adapters at \(folder).")
        }
    }
}

package enum ByteCount {
    /// 4GiB, 4G, 512 MiB, 100000000.
    package static func parse(_ text: String) -> Int? {
        let units: [(String, Int)] = [
            ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40), ("kb", 1000),
            ("mb", 1_000_000), ("gb", 1_000_000_000), ("k", 1 << 10), ("m", 1 << 20),
            ("g", 1 << 30),
            ("t", 1 << 40), ("b", 1), ("", 1),
        ]
        let lower = text.lowercased().filter { $0 != " " }
        for (suffix, unit) in units where lower.hasSuffix(suffix) {
            guard let number = Double(lower.dropLast(suffix.count)), number >= 0 else { continue }
            return Int(exactly: (number * Double(unit)).rounded())
        }
        return nil
    }

    /// 4.0 GiB.
    ///
    /// - Parameter rule: how to round to tenths; `.up` makes a text that means at least so many.
    package static func text(
        _ bytes: Int, _ rule: FloatingPointRoundingRule = .toNearestOrAwayFromZero
    ) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes)
        var index = 0
        while value >= 1024, index + 1 < units.count {
            value /= 1024
            index += 1
        }
        return index == 0 ? "\(bytes) B" : "\((value * 10).rounded(rule) / 10) \(units[index])"
    }
}
