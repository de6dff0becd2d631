import Adapters
import Engine
import StepModels
import Tensors
import TestSupport
import Testing

/// Tokens that are drawn from blocks of weights, as a device has them, are those that are drawn from logits.
struct DrawingTests {
    /// Logits by chance, different for each token and position.
    class ChanceModel: StepModel {
        let vocabularySize = 5000
        let kernels = KernelSet.available[KernelSet.available.count - 1]
        let memberCount = 1
        let deviceUsage: DeviceUsage? = nil
        /// How widely they are spread.
        let spread: Float
        private var seeds: [UInt64] = []

        init(spread: Float) { self.spread = spread }

        func forward(_ batch: Batch, wanting wanted: [Int]) throws(StepFailure) -> WantedRows {
            seeds = wanted.map { UInt64(batch.tokens[$0]) << 20 + UInt64(batch.positions[$0]) }
            return WantedRows(count: wanted.count, segments: [])
        }

        func logits(
            of rows: Range<Int>, in wanted: WantedRows, peaksOnly: Bool
        ) throws(StepFailure) -> (logits: Matrix, peaks: [LogitPeak]) {
            let logits = Matrix(
                rows: rows.map { row in
                    var generator = SeededGenerator(seed: seeds[row])
                    return (0..<vocabularySize).map { _ in spread * generator.normal() }
                })
            return (
                logits,
                (0..<rows.count).map { kernels.peak(logits, row: $0, columns: 0..<vocabularySize) }
            )
        }

        func hiddenStates(
            of rows: Range<Int>, in wanted: WantedRows
        ) throws(StepFailure) -> Matrix { throw StepFailure("none are wanted") }

        func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void) {
            for index in 0..<count { work(0, index) }
        }
        func cacheByteCount(blockCount: Int) -> Int { 0 }
        func free(_ blocks: [Int32]) {}
        func keep(_ adapters: Set<AdapterDigest>) {}
        func bring(_ adapters: [DeviceAdapter]) -> Set<AdapterDigest> { [] }
        func waitForAdapter() {}
    }

    /// The same, with weights that are asked for by block.
    final class BlockModel: ChanceModel, DrawingModel {
        private(set) var givenBlockCount = 0
        private(set) var weighedRowCount = 0
        private var rows: [[Float]] = []
        private var blockCount: Int {
            (vocabularySize + KernelSet.sumBlock - 1) / KernelSet.sumBlock
        }

        func weigh(
            _ range: Range<Int>, in wanted: WantedRows, inverseTemperatures: [Float]
        ) throws(StepFailure) -> (sums: Matrix, peaks: [LogitPeak]) {
            let (logits, peaks) = try logits(of: range, in: wanted, peaksOnly: false)
            let sums = Matrix(rowCount: range.count, columnCount: blockCount)
            rows = range.indices.map { index in
                let row = index - range.startIndex
                let (weights, own) = (
                    Matrix(rowCount: 1, columnCount: vocabularySize),
                    Matrix(rowCount: 1, columnCount: blockCount)
                )
                guard inverseTemperatures[row] > 0 else { return [] }
                weighedRowCount += 1
                kernels.exponentials(
                    logits, row: row, maximum: peaks[row].maximum,
                    inverseTemperature: inverseTemperatures[row], into: weights, sums: own)
                sums.setRow(row, own.row(0))
                return weights.row(0)
                    + Array(
                        repeating: 0, count: blockCount * KernelSet.sumBlock - vocabularySize)
            }
            return (sums, peaks)
        }

        func weights(of blocks: [WeightBlock]) throws(StepFailure) -> [Float] {
            givenBlockCount += blocks.count
            return blocks.flatMap {
                rows[$0.row][$0.block * KernelSet.sumBlock..<($0.block + 1) * KernelSet.sumBlock]
            }
        }
    }

    /// Requests that draw in every way, and some that take the likeliest token or want more than a draw.
    private static func requests(more: Bool) -> [EngineRequest] {
        let ways: [(inout SamplingParameters) -> Void] = [
            { $0.temperature = 1 }, { $0.temperature = 0 }, { $0.temperature = 0.01 },
            { $0.topP = 0.9 }, { $0.topP = 0.9999 }, { $0.topK = 40 }, { $0.topK = 3000 },
            { $0.minP = 0.05 }, { $0.minP = 1e-9 },
            {
                $0.topK = 900
                $0.topP = 0.8
                $0.minP = 0.001
            }, { $0.temperature = 60 },
            {
                $0.temperature = 60
                $0.topP = 0.99
            },
        ]
        let others: [(inout SamplingParameters) -> Void] =
            more ? [{ $0.logprobCount = 2 }, { $0.repetitionPenalty = 1.3 }] : []
        return (ways + others).enumerated().map { index, change in
            EngineCoreTests.request(index + 1, adapter: nil, promptCount: 4, maximumTokens: 20) {
                $0.logprobCount = nil
                $0.promptLogprobCount = nil
                change(&$0)
            }
        }
    }

    private static func run(_ model: ChanceModel, _ requests: [EngineRequest]) -> [RequestID:
        [Int32]]
    {
        var core = EngineCore(
            model: model,
            limits: EngineLimits(
                maximumSequences: 16, maximumStepTokens: 64, maximumContext: 64, blockCount: 128,
                maximumWaiting: 16))
        return EngineCoreTests.run(&core, requests).mapValues(\.tokens)
    }

    @Test(arguments: [0.2, 2, 8] as [Float], [false, true])
    func tokensAreThoseOfLogits(_ spread: Float, _ more: Bool) {
        let requests = Self.requests(more: more)
        let expected = Self.run(ChanceModel(spread: spread), requests)
        let model = BlockModel(spread: spread)
        #expect(Self.run(model, requests) == expected)
        #expect(expected.count == requests.count && expected.values.allSatisfy { $0.count == 20 })
        // In a step with a request that needs its logits all rows come by them.
        #expect(more || model.weighedRowCount == 20 * (requests.count - 1))
        #expect(more || model.givenBlockCount > model.weighedRowCount)
    }

    /// A draw from all tokens needs one block or two of the weights.
    @Test func aPlainDrawReadsLittle() {
        let model = BlockModel(spread: 2)
        let found = Self.run(model, Array(Self.requests(more: false).prefix(1)))
        #expect(found.values.first?.count == 20)
        #expect(model.givenBlockCount == 40)
    }
}
