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

    init(
        _ experts: Departures.Experts, _ layer: ModelWeights.ExpertWeights, format: ComputeFormat,
        weights: WeightFormat, hiddenSize: Int, rowCount: Int
    ) {
        let count = rowCount * experts.perToken
        func input(_ columnCount: Int) -> ProductInput {
            ProductInput(
                format: format, weights: weights, adapters: nil, rowCount: count,
                columnCount: columnCount)
        }
        wanted = Matrix(
            rowCount: rowCount, columnCount: layer.router.panelCount * Lanes.count)
        self.input = input(hiddenSize)
        gated = input(experts.width)
        outputs = Matrix(
            rowCount: count, columnCount: max(layer.inputs[0].width, layer.outputs[0].width))
        rows = ExpertRows(experts)
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
