import ArgumentParser
import Engine
import Foundation
import Generation
import ModelFiles
import StepModels
import Tensors
import Tokenization

struct BenchQuality: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quality",
        abstract: "Measures what a weight format costs: divergence from another one on a text.",
        discussion: """
            The text is cut into windows, and the second half of each is scored, as llama.cpp's \
            perplexity tool does it. Shown are the mean Kullback-Leibler divergence of the next token's \
            distribution, both perplexities, and how often the likeliest token is the same.

            Example:
              martlet bench quality --model SmolLM2-135M-Instruct --text Benchmarks/quality-sample.txt --weights q8
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: "A file of plain text.")
    var text: String

    @Option(help: "The format to compare with; its activations are f32.")
    var reference = WeightFormat.bf16

    @Option(help: "Tokens in a window.")
    var window = 512

    func validate() throws {
        guard (4...65_536).contains(window) else {
            throw ValidationError("--window must be between 4 and 65536.")
        }
    }

    func run() async throws {
        let progress = Progress()
        var settings = try ModelSettings(model, try Settings(file: model.config))
        settings.contextLength = window
        settings.maximumSequences = 1
        settings.maximumStepTokens = window
        var referenceSettings = settings
        referenceSettings.weights = reference
        referenceSettings.activations = .f32
        referenceSettings.adapterWeights = reference.adapterFormat
        let tested = try LoadedModel(settings, progress: progress)
        let exact = try LoadedModel(referenceSettings, progress: progress)
        let tokenizer = try Tokenizer(tested.checkpoint.tokenizer)
        let content = try String(contentsOfFile: text, encoding: .utf8)
        let tokens = tokenizer.encode(content, addsSpecialTokens: false).map(Int32.init)
        guard tokens.count >= window else {
            throw ValidationError("The text has \(tokens.count) tokens, less than one window.")
        }

        var comparison = Comparison()
        let (p, q) = (exact.makeModel(), tested.makeModel())
        let windows = tokens.count / window
        for index in 0..<windows {
            progress.show("scoring", Double(index) / Double(windows))
            let some = Array(tokens[index * window..<(index + 1) * window])
            let scored = Array(window / 2..<window - 1)
            let first = try BenchQuality.forward(some, p, wanting: scored)
            let second = try BenchQuality.forward(some, q, wanting: scored)
            for start in stride(from: 0, to: scored.count, by: mostLogitRows) {
                let rows = start..<min(start + mostLogitRows, scored.count)
                comparison.add(
                    try p.logits(of: rows, in: first, peaksOnly: false),
                    try q.logits(of: rows, in: second, peaksOnly: false),
                    kernels: p.kernels,
                    next: scored[rows].map { some[$0 + 1] })
            }
        }
        progress.finish()
        print(
            """
            \(settings.modelPath): \(comparison.count) tokens scored of \(tokens.count), \
            \(settings.weights.rawValue) weights with \(settings.activations.rawValue) activations \
            against \(reference.rawValue) with f32

            \(comparison.text)
            """)
    }

    private static func forward(
        _ tokens: [Int32], _ model: any StepModel, wanting rows: [Int]
    ) throws -> WantedRows {
        var batch = Batch()
        let blocks =
            (tokens.count + KeyValueCache.blockPositions - 1) / KeyValueCache.blockPositions
        batch.append(
            tokens: tokens, firstPosition: 0, blocks: (0..<blocks).map(Int32.init), adapter: nil)
        return try model.forward(batch, wanting: rows)
    }
}

/// Distributions compared, place by place.
private struct Comparison {
    private(set) var count = 0
    private var divergences: [Double] = []
    private var surprise = (exact: 0.0, tested: 0.0)
    private var agreed = 0

    typealias Rows = (logits: Matrix, peaks: [LogitPeak])

    mutating func add(_ exact: Rows, _ tested: Rows, kernels: KernelSet, next: [Int32]) {
        func logSumExp(_ rows: Rows, _ row: Int) -> Float {
            kernels.logSumExp(rows.logits, row: row, maximum: rows.peaks[row].maximum)
        }
        for (row, token) in next.enumerated() {
            let (p, q) = (logSumExp(exact, row), logSumExp(tested, row))
            var sum = 0.0
            exact.logits.withRow(row) { a in
                tested.logits.withRow(row) { b in
                    for index in 0..<a.count {
                        let logP = a[index] - p
                        sum += Double(exp(logP) * (logP - (b[index] - q)))
                    }
                    surprise.exact += Double(p - a[Int(token)])
                    surprise.tested += Double(q - b[Int(token)])
                }
            }
            divergences.append(sum)
            agreed += exact.peaks[row].column == tested.peaks[row].column ? 1 : 0
            count += 1
        }
    }

    var text: String {
        let sorted = divergences.sorted()
        let (a, b) = (exp(surprise.exact / Double(count)), exp(surprise.tested / Double(count)))
        return String(
            format: """
                mean divergence        %.6f   (median %.6f, 99 %% below %.4f)
                perplexity             %.4f   (reference %.4f, %+.2f %%)
                same likeliest token   %.2f %%
                """,
            divergences.reduce(0, +) / Double(count), sorted[count / 2],
            sorted[min(count - 1, count * 99 / 100)], b, a, (b / a - 1) * 100,
            100 * Double(agreed) / Double(count))
    }
}
