import Adapters
import ModelFiles
import StepModels
import Tensors
import TestSupport
import Testing
import Transformer

/// Steps of teams of many sizes, some of more threads than the machine has processors.
struct TeamTests {
    /// The bits of a prompt's and two more tokens' logits, and the meetings of the last step.
    private static func steps(
        _ format: WeightFormat, adapter name: String?, memberCount: Int
    ) throws -> (bits: [[UInt32]], layerMeetings: Int, logitMeetings: Int) {
        // Packed by a team of that size too.
        let engine = try TinyEngine(format: format, threads: memberCount)
        let c = engine.checkpoint.configuration
        let team = WorkerTeam(memberCount: memberCount)
        let activations = format == .f32 ? ComputeFormat.f32 : .bf16
        let model = DecoderModel(
            weights: engine.weights, adapterFormat: format.adapterFormat,
            cache: KeyValueCache(
                format: activations, layerCount: c.layerCount, headCount: c.keyValueHeadCount,
                headDimension: c.headDimension, blockCount: 4),
            kernels: KernelSet.available[0], team: team, maximumRows: 32, maximumContext: 32)
        let adapter = try name.map { try engine.adapter($0) }
        var bits: [[UInt32]] = []
        var meetings = (0, 0)
        for (position, count) in [(0, 9), (9, 1), (10, 1)] {
            var batch = Batch()
            // One sequence with the adapter and one of the base.
            for (sequence, adapter) in [adapter, nil].enumerated() {
                batch.append(
                    tokens: (0..<count).map { Int32(3 + 2 * (position + $0) + sequence) },
                    firstPosition: position,
                    blocks: [Int32(2 * sequence), Int32(2 * sequence + 1)],
                    adapter: adapter)
            }
            let start = team.meetingCount
            let wanted = model.forward(batch, wanting: [count - 1, 2 * count - 1])
            let middle = team.meetingCount
            let logits = model.logits(of: 0..<2, in: wanted).logits
            meetings = (middle - start, team.meetingCount - middle)
            for row in 0..<2 { bits.append(logits.row(row).map(\.bitPattern)) }
        }
        return (bits, meetings.0, meetings.1)
    }

    @Test(arguments: [WeightFormat.f32, .bf16, .q8, .q4], [nil, "all-linear"])
    func aStepIsTheSameInEveryTeam(_ format: WeightFormat, _ adapter: String?) throws {
        let alone = try Self.steps(format, adapter: adapter, memberCount: 1)
        #expect(alone.layerMeetings == 0)
        for memberCount in [2, 3, 8, 24] {
            let together = try Self.steps(format, adapter: adapter, memberCount: memberCount)
            #expect(together.bits == alone.bits, "\(memberCount) members")
            // Seven products and rows in a layer, nine where what two of them read is rounded or
            // shrunk first; the embedding, and the end. docs/performance.md counts on it.
            let perLayer = adapter == nil && !format.isQuantized ? 7 : 9
            #expect(together.layerMeetings == 2 * perLayer + 2)
            #expect(together.logitMeetings == 2)
        }
    }
}
