import AdapterSources
import Adapters
import ArgumentParser
import Engine
import Foundation
import Generation
import JSONTree
import LoadGenerator
import ModelFiles
import Tensors

struct BenchCost: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cost",
        abstract: "Compares what many adapters cost: a process each, one that swaps, and Martlet.",
        discussion: """
            The same requests, of clients that send one after another, are answered in three ways by the same kernels:

              processes  a process for each adapter, which has the base to itself. Those that have requests take turns \
            step by step; that changing between processes takes time is left out.
              swapping   one process that computes for one adapter at a time: it takes all waiting requests of the \
            adapter that waits longest to their end, and then the next adapter's. Swapping takes no time.
              martlet    one process, all adapters in one batch.

            Memory is what a process has for itself, measured. Where processes do not fit one machine's memory there \
            are more machines, each with its part of the adapters and clients, and one of them is measured. All \
            requests have the same lengths. Adapters are copies of those given.

            Example:
              martlet bench cost --model SmolLM2-135M-Instruct --adapters adapters --price 0.10
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: "Numbers of adapters, with commas.")
    var counts = "1,4,16,64,250,500"

    @Option(help: "Clients that send one request after another.")
    var clients = 16

    @Option(help: "Requests of one measurement.")
    var requests = 64

    @Option(help: "Rounds of the three ways in turn; the median counts.")
    var rounds = 1

    @Option(help: "Prompt tokens of each request.")
    var promptTokens = 128

    @Option(help: "Tokens that each request generates.")
    var newTokens = 64

    @Option(
        help:
            "Adapters are asked for by a power law, floor(U^(1/alpha) · N); 1 for all equally often."
    )
    var alpha = 1.0

    @Option(help: "Euros that a machine such as this one costs in an hour.")
    var price: Double?

    @Option(
        help: ArgumentHelp("Memory of a machine. (default: this one's)", valueName: "size"))
    var machineMemory: String?

    @Option(help: ArgumentHelp("Also write the figures as JSON.", valueName: "file"))
    var json: String?

    private var machineByteCount: Int? { machineMemory.flatMap(ByteCount.parse) }
    private var adapterCounts: [Int] { counts.split(separator: ",").map { Int($0) ?? 0 } }

    func validate() throws {
        guard adapterCounts.allSatisfy({ (1...10_000).contains($0) }), !adapterCounts.isEmpty else {
            throw ValidationError("--counts wants numbers between 1 and 10000, such as 1,16,500.")
        }
        guard (1...1024).contains(clients), (1...100_000).contains(requests), rounds > 0,
            (1...100_000).contains(promptTokens), (2...100_000).contains(newTokens)
        else {
            throw ValidationError(
                "--clients, --requests, --rounds, --prompt-tokens must be above 0 and sensible, --new-tokens above 1."
            )
        }
        guard machineMemory == nil || machineByteCount.map({ $0 > 0 }) ?? false else {
            throw ValidationError("--machine-memory wants a size such as 512MiB or 64GiB.")
        }
        guard alpha > 0, alpha <= 100, price.map({ $0 > 0 && $0 < 1e6 }) ?? true else {
            throw ValidationError("--alpha and --price must be above 0 and sensible.")
        }
    }

    func run() async throws {
        let progress = Progress()
        var settings = try ModelSettings(model, try Settings(file: model.config))
        settings.contextLength = settings.contextLength ?? promptTokens + newTokens
        settings.maximumSequences = clients
        settings.prefixByteCount = 0
        settings.draftRows = 0
        let machine = machineByteCount ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
        let loaded = try LoadedModel(settings, progress: progress)
        guard !loaded.isOnDevice else {
            throw ValidationError(
                "Processes that take turns can be measured on the CPU only: give --device cpu.")
        }
        guard !settings.adapters.isEmpty else {
            throw ValidationError("There is nothing to compare without adapters: give --adapters.")
        }
        let files = try settings.adapters.map {
            try AdapterFile.open(
                path: $0.source.description, base: loaded.checkpoint, limits: AdapterLimits())
        }
        var bench = CostBench(
            loaded: loaded, files: files, adapterFormat: settings.adapterWeights, load: self)
        let figures = CostFigures(
            price: price, machineByteCount: machine,
            processByteCount: try bench.processByteCount(progress))
        print(
            "\(settings.modelPath), \(settings.weights.rawValue) weights, \(loaded.deviceName); \(clients) clients, \(requests) requests of \(promptTokens) prompt and \(newTokens) new tokens; a machine has \(ByteCount.text(machine))\n"
        )
        var table = TextTable(figures.header)
        var rows: [JSON] = []
        for count in adapterCounts {
            let ways = try bench.rows(count, figures, progress)
            for row in ways { table.add(figures.cells(row, against: ways[0])) }
            rows += ways.map(figures.json)
        }
        progress.finish()
        print(table.text)
        if let json {
            try Data(JSON.array(rows).text().utf8).write(to: URL(fileURLWithPath: json))
        }
    }
}
