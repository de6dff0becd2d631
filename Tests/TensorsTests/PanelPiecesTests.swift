import Tensors
import Testing

/// How a layer's weights fall to the members of a team: counted, without threads.
struct PanelPiecesTests {
    /// A product of a layer.
    struct Product {
        var outputCount: Int
        var inputCount: Int
        /// Matrices of that shape whose outputs are computed together.
        var matrixCount = 1

        /// Weights that a member multiplies.
        func share(of member: Int, in memberCount: Int, rowCount: Int) -> Int {
            let panelCount = (outputCount + Lanes.count - 1) / Lanes.count
            let pieces = PanelPieces(
                panelCount: panelCount, rowCount: rowCount, memberCount: memberCount,
                outputs: matrixCount)
            let own = WorkerTeam.share(of: pieces.count, for: member, of: memberCount)
            let panels = own.reduce(0) { $0 + pieces[$1].count }
            return panels * Lanes.count * inputCount * matrixCount
        }
    }

    struct Shape: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var hidden: Int
        var intermediate: Int
        var queries: Int
        var keys: Int

        var products: [Product] {
            [
                Product(outputCount: queries + 2 * keys, inputCount: hidden),
                Product(outputCount: hidden, inputCount: queries),
                Product(outputCount: intermediate, inputCount: hidden, matrixCount: 2),
                Product(outputCount: hidden, inputCount: intermediate),
            ]
        }

        /// What the members that have most to do in each product multiply together, over what each would
        /// if all had as much.
        func imbalance(memberCount: Int, rowCount: Int) -> Double {
            var (most, all) = (0, 0)
            for product in products {
                let shares = (0..<memberCount).map {
                    product.share(of: $0, in: memberCount, rowCount: rowCount)
                }
                most += shares.max() ?? 0
                all += shares.reduce(0, +)
            }
            return Double(most * memberCount) / Double(all)
        }

        static let smolLM = Shape(
            testDescription: "135M", hidden: 576, intermediate: 1536, queries: 576, keys: 192)
        static let llama1B = Shape(
            testDescription: "1B", hidden: 2048, intermediate: 8192, queries: 2048, keys: 512)
        static let llama8B = Shape(
            testDescription: "8B", hidden: 4096, intermediate: 14336, queries: 4096, keys: 1024)
        static let llama70B = Shape(
            testDescription: "70B", hidden: 8192, intermediate: 28672, queries: 8192, keys: 1024)
    }

    @Test(arguments: [0, 1, 2, 3, 7, 36, 256, 8016], [1, 2, 3, 64, 192])
    func piecesCoverEveryPanelOnce(_ panelCount: Int, _ memberCount: Int) {
        for (rowCount, outputs) in [(1, 1), (16, 2), (256, 1), (8192, 2)] {
            let pieces = PanelPieces(
                panelCount: panelCount, rowCount: rowCount, memberCount: memberCount,
                outputs: outputs)
            #expect((0..<pieces.count).flatMap { pieces[$0] } == Array(0..<panelCount))
            #expect((0..<pieces.count).allSatisfy { !pieces[$0].isEmpty })
            let largest = (0..<pieces.count).map { pieces[$0].count }.max() ?? 0
            #expect(
                largest * outputs * Lanes.count * rowCount
                    <= PanelPieces.largestOutputCount(rowCount: rowCount))
        }
    }

    /// So the memory that a member touched first when it packed is what it reads in every step.
    @Test(arguments: [1, 5, 36, 256, 384, 8016], [1, 2, 3, 64, 192])
    func aMembersPanelsAreTheSameForAnyNumberOfRows(_ panelCount: Int, _ memberCount: Int) {
        for (rowCount, outputs) in [(1, 1), (16, 1), (256, 1), (16, 2), (4096, 2)] {
            let pieces = PanelPieces(
                panelCount: panelCount, rowCount: rowCount, memberCount: memberCount,
                outputs: outputs)
            let packed = PanelPieces(panelCount: panelCount, rowCount: 1, memberCount: memberCount)
            for member in 0..<memberCount {
                let own = WorkerTeam.share(of: pieces.count, for: member, of: memberCount)
                #expect(own.flatMap { pieces[$0] } == Array(packed.panels(of: member)))
            }
        }
    }

    @Test(arguments: [
        (Shape.smolLM, 8, 1.05), (.smolLM, 16, 1.13), (.llama1B, 64, 1), (.llama1B, 96, 1.25),
        (.llama1B, 128, 1.04), (.llama8B, 64, 1), (.llama8B, 96, 1.09), (.llama8B, 128, 1),
        (.llama8B, 192, 1.22), (.llama70B, 128, 1), (.llama70B, 192, 1.11),
    ])
    func aLayerIsPartedEvenly(_ shape: Shape, _ memberCount: Int, _ bound: Double) {
        for rowCount in [1, 16, 256] {
            #expect(shape.imbalance(memberCount: memberCount, rowCount: rowCount) <= bound)
        }
    }

    /// As many threads as somebody may have, not just those that divide well.
    @Test(arguments: [(Shape.llama1B, 1.28), (.llama8B, 1.17), (.llama70B, 1.1)])
    func aLayerIsPartedWellForEveryTeam(_ shape: Shape, _ bound: Double) {
        for memberCount in 1...96 {
            #expect(shape.imbalance(memberCount: memberCount, rowCount: 16) <= bound)
        }
    }

    /// Two cores have what they had: whole tiles, and the half each.
    @Test(arguments: [Shape.smolLM, .llama1B, .llama8B, .llama70B])
    func twoMembersShareTiles(_ shape: Shape) {
        #expect(shape.imbalance(memberCount: 2, rowCount: 16) == 1)
        for product in shape.products {
            let pieces = PanelPieces(
                panelCount: product.outputCount / Lanes.count, rowCount: 16, memberCount: 2,
                outputs: product.matrixCount)
            for piece in 0..<pieces.count { #expect(pieces[piece].lowerBound % 2 == 0) }
        }
    }
}
