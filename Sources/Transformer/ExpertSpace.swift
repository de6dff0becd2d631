internal import Adapters
internal import ModelFiles
internal import StepModels
internal import Tensors

/// What layers with experts write: a row for each expert that a row of the step takes, those of an expert together.
final class ExpertSpace {
    /// How much each row wants of each expert.
    let wanted: Matrix
    let input: ProductInput
    /// Gate and up of a row, and what the expert makes of them.
    let outputs: Matrix
    let gated: ProductInput
    let rows: ExpertRows
    /// What adapters change of the layer's experts.
    let adapters: LowRankStep
    /// As those of `DecoderModel`.
    private(set) var shrunk = Matrix(rowCount: 0, columnCount: 0)
    private(set) var shrunkInput: ShrunkInput
    private let adapterFormat: WeightFormat
    private let format: ComputeFormat

    init(
        _ experts: Departures.Experts, _ layer: ModelWeights.ExpertWeights, format: ComputeFormat,
        weights: WeightFormat, adapterFormat: WeightFormat, hiddenSize: Int, rowCount: Int,
        kernels: KernelSet
    ) {
        let count = rowCount * experts.perToken
        func input(_ columnCount: Int) -> ProductInput {
            ProductInput(
                format: format, weights: weights, adapters: adapterFormat, rowCount: count,
                columnCount: columnCount)
        }
        wanted = Matrix(
            rowCount: rowCount, columnCount: layer.router.panelCount * Lanes.count)
        self.input = input(hiddenSize)
        gated = input(experts.width)
        outputs = Matrix(
            rowCount: count, columnCount: max(layer.inputs[0].width, layer.outputs[0].width))
        rows = ExpertRows(experts)
        adapters = LowRankStep(kernels: kernels, capacity: count)
        shrunkInput = ShrunkInput(
            format: adapterFormat, activations: format, rowCount: 0, width: 0)
        self.adapterFormat = adapterFormat
        self.format = format
    }

    /// Makes room for an adapter of the step.
    func know(_ table: LowRankTable) {
        adapters.append(rows: 0..<0, table: table)
        adapters.removeRows()
        guard
            adapters.shrinkWidth > shrunk.columnCount || adapters.roundedWidth > shrunkInput.width
        else { return }
        shrunk = Matrix(rowCount: outputs.rowCount, columnCount: adapters.shrinkWidth)
        shrunkInput = ShrunkInput(
            format: adapterFormat, activations: format, rowCount: outputs.rowCount,
            width: adapters.roundedWidth)
    }

    /// Which shares are which adapter's.
    ///
    /// - Parameter owners: adapters that change experts, by rows of the step.
    func part(_ owners: [Batch.Segment]) {
        adapters.removeRows()
        for (_, range) in rows.taken {
            var place = range.lowerBound
            func skip(below row: Int) {
                while place < range.upperBound, rows.shares[place].row < row { place += 1 }
            }
            for owner in owners {
                guard let table = owner.adapter.expertTable else { continue }
                skip(below: owner.rows.lowerBound)
                let first = place
                skip(below: owner.rows.upperBound)
                if first < place {
                    adapters.append(rows: first..<place, table: table, isKnown: true)
                }
            }
        }
    }

    /// The parts of some shares that are one expert's each.
    func forEachExpert(in shares: Range<Int>, _ work: (_ expert: Int, _ shares: Range<Int>) -> Void)
    {
        for (expert, range) in rows.taken where range.overlaps(shares) {
            work(expert, range.clamped(to: shares))
        }
    }
}

/// Which experts the rows of a step take.
final class ExpertRows {
    /// An expert's part of a row.
    struct Share {
        var row: Int
        var weight: Float
    }

    private let experts: Departures.Experts
    /// By expert, and then by row.
    private(set) var shares: [Share] = []
    /// Experts that somebody takes, and where their shares are.
    private(set) var taken: [(expert: Int, shares: Range<Int>)] = []
    /// For each row and each expert that it takes, ascending, the place of its share.
    private var places: [Int] = []
    private var chosen: [(expert: Int, weight: Float)] = []
    private var counts: [Int] = []

    init(_ experts: Departures.Experts) { self.experts = experts }

    func places(ofRow row: Int) -> ArraySlice<Int> {
        places[row * experts.perToken..<(row + 1) * experts.perToken]
    }

    /// Takes the likeliest experts of each row, the first of equals. Their weights are what softmax over all makes of the
    /// numbers, or over these, as transformers computes it.
    ///
    /// - Parameter wanted: (rows, experts), how much a row wants of each.
    func choose(_ wanted: Matrix, rowCount: Int) {
        chosen.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
        counts.append(contentsOf: repeatElement(0, count: experts.count))
        for row in 0..<rowCount {
            wanted.withRow(row) { choose($0) }
            for (expert, _) in chosen.suffix(experts.perToken) { counts[expert] += 1 }
        }
        taken.removeAll(keepingCapacity: true)
        var end = 0
        for expert in 0..<experts.count where counts[expert] > 0 {
            taken.append((expert, end..<end + counts[expert]))
            // From here on where the expert's next share goes.
            (counts[expert], end) = (end, end + counts[expert])
        }
        shares.removeAll(keepingCapacity: true)
        shares.append(contentsOf: repeatElement(Share(row: 0, weight: 0), count: end))
        places.removeAll(keepingCapacity: true)
        for (index, (expert, weight)) in chosen.enumerated() {
            places.append(counts[expert])
            shares[counts[expert]] = Share(row: index / experts.perToken, weight: weight)
            counts[expert] += 1
        }
    }

    private func choose(_ wanted: Span<Float>) {
        let first = chosen.count
        for _ in 0..<experts.perToken {
            var best: Int?
            for expert in 0..<experts.count
            where !chosen[first...].contains(where: { $0.expert == expert }) {
                if best.map({ wanted[expert] > wanted[$0] }) ?? true { best = expert }
            }
            if let best { chosen.append((best, 0)) }
        }
        let largest = wanted[chosen[first].expert]
        chosen[first...].sort { $0.expert < $1.expert }
        var sum: Float = 0
        for place in first..<chosen.count {
            chosen[place].weight = exponential(wanted[chosen[place].expert] - largest)
            sum += chosen[place].weight
        }
        if !experts.normalizes {
            sum = (0..<experts.count).reduce(0) { $0 + exponential(wanted[$1] - largest) }
        }
        for place in first..<chosen.count { chosen[place].weight /= sum }
    }
}
