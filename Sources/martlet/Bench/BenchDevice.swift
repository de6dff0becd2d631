import ArgumentParser
import Conformance
import DeviceTransformer
import Devices
import JSONTree
import ModelFiles
import StepModels
import Tensors
import Transformer

struct BenchDevice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device",
        abstract: "Checks a GPU's results, and measures it on the shapes of an 8B model.",
        discussion: """
            Needs no model. Every form of products that the GPU has is checked against sums in doubles and for rows that \
            have the same bits alone; then products are timed at several numbers of rows, with weights that come from memory, \
            and dispatches, copies and uploads. --conformance adds whole models with all kinds of adapters, against PEFT. \
            --steps adds an engine on a model with the sizes of Llama 3.1 8B and numbers that mean nothing: steps \
            with up to --adapters adapters, prefill, uploads beside steps, and first tokens from RAM. It wants 17 GB \
            in the temporary folder, 40 GB of RAM and 30 GB on the GPU. --json is for keeping.

            Examples:
              martlet bench device --gpu cuda:0
              martlet bench device --gpu cuda:0 --conformance Tests/ConformanceTests/Goldens --steps 8b --json
            """)

    enum Size: String, CaseIterable, ExpressibleByArgument {
        case tiny
        case eightBillion = "8b"

        var model: SyntheticModel { self == .tiny ? .tiny : .eightBillion }
    }

    @Option(help: "Which GPU, as martlet devices lists it. (default: the first that can be used)")
    var gpu: String?

    @Option(help: "Numbers of rows. (default: 1,16,64,1024,4096; 1 on a GPU that the CPU plays)")
    var rows: String?

    @Option(
        help: ArgumentHelp(
            "Compare whole models with PEFT's logits in this folder.", valueName: "folder"))
    var conformance: String?

    @Option(help: "Measure steps of a synthetic model: tiny or 8b.")
    var steps: Size?

    @Option(help: "Adapters of the steps, at most.")
    var adapters = 256

    @Flag(help: "Print JSON instead of tables.")
    var json = false

    func run() throws {
        let device = try Device(try gpu.map(ComputeDevice.identifier) ?? ComputeDevice.first())
        let description = device.description
        var report = BenchReport(printsText: !json)
        report.add(
            "device",
            [
                "gpu": .string(description.identifier.description),
                "name": .string(description.name), "driver": .string(description.driver),
                "version": .string(description.version),
                "memory": .integer(description.byteCount),
                "free": description.freeByteCount.map { .integer($0) } ?? .null,
                "subgroup": .integer(description.subgroupSize),
                "bf16_tiles": .bool(description.hasBF16Tiles),
                "half_tiles": .bool(description.hasHalfTiles),
                "copy_queue": .bool(description.hasCopyQueue),
                "largest_allocation": .integer(description.largestAllocation),
            ], "\(description.identifier), \(description.name), \(description.driver)")
        try ProductBench(device: device, rowCounts: try rowCounts(description))
            .run(into: &report)
        if let conformance { try compare(with: conformance, device, into: &report) }
        if let steps {
            try StepBench(
                gpu: description.identifier.description, model: steps.model,
                rowCounts: steps == .tiny ? [1, 4] : [1, 32, 256], mostAdapters: adapters
            ).run(into: &report, progress: Progress())
        }
        if json { print(report.json.text()) }
    }

    /// All adapters of each family in one batch: in f32 within 1e-4 of PEFT, in bf16 about as near as the CPU.
    private func compare(
        with folder: String, _ device: Device, into report: inout BenchReport
    ) throws {
        var found: [JSON] = []
        var table = TextTable([
            "family", "element", "adapters", "largest difference", "the CPU's", "adapter",
        ])
        for family in ConformanceSuite.firstFamilies {
            let suite = try ConformanceSuite(family, in: folder)
            for format in [WeightFormat.f32, .bf16] {
                let differences = try suite.differences(format: format) {
                    weights, rowCount, blockCount in
                    try DeviceModel(
                        weights: weights, adapterFormat: format,
                        activations: format == .f32 ? .f32 : .bf16, blockCount: blockCount,
                        poolByteCount: 64 << 20, device: device, kernels: KernelSet.best(),
                        team: WorkerTeam(memberCount: 1), maximumRows: rowCount,
                        maximumContext: 64)
                }
                let host = try suite.differences(format: format) { weights, rowCount, blockCount in
                    BenchDevice.hostModel(weights, rowCount: rowCount, blockCount: blockCount)
                }
                guard let worst = differences.max(by: { $0.difference < $1.difference }),
                    let hostWorst = host.map(\.difference).max()
                else { continue }
                found.append([
                    "family": .string(family), "element": .string(format.rawValue),
                    "adapters": .integer(differences.count - 1),
                    "largest_difference": .number(Double(worst.difference)),
                    "largest_difference_of_the_cpu": .number(Double(hostWorst)),
                    "adapter": .string(worst.name),
                ])
                table.add([
                    family, format.rawValue, "\(differences.count - 1)",
                    BenchReport.scientific(Double(worst.difference)),
                    BenchReport.scientific(Double(hostWorst)), worst.name,
                ])
            }
        }
        report.add("conformance", .array(found), table.text)
    }

    private static func hostModel(
        _ weights: ModelWeights, rowCount: Int, blockCount: Int
    ) -> DecoderModel {
        let c = weights.configuration
        return DecoderModel(
            weights: weights, adapterFormat: weights.format,
            cache: KeyValueCache(
                format: weights.format == .f32 ? .f32 : .bf16, layerCount: c.layerCount,
                headCount: c.keyValueHeadCount, headDimension: c.headDimension,
                blockCount: blockCount), kernels: KernelSet.available[0],
            team: WorkerTeam(memberCount: 2), maximumRows: rowCount, maximumContext: 64)
    }

    private func rowCounts(_ device: DeviceDescription) throws -> [Int] {
        guard let rows else { return device.isSoftware ? [1] : [1, 16, 64, 1024, 4096] }
        let counts = rows.split(separator: ",").map { Int($0) ?? 0 }
        guard !counts.isEmpty, counts.allSatisfy({ (1...65536).contains($0) }) else {
            throw ValidationError("--rows takes numbers between 1 and 65536, such as 1,16,64.")
        }
        return counts
    }
}
