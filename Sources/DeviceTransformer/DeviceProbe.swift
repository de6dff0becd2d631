internal import CMartletDevices
package import Devices
internal import StepModels
internal import Tensors

/// What a device's products are worth: whether they are right, and how fast. For a card that nobody has measured.
package final class DeviceProbe {
    private let device: Device
    private let element: DeviceElement
    private let upload: DeviceUpload

    package init(_ device: Device, element: DeviceElement) throws(DeviceError) {
        self.device = device
        self.element = element
        upload = try DeviceUpload(device)
        try device.prepare([CMD_ADD], element)
        try device.prepare(forms.map(\.kernel), element)
    }

    /// The forms of products that the device has.
    package var forms: [ProductForm] {
        ProductForm.allCases.filter { $0.isThere(on: device.description, element) }
    }

    /// What the device works on: nobody else keeps it when an address is all that is left to use.
    private var held: [DeviceBuffer] = []

    private func buffer(
        _ byteCount: Int, _ place: DeviceBuffer.Place
    ) throws(DeviceError) -> DeviceBuffer {
        let buffer = try DeviceBuffer(byteCount, on: place, of: device)
        held.append(buffer)
        return buffer
    }

    // MARK: Right?

    package struct Check: Sendable {
        /// Root mean square of the error over that of the result, against sums in doubles.
        package var relativeError: Double
        /// Every row has the same bits among others and alone.
        package var isSameAlone: Bool
        /// Outputs that have the bits of the scalar C kernel's.
        package var equalShare: Double
    }

    /// Multiplies random rows and weights of awkward shapes.
    package func check(_ form: ProductForm) throws(DeviceError) -> Check {
        let (inputs, outputs, rows) = (403, 130, 71)
        var seed: UInt64 = 1
        /// Of many sizes, and with the digits that bf16 has, so that only sums are rounded.
        func number() -> Float {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let size = Float(128 + Int(seed >> 57)) / 128 / Float(1 << Int(seed >> 53 & 7))
            return seed >> 50 & 1 == 0 ? size : -size
        }
        let x = Matrix(rows: (0..<rows).map { _ in (0..<inputs).map { _ in number() } })
        let weights = (0..<outputs).map { _ in (0..<inputs).map { _ in number() } }
        let w = PackedMatrix(
            format: element == .f32 ? .f32 : .bf16, outputCount: outputs, inputCount: inputs)
        w.pack(team: WorkerTeam(memberCount: 1)) { index, row in
            for column in 0..<row.count { row[column] = weights[index][column] }
        }
        held.removeAll()
        let place = DevicePlace(
            memory: try buffer(w.byteCount, .device), offset: 0, byteCount: w.byteCount)
        try upload.copy(w.buffer, at: w.byteOffset, count: w.byteCount, to: place)
        let panels = DeviceWeights.Panels(w, at: place.address, element)
        let (all, width) = (try multiply(x, 0..<rows, panels, form), w.panelCount * 16)
        var (error, size, equal) = (0.0, 0.0, 0)
        let scalar = KernelSet.available[KernelSet.available.count - 1]
        let (input, expected) = (
            Activations(
                format: element == .f32 ? .f32 : .bf16, rowCount: rows, columnCount: inputs),
            Matrix(rowCount: rows, columnCount: outputs)
        )
        for row in 0..<rows {
            scalar.scale(
                x, row: row, column: 0, by: 1, count: inputs, into: input, outputRow: row,
                column: 0)
        }
        scalar.multiply(
            input, rows: 0..<rows, by: w, panels: 0..<w.panelCount, into: expected, outputColumn: 0)
        for row in 0..<rows {
            for output in 0..<outputs {
                var sum = 0.0
                for k in 0..<inputs {
                    sum += Double(x[row: row, column: k]) * Double(weights[output][k])
                }
                let found = all[row * width + output]
                error += (Double(found) - sum) * (Double(found) - sum)
                size += sum * sum
                equal += found.bitPattern == expected[row: row, column: output].bitPattern ? 1 : 0
            }
        }
        var isSameAlone = true
        for row in stride(from: 0, to: rows, by: 7) {
            let alone = try multiply(x, row..<row + 1, panels, form)
            let same = all[row * width..<(row + 1) * width]
            isSameAlone = isSameAlone && alone.map(\.bitPattern) == same.map(\.bitPattern)
        }
        return Check(
            relativeError: (error / size).squareRoot(), isSameAlone: isSameAlone,
            equalShare: Double(equal) / Double(rows * outputs))
    }

    private func multiply(
        _ x: Matrix, _ rows: Range<Int>, _ w: DeviceWeights.Panels, _ form: ProductForm
    ) throws(DeviceError) -> [Float] {
        let words = rows.flatMap { row -> [UInt32] in
            let values = x.row(row).map(\.bitPattern)
            guard element == .bf16 else { return values }
            return stride(from: 0, to: values.count, by: 2).map {
                values[$0] >> 16 | ($0 + 1 < values.count ? values[$0 + 1] & 0xffff_0000 : 0)
            }
        }
        let count = rows.count * w.panelCount * 16
        let input = try buffer(words.count * 4, .host)
        let output = try buffer(count * 4, .host)
        input.write(words)
        output.write(Array(repeating: Float.nan, count: count))
        try device.submit { recorder in
            recorder.product(
                DeviceRows(address: input.address, stride: w.words), w,
                into: DeviceRows(address: output.address, stride: w.panelCount * 16),
                rowCount: rows.count, form, element)
            recorder.barrier()
        }
        try device.wait()
        return output.read(Float.self, count: count)
    }

    // MARK: Fast?

    /// Seconds of one product, the best of several runs, with weights that no cache holds.
    package func seconds(
        _ form: ProductForm, inputs: Int, outputs: Int, rows: Int
    ) throws(DeviceError) -> Double {
        let words = element.words(inputs)
        let panelCount = (outputs + 15) / 16
        let byteCount = panelCount * 16 * words * 4
        // Several matrices in turn, so that each comes from memory.
        let copies = device.description.isSoftware ? 1 : max(2, (256 << 20) / byteCount)
        held.removeAll()
        let weights = try buffer(copies * byteCount, .device)
        let x = try buffer(rows * words * 4, .device)
        let y = try buffer(rows * panelCount * 16 * 4, .device)
        try device.submit { recorder in
            for memory in [weights, x, y] { recorder.fill(memory, with: 0x3c00_3c00) }
            recorder.barrier()
        }
        return try best(of: copies) { recorder, copy in
            recorder.product(
                DeviceRows(address: x.address, stride: words),
                DeviceWeights.Panels(
                    address: weights.address + UInt64(copy * byteCount), panelCount: panelCount,
                    outputCount: outputs, words: words),
                into: DeviceRows(address: y.address, stride: panelCount * 16), rowCount: rows,
                form, element)
        }
    }

    /// Seconds of a dispatch that does next to nothing, with the barrier behind it.
    package func dispatchSeconds() throws(DeviceError) -> Double {
        held.removeAll()
        let memory = try buffer(256, .device)
        try device.submit { recorder in
            recorder.fill(memory)
            recorder.barrier()
        }
        let row = DeviceRows(address: memory.address, stride: 16)
        return try best(of: 200) { recorder, _ in
            recorder.add(row, to: row, count: 1, rowCount: 1, element)
        }
    }

    /// Bytes a second from the host's memory onto the device, as adapters go.
    package func uploadRate() throws(DeviceError) -> Double {
        let byteCount = device.description.isSoftware ? 16 << 20 : 512 << 20
        held.removeAll()
        let target = try buffer(byteCount, .device)
        let values = Array(repeating: UInt64(1), count: byteCount / 8)
        let start = ContinuousClock.now
        try upload.copy(values, to: target)
        try device.wait()
        return Double(byteCount) / ((.now - start) / .seconds(1))
    }

    /// Bytes a second that a copy on the device reads and writes together.
    package func copyRate() throws(DeviceError) -> Double {
        let byteCount = device.description.isSoftware ? 16 << 20 : 512 << 20
        held.removeAll()
        let (source, target) = (try buffer(byteCount, .device), try buffer(byteCount, .device))
        let seconds = try best(of: 4) { recorder, _ in
            recorder.copy(byteCount, from: source, to: target)
        }
        return Double(2 * byteCount) / seconds
    }

    private func best(
        of count: Int, _ record: (Recorder, Int) -> Void
    ) throws(DeviceError) -> Double {
        var best = Double.infinity
        for _ in 0..<(device.description.isSoftware ? 2 : 10) {
            try device.wait()
            let start = ContinuousClock.now
            try device.submit { recorder in
                for index in 0..<count {
                    record(recorder, index)
                    recorder.barrier()
                }
            }
            try device.wait()
            best = min(best, (.now - start) / .seconds(1) / Double(count))
        }
        return best
    }
}
