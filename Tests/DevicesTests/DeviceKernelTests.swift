import CMartletDevices
import Devices
import Glibc
import Tensors
import TestSupport
import Testing

/// Each kernel against the scalar kernels in C, which are the specification: products to the bit. Every buffer ends where
/// the host may not read on, so a kernel that does ends the process; and what a kernel does not write is a NaN. Where
/// there is no Vulkan driver (see docs/operating/gpus.md) only what CUDA is given is tested.
///
/// Vulkan lets a driver round the product of a multiply-add before it adds. Of bf16 numbers it is exact, so that nothing
/// changes; in f32 such a driver (llvmpipe is one) has the bits of the same sum rounded so.
struct DeviceKernelTests {
    static let scalar = KernelSet.available[KernelSet.available.count - 1]
    static let rowCounts = [1, 2, 3, 4, 5, 8, 17]

    /// A device with memory that lives as long as the test.
    final class Bench {
        let device: Device
        let element: DeviceElement
        private var buffers: [DeviceBuffer] = []

        convenience init(_ target: Target) throws { try self.init(target.device, target.element) }

        init(_ kind: TestDevice, _ element: DeviceElement) throws {
            device = try kind.open()
            self.element = element
            let missing =
                (device.description.hasHalfTiles ? [] : [CMD_PRODUCT_TILE_HALF])
                + (device.description.hasBF16Tiles ? [] : [CMD_PRODUCT_TILE_BF16])
            try device.prepare(
                (0..<CMD_KERNEL_COUNT.rawValue).map { cmd_kernel(rawValue: $0) }
                    .filter { !missing.contains($0) }, element)
        }

        /// The address of values that end at a page that nobody may touch.
        func place<Value: BitwiseCopyable>(_ values: [Value]) throws -> UInt64 {
            try own(values).address
        }

        private func own<Value: BitwiseCopyable>(
            _ values: [Value]
        ) throws -> (address: UInt64, buffer: DeviceBuffer, offset: Int) {
            let size = values.count * MemoryLayout<Value>.stride
            let buffer = try DeviceBuffer(size, on: .host, of: device)
            let offset = buffer.byteCount - size
            buffer.write(values, at: offset)
            buffers.append(buffer)
            return (buffer.address + UInt64(offset), buffer, offset)
        }

        /// A row as products read it.
        func words(_ row: [Float]) -> [UInt32] {
            guard element == .bf16 else { return row.map(\.bitPattern) }
            let padded = row + (row.count % 2 == 0 ? [] : [0])
            return stride(from: 0, to: padded.count, by: 2).map {
                rounded(padded[$0]) | rounded(padded[$0 + 1]) << 16
            }
        }

        private func rounded(_ value: Float) -> UInt32 {
            let bits = value.bitPattern
            return (bits + 0x7fff + (bits >> 16 & 1)) >> 16
        }

        func place(_ matrix: PackedMatrix) throws -> UInt64 {
            let range = matrix.byteOffset..<matrix.byteOffset + matrix.byteCount
            return try place(
                matrix.buffer.withBytes(range) { bytes in
                    (0..<bytes.byteCount / 4).map {
                        unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)
                    }
                })
        }

        /// Runs a kernel that fills `count` floats, and gives them back.
        func fill(
            _ count: Int, starting values: [Float]? = nil,
            _ record: (Recorder, UInt64) -> Void
        ) throws -> [Float] {
            let (address, buffer, offset) = try own(
                values ?? Array(repeating: Float.nan, count: count))
            try device.submit { recorder in
                record(recorder, address)
                recorder.barrier()
            }
            try device.wait()
            return buffer.read(Float.self, count: count, at: offset)
        }

        /// What so many words of a row hold.
        func numbers(_ words: [Float], count: Int) -> [Float] {
            guard element == .bf16 else { return Array(words.prefix(count)) }
            return Array(
                words.flatMap { word in
                    let bits = word.bitPattern
                    return [Float(bitPattern: bits << 16), Float(bitPattern: bits & 0xffff_0000)]
                }.prefix(count))
        }
    }

    static func format(_ element: DeviceElement) -> (weights: WeightFormat, rows: ComputeFormat) {
        element == .f32 ? (.f32, .f32) : (.bf16, .bf16)
    }

    static func matrix(_ rows: Int, _ columns: Int, _ generator: inout SeededGenerator) -> Matrix {
        Matrix(rows: (0..<rows).map { _ in (0..<columns).map { _ in generator.normal() } })
    }

    static func packed(_ matrix: Matrix, _ element: DeviceElement) -> PackedMatrix {
        let packed = PackedMatrix(
            format: format(element).weights, outputCount: matrix.rowCount,
            inputCount: matrix.columnCount)
        packed.pack(team: WorkerTeam(memberCount: 1)) { index, row in
            for column in 0..<row.count { row[column] = matrix[row: index, column: column] }
        }
        return packed
    }

    static func activations(_ matrix: Matrix, _ element: DeviceElement) -> Activations {
        let result = Activations(
            format: format(element).rows, rowCount: matrix.rowCount,
            columnCount: matrix.columnCount)
        for row in 0..<matrix.rowCount {
            scalar.scale(
                matrix, row: row, column: 0, by: 1, count: matrix.columnCount, into: result,
                outputRow: row, column: 0)
        }
        return result
    }

    /// A device, and what its kernels multiply.
    struct Target: Sendable {
        var device: TestDevice
        var element: DeviceElement
    }

    static let targets = TestDevice.all.flatMap { device in
        [.f32, .bf16].map { Target(device: device, element: $0) }
    }
    static let shapes = [(1, 1), (2, 16), (7, 15), (33, 33), (64, 80), (50, 130)]

    @Test(arguments: targets, shapes)
    func productsAreTheSpecificationsBits(
        _ target: Target, _ shape: (inputs: Int, outputs: Int)
    ) throws {
        let (bench, element) = (try Bench(target), target.element)
        var generator = SeededGenerator(seed: UInt64(shape.inputs))
        let w = Self.packed(Self.matrix(shape.outputs, shape.inputs, &generator), element)
        let weights = try bench.place(w)
        let (words, width) = (element.words(shape.inputs), w.panelCount * 16)
        for rows in Self.rowCounts {
            let x = Self.matrix(rows, shape.inputs, &generator)
            let expected = Matrix(rowCount: rows, columnCount: shape.outputs)
            Self.scalar.multiply(
                Self.activations(x, element), rows: 0..<rows, by: w, panels: 0..<w.panelCount,
                into: expected, outputColumn: 0)
            let unfused = Self.unfused(x, w, from: nil)
            let input = try bench.place((0..<rows).flatMap { bench.words(x.row($0)) })
            let found = try bench.fill(rows * width) { recorder, y in
                recorder.dispatch(
                    CMD_PRODUCT, element,
                    cmd_product(
                        w: weights, x: input, y: y, rows: UInt32(rows), words: UInt32(words),
                        panels: UInt32(w.panelCount), x_stride: UInt32(words),
                        y_stride: UInt32(width), unused: 0),
                    grid: ((w.panelCount + 3) / 4, (rows + 3) / 4, 1))
            }
            #expect(found.allSatisfy { !$0.isNaN }, "not all is written")
            let bits = (0..<rows).map { row in
                found[row * width..<row * width + shape.outputs].map(\.bitPattern)
            }
            #expect(Self.isAllowed(bits, element, expected, unfused), "\(rows) rows")
        }
    }

    /// x · wᵀ, or that added to `start`, with every product rounded.
    static func unfused(_ x: Matrix, _ w: PackedMatrix, from start: Matrix?) -> Matrix {
        let result = Matrix(rowCount: x.rowCount, columnCount: w.outputCount)
        let weights = Matrix(rowCount: 1, columnCount: w.inputCount)
        for output in 0..<w.outputCount {
            w.unpackRow(output, into: weights, row: 0)
            for row in 0..<x.rowCount {
                var sum = start?[row: row, column: output] ?? 0
                for k in 0..<w.inputCount {
                    let product = x[row: row, column: k] * weights[row: 0, column: k]
                    sum += product
                }
                result[row: row, column: output] = sum
            }
        }
        return result
    }

    static func isAllowed(
        _ bits: [[UInt32]], _ element: DeviceElement, _ expected: Matrix, _ unfused: Matrix
    ) -> Bool {
        func equals(_ matrix: Matrix) -> Bool {
            bits.indices.allSatisfy { bits[$0] == matrix.row($0).map(\.bitPattern) }
        }
        return equals(expected) || element == .f32 && equals(unfused)
    }

    /// Tiles of matrices against sums in doubles; a row has the same bits alone.
    @Test(
        arguments: TestDevice.all,
        [(2, 16), (7, 15), (33, 33), (64, 80), (50, 130), (130, 64)])
    func tilesAreRight(_ device: TestDevice, _ shape: (inputs: Int, outputs: Int)) throws {
        let bench = try Bench(device, .bf16)
        let (inputs, outputs) = shape
        let (has, subgroup) = (bench.device.description, bench.device.description.subgroupSize)
        #expect(subgroup > 0)
        var generator = SeededGenerator(seed: UInt64(outputs))
        let w = Self.packed(Self.matrix(outputs, inputs, &generator), .bf16)
        let weights = try bench.place(w)
        let (words, width) = (DeviceElement.bf16.words(inputs), w.panelCount * 16)
        let forms: [(kernel: cmd_kernel, rows: Int, tolerance: Double)] =
            [(CMD_PRODUCT_TILE_SHARED, 64, 1e-5)]
            + (has.hasHalfTiles ? [(CMD_PRODUCT_TILE_HALF, 32, 2e-3)] : [])
            + (has.hasBF16Tiles ? [(CMD_PRODUCT_TILE_BF16, 64, 1e-4)] : [])
        let rows = 71
        let x = Self.matrix(rows, inputs, &generator)
        let packedRows = (0..<rows).map { bench.words(x.row($0)) }
        for form in forms {
            func product(_ chosen: Range<Int>) throws -> [Float] {
                let input = try bench.place(chosen.flatMap { packedRows[$0] })
                return try bench.fill(chosen.count * width) { recorder, y in
                    recorder.dispatch(
                        form.kernel, .bf16,
                        cmd_product_tile(
                            w: weights, x: input, y: y, rows: UInt32(chosen.count),
                            words: UInt32(words), panels: UInt32(w.panelCount),
                            x_stride: UInt32(words), y_stride: UInt32(width), unused: 0),
                        grid: (
                            (w.panelCount + 3) / 4, (chosen.count + form.rows - 1) / form.rows, 1
                        ))
                }
            }
            let all = try product(0..<rows)
            #expect(all.allSatisfy { !$0.isNaN }, "not all is written")
            let lane = Matrix(rowCount: 1, columnCount: inputs)
            for output in 0..<outputs {
                w.unpackRow(output, into: lane, row: 0)
                for row in 0..<rows {
                    let values = bench.numbers(
                        packedRows[row].map { Float(bitPattern: $0) }, count: inputs)
                    var (sum, size) = (0.0, 0.0)
                    for k in 0..<inputs {
                        let term = Double(values[k]) * Double(lane[row: 0, column: k])
                        sum += term
                        size += abs(term)
                    }
                    let found = Double(all[row * width + output])
                    #expect(abs(found - sum) <= form.tolerance * max(size, 1e-3))
                }
            }
            for chosen in [0..<1, 5..<6, 17..<40, 64..<71] {
                let some = try product(chosen)
                let same = all[chosen.lowerBound * width..<chosen.upperBound * width]
                #expect(some.map(\.bitPattern) == same.map(\.bitPattern), "rows \(chosen)")
            }
        }
    }

    /// Segments of three adapters of different ranks, and a row that has none.
    @Test(arguments: targets)
    func lowRankChangesAreTheSpecificationsBits(_ target: Target) throws {
        let (bench, element) = (try Bench(target), target.element)
        var generator = SeededGenerator(seed: 7)
        let (inputs, outputs, rows, scale) = (50, 70, 9, Float(1.5))
        let ranks = [(1, 0..<2), (8, 3..<4), (35, 4..<9)]
        let x = Self.matrix(rows, inputs, &generator)
        let start = Self.matrix(rows, 80, &generator)
        let expected = Matrix(rows: (0..<rows).map { start.row($0) })
        let unfused = Matrix(rows: (0..<rows).map { start.row($0) })
        let input = Self.activations(x, element)
        let shrunkWords = element.words(48)
        var chunks: [cmd_chunk] = []
        for (rank, range) in ranks {
            let a = Self.packed(Self.matrix(rank, inputs, &generator), element)
            let b = Self.packed(Self.matrix(outputs, rank, &generator), element)
            let (gain, bias) = (
                Self.matrix(1, outputs, &generator), Self.matrix(1, outputs, &generator)
            )
            let shrunk = Matrix(rowCount: rows, columnCount: a.panelCount * 16)
            let rounded = Activations(
                format: Self.format(element).rows, rowCount: rows, columnCount: rank)
            Self.scalar.multiply(
                input, rows: range, by: a, panels: 0..<a.panelCount, into: shrunk, outputColumn: 0)
            for row in range {
                Self.scalar.scale(
                    shrunk, row: row, column: 0, by: scale, count: rank, into: rounded,
                    outputRow: row, column: 0)
            }
            Self.scalar.multiply(
                rounded, rows: range, by: b, panels: 0..<b.panelCount, into: expected,
                outputColumn: 0, accumulate: true)
            let half = Self.unfused(x, a, from: nil)
            for row in 0..<rows {
                half.setRow(row, half.row(row).map { $0 * scale })
            }
            let whole = Self.unfused(half, b, from: start)
            for row in range {
                unfused.setRow(row, whole.row(row) + start.row(row)[outputs...])
                for matrix in [expected, unfused] {
                    for column in 0..<outputs {
                        matrix[row: row, column: column] *= gain[row: 0, column: column]
                        matrix[row: row, column: column] += bias[row: 0, column: column]
                    }
                }
            }
            var update = cmd_update()
            (update.shrink, update.panels) = (try bench.place(a), UInt32(a.panelCount))
            update.expansions.0 = cmd_expansion(
                w: try bench.place(b), gain: try bench.place(gain.row(0)),
                bias: try bench.place(bias.row(0)), words: UInt32(element.words(rank)), column: 0,
                scale: scale, unused: 0)
            chunks.append(
                cmd_chunk(
                    updates: try bench.place([update]), first_row: UInt32(range.lowerBound),
                    row_count: UInt32(range.count)))
        }
        let (segments, words) = (try bench.place(chunks), element.words(inputs))
        let source = try bench.place((0..<rows).flatMap { bench.words(x.row($0)) })
        let shrunk = try bench.place(Array(repeating: UInt32.max, count: rows * shrunkWords))
        let found = try bench.fill(
            rows * 80, starting: (0..<rows).flatMap { start.row($0) }
        ) { recorder, y in
            recorder.dispatch(
                CMD_LOW_RANK_SHRINK, element,
                cmd_shrink(
                    chunks: segments, x: source, shrunk: shrunk, update: 0, words: UInt32(words),
                    x_stride: UInt32(words), shrunk_stride: UInt32(shrunkWords)),
                grid: (3, 3, 1))
            recorder.barrier()
            recorder.dispatch(
                CMD_LOW_RANK_EXPAND, element,
                cmd_expand(
                    chunks: segments, shrunk: shrunk, y: y, update: 0,
                    shrunk_stride: UInt32(shrunkWords), y_stride: 80, columns: (0, 0, 0),
                    outputs: (UInt32(outputs), 0, 0)),
                grid: (3, 2, 1))
        }
        let bits = (0..<rows).map { found[$0 * 80..<$0 * 80 + 80].map(\.bitPattern) }
        #expect(Self.isAllowed(bits, element, expected, unfused))
    }

    @Test(arguments: targets, [1, 5, 16, 31, 64, 100, 131])
    func normsAndGatesAreClose(_ target: Target, _ count: Int) throws {
        let (bench, element) = (try Bench(target), target.element)
        var generator = SeededGenerator(seed: UInt64(count))
        let (rows, words) = (3, element.words(count))
        let x = Self.matrix(rows, 2 * count, &generator)
        let (weight, own) = (
            Self.matrix(1, count, &generator), Self.matrix(1, count, &generator)
        )
        let source = try bench.place((0..<rows).flatMap { x.row($0) })
        let weights = try bench.place(weight.row(0))
        let owns = try bench.place([0, try bench.place(own.row(0)), 0])
        let normed = try bench.fill(rows * words) { recorder, y in
            recorder.dispatch(
                CMD_RMS_NORM, element,
                cmd_norm(
                    x: source, delta: 0, weight: weights, own: owns, y: y,
                    n: UInt32(count), epsilon: 1e-5, x_stride: UInt32(2 * count),
                    delta_stride: 0, y_stride: UInt32(words)), grid: (rows, 1, 1))
        }
        let gated = try bench.fill(rows * words) { recorder, y in
            recorder.dispatch(
                CMD_GATED, element,
                cmd_gated(
                    gate: source, up: source + UInt64(4 * count), y: y, n: UInt32(count),
                    x_stride: UInt32(2 * count), y_stride: UInt32(words), unused: 0),
                grid: ((count + 63) / 64, rows, 1))
        }
        // One unit in the last place of what rows are rounded to.
        let tolerance: Float = element == .f32 ? 1e-6 : 1 / 128
        for row in 0..<rows {
            let values = Array(x.row(row).prefix(count))
            let mean = values.reduce(0) { $0 + Double($1) * Double($1) } / Double(count)
            let factors = (row == 1 ? own : weight).row(0)
            let range = row * words..<(row + 1) * words
            for (index, value) in bench.numbers(Array(normed[range]), count: count).enumerated() {
                let wanted = Float(
                    Double(values[index]) / (mean + 1e-5).squareRoot() * Double(factors[index]))
                #expect(abs(value - wanted) <= tolerance * max(1, abs(wanted)))
            }
            for (index, value) in bench.numbers(Array(gated[range]), count: count).enumerated() {
                let gate = Double(values[index])
                let wanted = Float(
                    gate / (1 + gate.exponentialOfNegative)
                        * Double(x[row: row, column: count + index]))
                #expect(abs(value - wanted) <= tolerance * max(1, abs(wanted)))
            }
        }
    }

    /// What the other tests rest on: one panel of weights less than the kernel is told of.
    @Test(.enabled(if: TestDevice.isThere))
    func aKernelThatReadsOnEndsTheProcess() async {
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            let bench = try Bench(.vulkan, .f32)
            let weights = try bench.place(Array(repeating: Float(1), count: 64 * 16))
            let input = try bench.place(Array(repeating: Float(1), count: 64))
            _ = try bench.fill(64) { recorder, y in
                recorder.dispatch(
                    CMD_PRODUCT, .f32,
                    cmd_product(
                        w: weights, x: input, y: y, rows: 1, words: 64, panels: 2, x_stride: 64,
                        y_stride: 64, unused: 0), grid: (1, 1, 1))
            }
        }
    }

    /// The same of the played card. In a process of its own: a card with a fault is of no more use.
    @Test func aKernelThatReadsOnLosesThePlayedCard() async {
        await #expect(processExitsWith: .success) {
            let bench = try Bench(.cuda, .f32)
            let weights = try bench.place(Array(repeating: Float(1), count: 64 * 16))
            let input = try bench.place(Array(repeating: Float(1), count: 64))
            let error = #expect(throws: DeviceError.self) {
                _ = try bench.fill(64) { recorder, y in
                    recorder.dispatch(
                        CMD_PRODUCT, .f32,
                        cmd_product(
                            w: weights, x: input, y: y, rows: 1, words: 64, panels: 2,
                            x_stride: 64, y_stride: 64, unused: 0), grid: (1, 1, 1))
                }
            }
            #expect(error?.code == .lost)
            #expect(TestDevice.fault?.contains("kernel product") == true)
        }
    }

    /// What tokens are drawn by. Rows whose inverse temperature is 0 keep their logits.
    @Test(arguments: TestDevice.all)
    func weightsAreTheCPUs(_ device: TestDevice) throws {
        let bench = try Bench(device, .f32)
        var generator = SeededGenerator(seed: 4)
        let (count, blockCount) = (201, 4)
        let inverses: [Float] = [1, 0, 0.3, 20, .greatestFiniteMagnitude]
        var rows = inverses.map { _ in (0..<count).map { _ in 4 * generator.normal() } }
        rows[0][5] = -.infinity
        let expected = zip(rows, inverses).map {
            row, inverse -> (weights: [Float], sums: [Float]) in
            let logits = Matrix(rows: [row])
            let weights = Matrix(rowCount: 1, columnCount: count)
            let sums = Matrix(rowCount: 1, columnCount: blockCount)
            Self.scalar.exponentials(
                logits, row: 0, maximum: row.max() ?? 0, inverseTemperature: inverse, into: weights,
                sums: sums)
            return (weights.row(0), sums.row(0))
        }
        let peaks = try bench.place(
            rows.map { cmd_peak(maximum: $0.max() ?? 0, index: 0) })
        let places = try bench.place(inverses)
        let stride = blockCount * KernelSet.sumBlock
        let logits = rows.flatMap { $0 + Array(repeating: Float(7), count: stride - count) }
        let x = try bench.place(logits)
        let sums = try bench.fill(inverses.count * blockCount) { recorder, y in
            recorder.dispatch(
                CMD_WEIGH, .f32,
                cmd_weigh(
                    x: x, peaks: peaks, inverses: places, sums: y, n: UInt32(count),
                    stride: UInt32(stride), sum_stride: UInt32(blockCount), unused: 0),
                grid: (blockCount, inverses.count, 1))
        }
        let all = try bench.place(inverses.indices.map(UInt32.init))
        let weights = try bench.fill(logits.count) { recorder, y in
            let arguments = cmd_gather(
                from: x, to: y, rows: all, words: UInt32(stride), from_stride: UInt32(stride),
                to_stride: UInt32(stride))
            recorder.dispatch(CMD_GATHER, .f32, arguments, grid: (inverses.count, 1, 1))
        }
        for (row, inverse) in inverses.enumerated() {
            let found = weights[row * stride..<row * stride + count]
            let blocks = sums[row * blockCount..<(row + 1) * blockCount]
            guard inverse > 0 else {
                #expect(Array(found) == rows[row] && blocks.allSatisfy(\.isNaN))
                continue
            }
            #expect(weights[row * stride + count..<(row + 1) * stride].allSatisfy { $0 == 0 })
            if device == .cuda {
                #expect(Array(found) == expected[row].weights)
                #expect(Array(blocks) == expected[row].sums)
            } else {
                #expect(zip(found, expected[row].weights).allSatisfy { abs($0 - $1) < 2e-6 })
                #expect(zip(blocks, expected[row].sums).allSatisfy { abs($0 - $1) < 2e-5 })
            }
        }
    }

    @Test(arguments: TestDevice.all)
    func peaksAreTheLowestOfTheHighest(_ device: TestDevice) throws {
        let bench = try Bench(device, .f32)
        var generator = SeededGenerator(seed: 3)
        var rows = (0..<4).map { _ in (0..<201).map { _ in generator.normal() } }
        (rows[1][70], rows[1][140]) = (9, 9)
        rows[2][199] = .nan
        rows[3] = Array(repeating: -.infinity, count: 201)
        let source = try bench.place(rows.flatMap(\.self))
        let found = try bench.fill(2 * rows.count) { recorder, y in
            recorder.dispatch(
                CMD_FIND_PEAKS, .f32,
                cmd_find_peaks(x: source, peaks: y, n: 201, stride: 201), grid: (4, 1, 1))
        }
        let places = (0..<4).map { Int(found[2 * $0 + 1].bitPattern) }
        #expect(found[0] == rows[0].max() && rows[0][places[0]] == found[0])
        #expect(found[2] == 9 && places[1] == 70)
        #expect(found[4].isNaN)
        #expect(found[6] == -.infinity && places[3] == 0)
    }
}

extension Double {
    /// e^-x by its series, which needs no library.
    fileprivate var exponentialOfNegative: Double {
        var (sum, term) = (1.0, 1.0)
        for step in 1..<60 {
            term *= -self / Double(step)
            sum += term
        }
        return sum
    }
}
