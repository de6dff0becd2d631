import Adapters
import ArgumentParser
import Engine
import Foundation
import JSONTree
import ModelFiles
import Tensors

/// An engine on a synthetic model: steps with several numbers of rows and adapters, prefill, uploads beside steps,
/// and the way of an adapter from RAM to its first token.
struct StepBench {
    let gpu: String
    let model: SyntheticModel
    let rowCounts: [Int]
    /// Adapters at most; fewer where the device has no room.
    let mostAdapters: Int

    private static let promptCount = 32
    private static let stepCount = 16
    private static let longest = 10.0

    func run(into report: inout BenchReport, progress: Progress) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("martlet-bench-\(ProcessInfo.processInfo.processIdentifier)")
        defer { try? FileManager.default.removeItem(at: folder) }
        progress.show("writing a synthetic model")
        try model.writeModel(to: folder.appendingPathComponent("model"))
        try model.writeAdapter(to: folder.appendingPathComponent("adapter"))
        let options = try ModelOptions.parse([
            "--model", folder.appendingPathComponent("model").path, "--device", "gpu", "--gpu", gpu,
            "--context-length", "1024", "--max-sequences", "\(rowCounts.max() ?? 1)",
        ])
        var settings = try ModelSettings(options, try Settings(file: nil))
        settings.prefixByteCount = 0
        settings.draftRows = 0
        let loaded = try LoadedModel(settings, progress: progress)
        let file = try AdapterFile.open(
            path: folder.appendingPathComponent("adapter").path, base: loaded.checkpoint,
            limits: AdapterLimits())
        let first = try DeviceAdapter(
            file, base: loaded.checkpoint, format: settings.adapterWeights)
        let room = (loaded.limits.deviceMemory?.adapterFloor ?? 0) / max(1, first.byteCount)
        let adapters = (0..<max(1, min(mostAdapters, room))).map { index in
            first.copy(as: .numbered(index))
        }
        try measureSteps(loaded, adapters, into: &report, progress)
        try measurePrefill(loaded, into: &report)
        try measureUploads(loaded, adapters, into: &report)
        progress.finish()
    }

    // MARK: Requests

    private func request(
        _ number: Int, _ adapter: DeviceAdapter?, promptCount: Int = promptCount,
        tokens: Int = 400
    ) -> EngineRequest {
        var parameters = SamplingParameters()
        parameters.maximumTokens = tokens
        parameters.temperature = 0
        let prompt = (0..<promptCount).map {
            Int32(($0 * 7919 + number * 104_729) % model.vocabularySize)
        }
        return EngineRequest(
            id: RequestID(UInt64(number)), prompt: prompt, adapter: adapter, adapterName: nil,
            parameters: parameters)
    }

    /// Steps until so many requests have a token.
    private func start(_ core: inout EngineCore, _ count: Int) throws {
        var started: Set<RequestID> = []
        while started.count < count {
            started.formUnion(core.step().map(\.id))
            if let failure = core.failure { throw failure }
        }
    }

    /// Milliseconds of a step, the median of some.
    private func medianStep(_ core: inout EngineCore) throws -> Double {
        var times: [Double] = []
        let begin = ContinuousClock.now
        while times.count < Self.stepCount, (.now - begin) / .seconds(1) < Self.longest {
            let start = ContinuousClock.now
            _ = core.step()
            times.append((.now - start) / .milliseconds(1))
            if let failure = core.failure { throw failure }
        }
        return times.sorted()[times.count / 2]
    }

    // MARK: What is measured

    private func measureSteps(
        _ loaded: LoadedModel, _ adapters: [DeviceAdapter], into report: inout BenchReport,
        _ progress: Progress
    ) throws {
        var steps: [JSON] = []
        var table = TextTable([
            "rows", "adapters", "ms/step", "tokens/s", "weights GB/s", "of base alone",
        ])
        for rows in rowCounts {
            var base = 0.0
            for count in Set([0, 1, 32, adapters.count]).sorted()
            where count <= min(rows, adapters.count) {
                progress.show("measuring \(rows) rows with \(count) adapters")
                var core = loaded.makeCore()
                for row in 0..<rows {
                    core.apply(.submit(request(row, count == 0 ? nil : adapters[row % count])))
                }
                try start(&core, rows)
                let milliseconds = try medianStep(&core)
                if count == 0 { base = milliseconds }
                let bytes = Double(loaded.weightByteCount + count * model.adapterByteCount)
                steps.append([
                    "rows": .integer(rows), "adapters": .integer(count),
                    "milliseconds": .number(milliseconds),
                    "read_gigabytes_per_second": .number(bytes / milliseconds / 1e6),
                ])
                table.add([
                    "\(rows)", "\(count)", BenchReport.fixed(milliseconds, 2),
                    BenchReport.fixed(1000 * Double(rows) / milliseconds, 0),
                    BenchReport.fixed(bytes / milliseconds / 1e6, 1),
                    BenchReport.fixed(milliseconds / base, 2),
                ])
            }
        }
        report.add("steps", .array(steps), table.text)
    }

    private func measurePrefill(
        _ loaded: LoadedModel, into report: inout BenchReport
    ) throws {
        let count = min(512, loaded.limits.maximumContext - 1)
        var core = loaded.makeCore()
        core.apply(.submit(request(0, nil, promptCount: count, tokens: 1)))
        try start(&core, 1)
        core.apply(.submit(request(1, nil, promptCount: count, tokens: 1)))
        let begin = ContinuousClock.now
        try start(&core, 1)
        let seconds = (.now - begin) / .seconds(1)
        let rate = 2 * Double(model.layerWeightCount * count) / seconds / 1e12
        report.add(
            "prefill",
            [
                "tokens": .integer(count), "milliseconds": .number(seconds * 1000),
                "teraflops": .number(rate),
            ],
            "prefill of \(count) tokens: \(BenchReport.fixed(seconds * 1000, 1)) ms, \(BenchReport.fixed(rate, 2)) TFLOP/s"
        )
    }

    /// One request at a time, with an adapter that is in RAM alone and with one that is on the device; then requests
    /// with new adapters while others decode.
    private func measureUploads(
        _ loaded: LoadedModel, _ adapters: [DeviceAdapter], into report: inout BenchReport
    ) throws {
        var core = loaded.makeCore()
        func firstToken(_ number: Int, _ adapter: DeviceAdapter?) throws -> Double {
            let begin = ContinuousClock.now
            core.apply(.submit(request(number, adapter, promptCount: 16, tokens: 1)))
            try start(&core, 1)
            return (.now - begin) / .milliseconds(1)
        }
        // A digest that was never there; then the same again.
        let fresh = adapters[0].copy(as: .numbered(1 << 40))
        _ = try firstToken(0, nil)
        let (cold, warm) = (try firstToken(1, fresh), try firstToken(2, fresh))

        for row in 0..<min(32, rowCounts.max() ?? 1) {
            core.apply(.submit(request(100 + row, nil)))
        }
        try start(&core, min(32, rowCounts.max() ?? 1))
        let alone = try medianStep(&core)
        for number in 0..<8 {
            let adapter = adapters[0].copy(as: .numbered(1 << 41 + number))
            core.apply(.submit(request(1000 + number, adapter, promptCount: 16, tokens: 2)))
        }
        let beside = try medianStep(&core)
        report.add(
            "uploads",
            [
                "adapter_bytes": .integer(adapters[0].byteCount),
                "first_token_from_ram_milliseconds": .number(cold),
                "first_token_on_device_milliseconds": .number(warm),
                "step_alone_milliseconds": .number(alone),
                "step_beside_uploads_milliseconds": .number(beside),
            ],
            "first token with an adapter in RAM \(BenchReport.fixed(cold, 1)) ms, on the device \(BenchReport.fixed(warm, 1)) ms; a step \(BenchReport.fixed(alone, 2)) ms, beside uploads \(BenchReport.fixed(beside, 2)) ms"
        )
    }
}
