import Adapters
import Engine
import Generation
import LoadGenerator
import ModelFiles
import Tensors

/// Measures the ways of `bench cost` with growing numbers of adapters.
struct CostBench {
    let loaded: LoadedModel
    let files: [AdapterFile]
    let adapterFormat: WeightFormat
    /// What requests are like.
    let load: BenchCost
    private var adapters: [DeviceAdapter] = []

    init(loaded: LoadedModel, files: [AdapterFile], adapterFormat: WeightFormat, load: BenchCost) {
        self.loaded = loaded
        self.files = files
        self.adapterFormat = adapterFormat
        self.load = load
    }

    /// What a process with one adapter has for itself.
    mutating func processByteCount(_ progress: Progress) throws -> Int {
        try loadAdapters(1, progress)
        return try measure(.together, clients: 1, count: 1, requests: 1).byteCount
    }

    /// Every way with so many adapters, the median of its rounds; Martlet's comes first.
    mutating func rows(
        _ count: Int, _ figures: CostFigures, _ progress: Progress
    ) throws -> [CostFigures.Row] {
        try loadAdapters(count, progress)
        var results: [CostWay: [CostResult]] = [:]
        for round in 1...load.rounds {
            for way in CostWay.allCases {
                let label = "\(count) adapters, \(way.rawValue), round \(round) of \(load.rounds)"
                progress.show(label, 0)
                let machines = figures.machineCount(way, count)
                let result = try measure(
                    way, clients: (load.clients + machines - 1) / machines,
                    count: (count + machines - 1) / machines, requests: load.requests
                ) { progress.show(label, $0) }
                results[way, default: []].append(result)
            }
        }
        return CostWay.allCases.map { way in
            let sorted = results[way, default: []].sorted { $0.seconds < $1.seconds }
            return figures.row(way, count: count, sorted[sorted.count / 2])
        }
    }

    /// Adapters that share no memory: copies of the files in turn.
    private mutating func loadAdapters(_ count: Int, _ progress: Progress) throws {
        while adapters.count < count {
            progress.show("loading adapters", Double(adapters.count) / Double(count))
            let adapter = try DeviceAdapter(
                files[adapters.count % files.count], base: loaded.checkpoint, format: adapterFormat)
            adapters.append(adapter.copy(as: .numbered(adapters.count)))
        }
    }

    private func measure(
        _ way: CostWay, clients: Int, count: Int, requests: Int,
        progress: (Double) -> Void = { _ in }
    ) throws -> CostResult {
        var workload = Workload()
        workload.requestCount = requests
        workload.adapterCount = count
        workload.popularity = .power(alpha: load.alpha)
        workload.promptWords = Workload.Length(1...1)
        let vocabularySize = loaded.checkpoint.configuration.vocabularySize
        var parameters = SamplingParameters()
        parameters.maximumTokens = load.newTokens
        parameters.temperature = 0
        let list = workload.requests().map { request in
            EngineRequest(
                id: RequestID(UInt64(request.index)),
                prompt: (0..<load.promptTokens).map {
                    Int32(($0 * 7919 + request.index * 104_729) % vocabularySize)
                },
                adapter: adapters[request.adapter ?? 0], adapterName: nil, parameters: parameters)
        }
        var run = CostLoad(requests: list, clients: clients, makeCore: loaded.makeCore)
        return try run.run(way, progress: progress)
    }
}

extension AdapterDigest {
    /// A digest that no file has, for copies of one adapter that are to be many.
    static func numbered(_ number: Int) -> AdapterDigest {
        let text = String(number, radix: 16)
        guard let digest = AdapterDigest(String(repeating: "0", count: 64 - text.count) + text)
        else { preconditionFailure("64 digits are a digest.") }
        return digest
    }
}
