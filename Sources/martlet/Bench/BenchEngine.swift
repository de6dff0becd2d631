import AdapterSources
import Adapters
import ArgumentParser
import Engine
import Foundation
import Generation
import ModelFiles
import Tensors

struct BenchEngine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine",
        abstract: "Measures prefill and decode in this process, without HTTP or text.",
        discussion: """
            Sequences start together: first their prompts are computed, then all decode in step. Shown \
            as tokens a second and as a share of this machine's measured ceilings, which a line above \
            the table gives.

            Example:
              martlet bench engine --model SmolLM2-135M-Instruct --adapters adapters --assign distinct
            """)

    enum Assignment: String, ExpressibleByArgument, CaseIterable {
        case base, same, distinct
    }

    @OptionGroup var model: ModelOptions

    @Option(help: "Sequences at the same time, several numbers with commas.")
    var sequences = "1,8,16,32"

    @Option(help: "Prompt tokens of each sequence.")
    var promptTokens = 128

    @Option(help: "Tokens that each sequence generates.")
    var newTokens = 64

    @Option(
        help:
            "Which sequence gets which adapter: \(Assignment.allCases.map(\.rawValue).joined(separator: ", "))."
    )
    var assign = Assignment.base

    @Option(help: "How tokens are drawn; 0 takes the likeliest.")
    var temperature: Float = 0

    @Option(help: "Draw from the likeliest tokens that make up this share.")
    var topP: Float = 1

    @Option(help: "Rounds; the median counts.")
    var rounds = 3

    func validate() throws {
        guard counts.allSatisfy({ (1...1024).contains($0) }), !counts.isEmpty else {
            throw ValidationError("--sequences wants numbers between 1 and 1024, such as 1,16.")
        }
        guard temperature >= 0, temperature.isFinite, topP > 0, topP <= 1 else {
            throw ValidationError(
                "--temperature must not be below 0, --top-p be above 0 and at most 1.")
        }
        guard promptTokens > 0, newTokens > 1, rounds > 0 else {
            throw ValidationError(
                "--prompt-tokens and --rounds must be above 0, --new-tokens above 1.")
        }
    }

    private var counts: [Int] { sequences.split(separator: ",").map { Int($0) ?? 0 } }

    func run() async throws {
        let progress = Progress()
        var settings = try ModelSettings(model, try Settings(file: model.config))
        settings.contextLength = settings.contextLength ?? promptTokens + newTokens
        settings.maximumSequences = counts.max() ?? 1
        settings.prefixByteCount = 0
        settings.draftRows = 0
        let loaded = try LoadedModel(settings, progress: progress)
        let adapters = try settings.adapters.map {
            try DeviceAdapter(
                try AdapterFile.open(
                    path: $0.source.description, base: loaded.checkpoint,
                    limits: AdapterLimits()),
                base: loaded.checkpoint, format: settings.adapterWeights)
        }
        guard assign == .base || adapters.count >= (assign == .same ? 1 : counts.max() ?? 1) else {
            throw ValidationError(
                "--assign \(assign.rawValue) needs more adapters than the \(adapters.count) given.")
        }
        // A GPU's ceilings are its own, and unknown here.
        let ceilings =
            loaded.isOnDevice
            ? nil : MachineCeilings(kernels: loaded.kernels, team: loaded.team)
        let c = loaded.checkpoint.configuration
        let format: WeightFormat =
            settings.weights.isQuantized
            ? .q8 : settings.activations == .f32 ? .f32 : settings.weights
        let peak = ceilings?.operations[format]
        print(
            "\(settings.modelPath), \(settings.weights.rawValue) weights, \(settings.activations.rawValue) activations, \(loaded.deviceName)"
                + (ceilings.map {
                    String(
                        format: "; ceilings: read %.1f GB/s, %@ %.0f GFLOP/s",
                        $0.readBandwidth / 1e9, format.rawValue, (peak ?? 0) / 1e9)
                } ?? "") + "\n")
        var table = TextTable([
            "sequences", "prefill tok/s", "of peak", "decode tok/s", "of peak", "of bandwidth",
            "ms/step", "all tok/s",
        ])
        let bodyOperations = 2 * Double(c.layerWeightCount * c.layerCount)
        let headOperations = 2 * Double(c.vocabularySize * c.hiddenSize)
        for count in counts {
            progress.show("measuring \(count) sequences", 0)
            var results: [Result] = []
            for round in 0..<rounds {
                results.append(
                    try measure(loaded, count: count, round: round) { index in
                        switch assign {
                        case .base: nil
                        case .same: adapters[0]
                        case .distinct: adapters[index]
                        }
                    })
            }
            let prefill = results.map(\.prefill).sorted()[rounds / 2]
            let result = results.sorted {
                $0.decode / Double($0.steps) < $1.decode / Double($1.steps)
            }[rounds / 2]
            let prefillRate = Double(count * promptTokens) / prefill
            let stepsRate = Double(result.steps) / result.decode
            let decodeRate = Double(result.tokens) / result.decode
            table.add([
                "\(count)", format0(prefillRate), percent(prefillRate * bodyOperations, of: peak),
                format0(decodeRate),
                percent(decodeRate * (bodyOperations + headOperations), of: peak),
                percent(
                    Double(loaded.weightByteCount) * stepsRate, of: ceilings?.readBandwidth),
                String(format: "%.2f", 1000 / stepsRate),
                format0(Double(count * newTokens) / (prefill + result.decode)),
            ])
        }
        progress.finish()
        print(table.text)
    }

    private func format0(_ value: Double) -> String { String(format: "%.0f", value) }
    private func percent(_ value: Double, of ceiling: Double?) -> String {
        ceiling.map { String(format: "%.0f %%", value / $0 * 100) } ?? "-"
    }

    private func measure(
        _ loaded: LoadedModel, count: Int, round: Int, adapter: (Int) -> DeviceAdapter?
    ) throws -> Result {
        var core = loaded.makeCore()
        let vocabularySize = loaded.checkpoint.configuration.vocabularySize
        for index in 0..<count {
            var parameters = SamplingParameters()
            parameters.maximumTokens = newTokens
            parameters.temperature = temperature
            parameters.topP = topP
            parameters.seed = UInt64(index)
            let prompt = (0..<promptTokens).map {
                Int32(($0 * 7919 + index * 104_729 + round * 1_299_709) % vocabularySize)
            }
            core.apply(
                .submit(
                    EngineRequest(
                        id: RequestID(UInt64(index)), prompt: prompt, adapter: adapter(index),
                        adapterName: nil, parameters: parameters)))
        }
        let clock = ContinuousClock()
        let start = clock.now
        var started: Set<RequestID> = []
        while started.count < count { started.formUnion(core.step().map(\.id)) }
        let middle = clock.now
        var (steps, tokens) = (0, 0)
        while !core.isIdle {
            tokens += core.step().count
            steps += 1
        }
        let end = clock.now
        return Result(
            prefill: (middle - start) / .seconds(1), decode: (end - middle) / .seconds(1),
            steps: steps, tokens: tokens)
    }

    /// Seconds until every sequence has its first token, and from then to the end.
    ///
    /// Prompts that do not fit one step come one after another, so that the first sequences decode a
    /// little while the last ones are still prefilled: `tokens` counts what came after that.
    private struct Result {
        var prefill: Double
        var decode: Double
        var steps: Int
        var tokens: Int
    }
}
