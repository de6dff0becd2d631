import DeviceTransformer
import Devices
import JSONTree

/// Whether a GPU's products are right in every form that it has, and how fast.
struct ProductBench {
    let device: Device
    let rowCounts: [Int]

    /// Inputs and outputs of an 8B model's projections.
    private static let shapes = [(4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096)]

    func run(into report: inout BenchReport) throws {
        try check(into: &report)
        try measure(into: &report)
    }

    private func check(into report: inout BenchReport) throws {
        var checks: [JSON] = []
        var table = TextTable([
            "form", "element", "relative error", "same bits alone", "bits of the CPU's",
        ])
        for element in [DeviceElement.f32, .bf16] {
            let probe = try DeviceProbe(device, element: element)
            for form in probe.forms {
                let check = try probe.check(form)
                checks.append([
                    "form": .string(form.rawValue), "element": .string("\(element)"),
                    "relative_error": .number(check.relativeError),
                    "same_bits_alone": .bool(check.isSameAlone),
                    "share_with_the_cpus_bits": .number(check.equalShare),
                ])
                table.add([
                    form.rawValue, "\(element)", BenchReport.scientific(check.relativeError),
                    check.isSameAlone ? "yes" : "NO",
                    BenchReport.fixed(100 * check.equalShare, 0) + " %",
                ])
            }
        }
        report.add("checks", .array(checks), table.text)
    }

    private func measure(into report: inout BenchReport) throws {
        var products: [JSON] = []
        var table = TextTable(["form", "inputs × outputs", "rows", "µs", "GB/s", "TFLOP/s"])
        let probe = try DeviceProbe(device, element: .bf16)
        for form in probe.forms where form != .sharedTiles {
            for (inputs, outputs) in device.description.isSoftware ? [(576, 1536)] : Self.shapes {
                for rows in rowCounts {
                    let seconds = try probe.seconds(
                        form, inputs: inputs, outputs: outputs, rows: rows)
                    let bandwidth = Double(2 * inputs * outputs) / seconds / 1e9
                    let rate = 2 * Double(inputs * outputs * rows) / seconds / 1e12
                    products.append([
                        "form": .string(form.rawValue), "inputs": .integer(inputs),
                        "outputs": .integer(outputs), "rows": .integer(rows),
                        "microseconds": .number(seconds * 1e6),
                        "gigabytes_per_second": .number(bandwidth), "teraflops": .number(rate),
                    ])
                    table.add([
                        form.rawValue, "\(inputs) × \(outputs)", "\(rows)",
                        BenchReport.fixed(seconds * 1e6, 1), BenchReport.fixed(bandwidth, 1),
                        BenchReport.fixed(rate, 3),
                    ])
                }
            }
        }
        report.add("products", .array(products), table.text)
        let (dispatch, upload) = (try probe.dispatchSeconds(), try probe.uploadRate())
        let copy = try probe.copyRate()
        report.add(
            "memory",
            [
                "dispatch_microseconds": .number(dispatch * 1e6),
                "upload_gigabytes_per_second": .number(upload / 1e9),
                "copy_gigabytes_per_second": .number(copy / 1e9),
            ],
            "a dispatch with its barrier \(BenchReport.fixed(dispatch * 1e6, 1)) µs, uploads \(BenchReport.fixed(upload / 1e9, 1)) GB/s, copies on the device \(BenchReport.fixed(copy / 1e9, 1)) GB/s read and written"
        )
    }
}
