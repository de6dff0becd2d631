import ArgumentParser
import DeviceTransformer
import Devices
import Foundation
import JSONTree

/// Checks and measures a GPU's products on the shapes of an 8B model.
struct BenchDevice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device",
        abstract: "Checks a GPU's products, and measures them on the shapes of an 8B model.",
        discussion: """
            Needs no model. Every form of products that the GPU has is checked against sums in doubles and for rows that \
            have the same bits alone; then products are timed at several numbers of rows, with weights that come from memory, \
            and dispatches and uploads. --json is for keeping.
            """)

    @Option(help: "Which GPU.")
    var gpu = "vulkan:0"

    @Option(help: "Numbers of rows. (default: 1,16,64,1024,4096; 1 on a GPU that the CPU plays)")
    var rows: String?

    @Flag(help: "Print JSON instead of tables.")
    var json = false

    /// Inputs and outputs of an 8B model's projections.
    private static let shapes = [(4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096)]

    func run() throws {
        let device = try Device(try ComputeDevice.identifier(gpu))
        let description = device.description
        let counts = try rowCounts(description)
        var checks: [JSON] = []
        var products: [JSON] = []
        var checkTable = TextTable([
            "form", "element", "relative error", "same bits alone", "bits of the CPU's",
        ])
        var table = TextTable(["form", "inputs × outputs", "rows", "µs", "GB/s", "TFLOP/s"])
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
                checkTable.add([
                    form.rawValue, "\(element)", Self.scientific(check.relativeError),
                    check.isSameAlone ? "yes" : "NO", Self.fixed(100 * check.equalShare, 0) + " %",
                ])
            }
        }
        let probe = try DeviceProbe(device, element: .bf16)
        for form in probe.forms where form != .sharedTiles {
            for (inputs, outputs) in description.isSoftware ? [(576, 1536)] : Self.shapes {
                for rows in counts {
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
                        Self.fixed(seconds * 1e6, 1), Self.fixed(bandwidth, 1), Self.fixed(rate, 3),
                    ])
                }
            }
        }
        let (dispatch, upload) = (try probe.dispatchSeconds(), try probe.uploadRate())
        if json {
            let result: JSON = [
                "gpu": .string(description.identifier.description),
                "name": .string(description.name),
                "driver": .string(description.driver), "version": .string(description.version),
                "memory": .integer(description.byteCount),
                "subgroup": .integer(description.subgroupSize),
                "bf16_tiles": .bool(description.hasBF16Tiles),
                "half_tiles": .bool(description.hasHalfTiles),
                "copy_queue": .bool(description.hasCopyQueue),
                "largest_allocation": .integer(description.largestAllocation),
                "checks": .array(checks), "products": .array(products),
                "dispatch_microseconds": .number(dispatch * 1e6),
                "upload_gigabytes_per_second": .number(upload / 1e9),
            ]
            return print(result.text())
        }
        print("\(description.identifier), \(description.name), \(description.driver)\n")
        print(checkTable.text + "\n\n" + table.text + "\n")
        print(
            "a dispatch with its barrier \(Self.fixed(dispatch * 1e6, 1)) µs, uploads \(Self.fixed(upload / 1e9, 1)) GB/s"
        )
    }

    private func rowCounts(_ device: DeviceDescription) throws -> [Int] {
        guard let rows else { return device.isSoftware ? [1] : [1, 16, 64, 1024, 4096] }
        let counts = rows.split(separator: ",").map { Int($0) ?? 0 }
        guard !counts.isEmpty, counts.allSatisfy({ (1...65536).contains($0) }) else {
            throw ValidationError("--rows takes numbers between 1 and 65536, such as 1,16,64.")
        }
        return counts
    }

    private static func fixed(_ value: Double, _ digits: Int) -> String {
        String(format: "%.\(digits)f", value)
    }

    private static func scientific(_ value: Double) -> String {
        String(format: "%.1e", value)
    }
}
