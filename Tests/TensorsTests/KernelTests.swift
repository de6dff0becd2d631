import Glibc
import Tensors
import TestSupport
import Testing

/// Every kernel set returns the bits of the scalar one, on every awkward shape.
struct KernelTests {
    static let sets = KernelSet.available
    static var scalar: KernelSet { sets[sets.count - 1] }

    static func matrix(_ rows: Int, _ columns: Int, _ generator: inout SeededGenerator) -> Matrix {
        let matrix = Matrix(rowCount: rows, columnCount: columns)
        for row in 0..<rows { matrix.setRow(row, (0..<columns).map { _ in generator.normal() }) }
        return matrix
    }

    static func activations(_ matrix: Matrix, _ format: ComputeFormat) -> Activations {
        let result = Activations(
            format: format, rowCount: matrix.rowCount, columnCount: matrix.columnCount)
        for row in 0..<matrix.rowCount {
            scalar.scale(
                matrix, row: row, column: 0, by: 1, count: matrix.columnCount, into: result,
                outputRow: row, column: 0)
        }
        return result
    }

    static func packed(_ matrix: Matrix, _ format: WeightFormat) -> PackedMatrix {
        let packed = PackedMatrix(
            format: format, outputCount: matrix.rowCount, inputCount: matrix.columnCount)
        packed.pack(team: WorkerTeam(memberCount: 1)) { index, row in
            for column in 0..<row.count { row[column] = matrix[row: index, column: column] }
        }
        return packed
    }

    static func bits(_ matrix: Matrix) -> [[UInt32]] {
        (0..<matrix.rowCount).map { matrix.row($0).map(\.bitPattern) }
    }

    @Test(arguments: ComputeFormat.allCases, [1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 24, 25, 37])
    func productsEqualTheScalarSet(_ format: ComputeFormat, _ rows: Int) {
        var generator = SeededGenerator(seed: UInt64(rows))
        for (inputs, outputs) in [(1, 1), (2, 16), (7, 15), (8, 17), (33, 33), (64, 80), (50, 130)]
        {
            let x = Self.activations(Self.matrix(rows, inputs, &generator), format)
            let w = Self.packed(
                Self.matrix(outputs, inputs, &generator), format == .f32 ? .f32 : .bf16)
            let start = Self.matrix(rows, outputs, &generator)
            for accumulate in [false, true] {
                var results: [[[UInt32]]] = []
                for set in Self.sets {
                    let y = Matrix(rows: (0..<rows).map { start.row($0) })
                    set.multiply(
                        x, rows: 0..<rows, by: w, panels: 0..<w.panelCount, into: y,
                        outputColumn: 0,
                        accumulate: accumulate)
                    results.append(Self.bits(y))
                }
                for (set, result) in zip(Self.sets, results) {
                    #expect(
                        result == results.last,
                        "\(set.name), \(format), \(rows) × \(inputs) × \(outputs)")
                }
            }
        }
    }

    static func input(
        _ matrix: Matrix, _ format: ComputeFormat, _ weights: WeightFormat, _ set: KernelSet,
        termCount: Int = 1
    ) -> ProductInput {
        let input = ProductInput(
            format: format, weights: weights, adapters: nil, rowCount: matrix.rowCount,
            columnCount: matrix.columnCount, termCount: termCount)
        for row in 0..<matrix.rowCount {
            set.scale(
                matrix, row: row, column: 0, by: 1, count: matrix.columnCount, into: input.values,
                outputRow: row, column: 0)
            set.finish(input, row: row)
        }
        return input
    }

    @Test(arguments: [WeightFormat.q8, .q4], [1, 2, 5, 6, 7, 12, 13, 29])
    func quantizedProductsEqualTheScalarSet(_ weights: WeightFormat, _ rows: Int) {
        var generator = SeededGenerator(seed: UInt64(rows))
        for (inputs, outputs) in [
            (1, 1), (16, 40), (31, 16), (40, 20), (64, 17), (65, 33), (100, 16), (200, 80),
            (576, 50),
        ] {
            let matrix = Self.matrix(rows, inputs, &generator)
            let w = Self.packed(Self.matrix(outputs, inputs, &generator), weights)
            for format in ComputeFormat.allCases {
                var results: [[[UInt32]]] = []
                for set in Self.sets {
                    let x = Self.input(matrix, format, weights, set, termCount: 1 + rows % 2)
                    let y = Matrix(rowCount: rows, columnCount: outputs)
                    set.multiply(
                        x, rows: 0..<rows, by: w, panels: 0..<w.panelCount, into: y,
                        outputColumn: 0)
                    results.append(Self.bits(y))
                }
                for (set, result) in zip(Self.sets, results) {
                    #expect(
                        result == results.last,
                        "\(set.name), \(weights), \(format), \(rows) × \(inputs) × \(outputs)")
                }
            }
        }
    }

    /// Against sums in doubles of what was stored: only the rows' rounding to 8 bits is between.
    @Test(arguments: [WeightFormat.q8, .q4], [1, 2])
    func theQuantizedProductIsTheProduct(_ weights: WeightFormat, _ termCount: Int) {
        var generator = SeededGenerator(seed: 9)
        let (a, b) = (Self.matrix(3, 100, &generator), Self.matrix(18, 100, &generator))
        let w = Self.packed(b, weights)
        let stored = Matrix(rowCount: 18, columnCount: 100)
        for row in 0..<18 { w.unpackRow(row, into: stored, row: row) }
        let step: Float = weights == .q8 ? 0.02 : 0.35
        for row in 0..<18 {
            for column in 0..<100 {
                #expect(abs(stored[row: row, column: column] - b[row: row, column: column]) < step)
            }
        }
        let y = Matrix(rowCount: 3, columnCount: 18)
        Self.scalar.multiply(
            Self.input(a, .f32, weights, Self.scalar, termCount: termCount), rows: 0..<3, by: w,
            panels: 0..<2, into: y,
            outputColumn: 0)
        for row in 0..<3 {
            for output in 0..<18 {
                var sum = 0.0
                for k in 0..<100 {
                    sum += Double(a[row: row, column: k]) * Double(stored[row: output, column: k])
                }
                #expect(
                    abs(Double(y[row: row, column: output]) - sum) < (termCount == 1 ? 0.3 : 0.003))
            }
        }
    }

    /// A broken number is not quantized away.
    @Test func quantizingKeepsWhatIsNotANumber() {
        for set in Self.sets {
            for bad in [Float.nan, -.nan, .infinity, -.infinity] {
                let row = (0..<80).map { $0 == 37 ? bad : Float($0) }
                let w = Self.packed(Matrix(rows: [(0..<80).map { Float($0 + 1) }]), .q8)
                let y = Matrix(rowCount: 1, columnCount: 1)
                set.multiply(
                    Self.input(Matrix(rows: [row]), .f32, .q8, set), rows: 0..<1, by: w,
                    panels: 0..<1, into: y, outputColumn: 0)
                #expect(!y[row: 0, column: 0].isFinite, "\(set.name), \(bad)")
            }
        }
    }

    /// The scalar set against sums in doubles: the specification itself is right.
    @Test func theScalarProductIsTheProduct() {
        var generator = SeededGenerator(seed: 5)
        let (a, b) = (Self.matrix(3, 19, &generator), Self.matrix(18, 19, &generator))
        let y = Matrix(rowCount: 3, columnCount: 18)
        let w = Self.packed(b, .f32)
        Self.scalar.multiply(
            Self.activations(a, .f32), rows: 0..<3, by: w, panels: 0..<2, into: y, outputColumn: 0)
        for row in 0..<3 {
            for output in 0..<18 {
                let expected = (0..<19).reduce(0.0) {
                    $0 + Double(a[row: row, column: $1]) * Double(b[row: output, column: $1])
                }
                #expect(abs(Double(y[row: row, column: output]) - expected) < 1e-5)
            }
        }
    }

    /// A row's result does not depend on its neighbours or on how the outputs are split.
    @Test(arguments: ComputeFormat.allCases)
    func rowsAreIndependent(_ format: ComputeFormat) {
        var generator = SeededGenerator(seed: 9)
        let x = Self.activations(Self.matrix(29, 70, &generator), format)
        let w = Self.packed(Self.matrix(90, 70, &generator), format == .f32 ? .f32 : .bf16)
        for set in Self.sets {
            let whole = Matrix(rowCount: 29, columnCount: 90)
            set.multiply(
                x, rows: 0..<29, by: w, panels: 0..<w.panelCount, into: whole, outputColumn: 0)
            let parts = Matrix(rowCount: 29, columnCount: 90)
            for row in 0..<29 {
                for panel in 0..<w.panelCount {
                    set.multiply(
                        x, rows: row..<row + 1, by: w, panels: panel..<panel + 1, into: parts,
                        outputColumn: panel * Lanes.count)
                }
            }
            #expect(Self.bits(whole) == Self.bits(parts), "\(set.name)")
        }
    }

    @Test(arguments: ComputeFormat.allCases, [1, 5, 16, 31, 64, 100])
    func rowKernelsEqualTheScalarSet(_ format: ComputeFormat, _ count: Int) {
        var generator = SeededGenerator(seed: UInt64(count))
        let x = Self.matrix(1, 2 * count, &generator)
        let narrow = Self.matrix(1, count, &generator)
        let weight = Self.matrix(1, count, &generator)
        let identity = Self.packed(
            Matrix(rows: (0..<count).map { row in (0..<count).map { $0 == row ? 1 : 0 } }),
            format == .f32 ? .f32 : .bf16)
        func shown(_ activations: Activations) -> [[UInt32]] {
            let y = Matrix(rowCount: 1, columnCount: count)
            Self.scalar.multiply(
                activations, rows: 0..<1, by: identity, panels: 0..<identity.panelCount, into: y,
                outputColumn: 0)
            return Self.bits(y)
        }
        let results = Self.sets.map { set in
            let out = Activations(format: format, rowCount: 1, columnCount: count)
            set.rmsNorm(narrow, rows: 0..<1, weight: weight, epsilon: 1e-5, into: out)
            let norm = shown(out)
            set.gatedMultiply(
                .silu, x, rows: 0..<1, gateColumn: 0, upColumn: count, count: count, into: out,
                column: 0)
            let gated = shown(out)
            set.gatedMultiply(
                .gelu, x, rows: 0..<1, gateColumn: 0, upColumn: count, count: count, into: out,
                column: 0)
            let gelu = shown(out)
            let capped = Matrix(rows: [x.row(0)])
            set.scaleAndCap(capped, rows: 0..<1, columns: 1..<count + 1, scale: 1.7, cap: 2)
            let heads = Matrix(rows: [x.row(0)])
            let angles = Matrix(rows: [(0..<2 * count).map { Float($0) * 0.1 }])
            set.rotate(
                heads, row: 0, column: 0, headCount: 1, headDimension: 2 * count, angles: angles,
                position: 0)
            let peak = set.peak(narrow, row: 0, columns: 0..<count)
            let logSumExp = set.logSumExp(narrow, row: 0, maximum: peak.maximum)
            let weights = Matrix(rowCount: 1, columnCount: count)
            let sums = Matrix(rowCount: 1, columnCount: count / KernelSet.sumBlock + 1)
            set.exponentials(
                narrow, row: 0, maximum: peak.maximum, inverseTemperature: 1.3, into: weights,
                sums: sums)
            return [
                norm, gated, gelu, Self.bits(capped), Self.bits(heads), Self.bits(weights),
                Self.bits(sums),
                [
                    [
                        peak.maximum.bitPattern, logSumExp.bitPattern, UInt32(peak.column),
                    ]
                ],
            ]
        }
        for (set, result) in zip(Self.sets, results) {
            #expect(result == results.last, "\(set.name), \(format)")
        }
    }

    /// Against the formulas, in 64 bits.
    @Test func gatesAndCapsAreWhatTheyShouldBe() {
        let values = (-60...60).map { Float($0) / 4 }
        let input = Matrix(rows: [values + values.map { _ in 1 }])
        let count = values.count
        let out = Activations(format: .f32, rowCount: 1, columnCount: count)
        func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
        func gelu(_ x: Double) -> Double {
            let inner: Double = (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
            return 0.5 * x * (1 + tanh(inner))
        }
        for (gate, expected) in [(KernelSet.Gate.silu, silu), (.gelu, gelu)] {
            Self.scalar.gatedMultiply(
                gate, input, rows: 0..<1, gateColumn: 0, upColumn: count, count: count, into: out,
                column: 0)
            let found = Self.plain(out, count)
            for (x, y) in zip(values, found) {
                #expect(abs(Double(y) - expected(Double(x))) < 2e-6, "\(gate) of \(x)")
            }
        }
        let capped = Matrix(rows: [values])
        Self.scalar.scaleAndCap(capped, rows: 0..<1, columns: 0..<count, scale: 3, cap: 5)
        for (x, y) in zip(values, capped.row(0)) {
            #expect(abs(Double(y) - 5 * tanh(3 * Double(x) / 5)) < 2e-6)
        }
    }

    /// A row of activations in 32 bits.
    private static func plain(_ activations: Activations, _ count: Int) -> [Float] {
        let identity = packed(
            Matrix(rows: (0..<count).map { row in (0..<count).map { $0 == row ? 1 : 0 } }), .f32)
        let y = Matrix(rowCount: 1, columnCount: identity.panelCount * Lanes.count)
        scalar.multiply(
            activations, rows: 0..<1, by: identity, panels: 0..<identity.panelCount, into: y,
            outputColumn: 0)
        return Array(y.row(0).prefix(count))
    }

    @Test(
        arguments: ComputeFormat.allCases,
        [(4, 1, 0), (6, 3, 0), (10, 2, 5), (64, 3, 0), (40, 14, 20)])
    func attentionEqualsTheScalarSet(
        _ format: ComputeFormat, _ shape: (dimension: Int, group: Int, window: Int)
    ) {
        let (d, group, window) = shape
        var generator = SeededGenerator(seed: UInt64(d * group + window))
        let positionCount = 45
        let cache = KeyValueCache(
            format: format, layerCount: 1, headCount: 2, headDimension: d, blockCount: 5)
        let keys = Self.matrix(positionCount, 4 * d, &generator)
        let blocks: [Int32] = [3, 0, 4]
        for position in 0..<positionCount {
            cache.store(
                layer: 0, heads: 0..<cache.headCount, block: Int(blocks[position / 16]),
                slot: position % 16, from: keys,
                row: position,
                keyColumn: 0, valueColumn: 2 * d)
        }
        let queries = Self.matrix(positionCount, 2 * group * d, &generator)
        for rows in [0..<1, 0..<4, 15..<16, 30..<45, 44..<45, 17..<23] {
            var results: [[[UInt32]]] = []
            for set in Self.sets {
                let out = Activations(
                    format: format, rowCount: positionCount, columnCount: 2 * group * d)
                let scratch = Matrix(
                    rowCount: 1,
                    columnCount: KernelSet.attentionScratchCount(
                        rowCount: rows.count, group: group, headDimension: d,
                        positionCount: positionCount))
                let pieces = (0..<2).map { head in
                    AttentionPiece(
                        layer: 0, head: head, rows: rows, firstPosition: rows.lowerBound,
                        window: window, blocks: blocks)
                }
                for (piece, next) in [(pieces[0], pieces[1]), (pieces[1], nil)] {
                    set.attend(
                        piece, next: next, queries: queries, group: group, scale: 0.3,
                        cap: window > 0 ? 0.7 : 0,
                        cache: cache,
                        into: out, scratch: scratch)
                }
                let identity = Self.packed(
                    Matrix(
                        rows: (0..<2 * group * d).map { row in
                            (0..<2 * group * d).map { $0 == row ? 1 : 0 }
                        }), format == .f32 ? .f32 : .bf16)
                let y = Matrix(rowCount: positionCount, columnCount: 2 * group * d)
                Self.scalar.multiply(
                    out, rows: rows, by: identity, panels: 0..<identity.panelCount, into: y,
                    outputColumn: 0)
                results.append(rows.map { y.row($0).map(\.bitPattern) })
            }
            for (set, result) in zip(Self.sets, results) {
                #expect(result == results.last, "\(set.name), \(format), \(shape), \(rows)")
            }
        }
    }

    /// Softmax attention in doubles, for one query.
    @Test func theScalarAttentionIsAttention() {
        var generator = SeededGenerator(seed: 3)
        let (d, count) = (6, 19)
        let cache = KeyValueCache(
            format: .f32, layerCount: 1, headCount: 1, headDimension: d, blockCount: 2)
        let projections = Self.matrix(count, 2 * d, &generator)
        for position in 0..<count {
            cache.store(
                layer: 0, heads: 0..<cache.headCount, block: position / 16, slot: position % 16,
                from: projections,
                row: position, keyColumn: 0, valueColumn: d)
        }
        let query = Self.matrix(1, d, &generator)
        let out = Activations(format: .f32, rowCount: 1, columnCount: d)
        let scratch = Matrix(
            rowCount: 1,
            columnCount: KernelSet.attentionScratchCount(
                rowCount: 1, group: 1, headDimension: d, positionCount: count))
        Self.scalar.attend(
            AttentionPiece(
                layer: 0, head: 0, rows: 0..<1, firstPosition: count - 1, window: 0, blocks: [0, 1]),
            queries: query, group: 1, scale: 0.5, cache: cache, into: out, scratch: scratch)
        let identity = Self.packed(
            Matrix(rows: (0..<d).map { row in (0..<d).map { $0 == row ? 1 : 0 } }), .f32)
        let y = Matrix(rowCount: 1, columnCount: d)
        Self.scalar.multiply(
            out, rows: 0..<1, by: identity, panels: 0..<1, into: y, outputColumn: 0)
        let scores = (0..<count).map { p in
            0.5
                * (0..<d).reduce(0.0) {
                    $0 + Double(query[row: 0, column: $1]) * Double(projections[row: p, column: $1])
                }
        }
        let weights = scores.map { Double(Float($0 - (scores.max() ?? 0))).exponential }
        let sum = weights.reduce(0, +)
        for i in 0..<d {
            let expected = (0..<count).reduce(0.0) {
                $0 + weights[$1] / sum * Double(projections[row: $1, column: d + i])
            }
            #expect(abs(Double(y[row: 0, column: i]) - expected) < 1e-5)
        }
    }

    @Test func aNaNIsSeenInLogits() {
        for set in Self.sets {
            let row = Matrix(rows: [[1, 2, .nan, 4] + Array(repeating: 0, count: 30)])
            #expect(set.peak(row, row: 0, columns: 0..<34).maximum.isNaN, "\(set.name)")
        }
    }
}

extension Double {
    /// e to the power of this, by its series: independent of the code under test.
    fileprivate var exponential: Double {
        let half = self / 64
        var (term, sum) = (1.0, 1.0)
        for n in 1...20 {
            term *= half / Double(n)
            sum += term
        }
        return (0..<6).reduce(sum) { value, _ in value * value }
    }
}
