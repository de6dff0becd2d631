import Adapters
import Conformance
import ModelFiles
import Tensors
import Testing

/// Sums of adapters beyond their logits, which `ConformanceTests` compares with PEFT's.
struct MixTests {
    let suite: ConformanceSuite
    let base: Checkpoint

    init() throws {
        suite = try ConformanceTests.suite("llama")
        base = try Checkpoint.open(path: suite.folder + "/model")
    }

    @Test func eachFamilyHasSome() throws {
        for family in ConformanceSuite.firstFamilies {
            #expect(try ConformanceTests.suite(family).mixes.count >= 8)
        }
    }

    @Test(arguments: [WeightFormat.f32, .bf16, .q8])
    func theOrderOfTheListChangesNoBit(_ format: WeightFormat) throws {
        for (_, parts) in suite.mixes {
            let one = try suite.mix(parts, base, format: format)
            let other = try suite.mix(parts.reversed(), base, format: format)
            #expect(one.digest == other.digest)
            let (a, b) = (one.adapter(), other.adapter())
            #expect(a.byteCount == one.byteCount && a.byteCount == b.byteCount)
            #expect(Checksum(of: a.memory) == Checksum(of: b.memory))
        }
    }

    @Test func otherPartsAndScalesAreOtherMixes() throws {
        let digests = try [
            [("plain", 0.7), ("all-linear", 0.4)], [("plain", 0.4), ("all-linear", 0.7)],
            [("plain", 0.7), ("all-linear", 0.5)], [("plain", 0.7)], [("plain", 1)],
        ].map { try suite.mix($0.map { ($0.0, Float($0.1)) }, base).digest }
        #expect(Set(digests + [try suite.adapter("plain", base).digest]).count == 6)
    }

    /// A block of eight bits has one scale, so parts do not share blocks.
    @Test func partsAreAsExactAsTheyAreAlone() throws {
        let format = WeightFormat.q8
        let alone = try suite.adapter("all-linear", base, format: format)
        let mix = try suite.mix([("all-linear", 1), ("rank-1", 1e-3)], base, format: format)
            .adapter()
        for (update, other) in zip(mix.table.updates, alone.table.updates) {
            guard let update, let other else { continue }
            for (sum, part) in zip(update.expansions, other.expansions) {
                guard let sum, let part else { continue }
                let count = part.weights.inputCount
                for row in 0..<part.weights.outputCount {
                    let (a, b) = (
                        Matrix(rowCount: 1, columnCount: sum.weights.inputCount),
                        Matrix(rowCount: 1, columnCount: count)
                    )
                    sum.weights.unpackRow(row, into: a, row: 0)
                    part.weights.unpackRow(row, into: b, row: 0)
                    let found = [0, sum.weights.inputCount - format.blockLength].map {
                        Array(a.row(0)[$0..<$0 + count])
                    }
                    #expect(
                        found.contains { zip($0, b.row(0)).allSatisfy { abs($0 - $1) <= 1e-6 } })
                }
            }
        }
    }

    @Test(arguments: [
        "dora", "saved-head", "embedding", "tokens-list", "alora-once", "lora-bias",
    ])
    func whatIsNoPlainLowRankChangeIsRefused(_ name: String) throws {
        let error = #expect(throws: ModelFileError.self) {
            _ = try suite.mix([("plain", 1), (name, 1)], base)
        }
        #expect(error?.code == .notMixable)
    }

    @Test func ranksHaveALimit() throws {
        var limits = AdapterLimits()
        limits.rank = 8
        let parts = try ["plain", "all-linear", "rslora"].map {
            AdapterMix.Part(try suite.adapter($0, base), scale: 1)
        }
        _ = try AdapterMix(
            Array(parts[..<2]), base: base.configuration, format: .f32, limits: limits)
        let error = #expect(throws: ModelFileError.self) {
            _ = try AdapterMix(parts, base: base.configuration, format: .f32, limits: limits)
        }
        #expect(error?.code == .limitExceeded)
    }
}
