public import CoreMetrics
internal import Synchronization

/// A metrics backend that keeps everything in memory and writes it in Prometheus' text format.
///
/// Format: https://prometheus.io/docs/instrumenting/exposition_formats/. Recorders become
/// histograms; those whose label ends in `_seconds` get buckets for times, others for counts.
public final class PrometheusMetrics: MetricsFactory, Sendable {
    private struct Key: Hashable {
        var label: String
        var dimensions: [String]
    }

    private let instruments = Mutex<[Key: any Instrument]>([:])
    /// Series beyond this many are counted together, so that labels cannot exhaust memory.
    private let seriesLimit: Int

    public init(seriesLimit: Int = 10_000) { self.seriesLimit = seriesLimit }

    /// Everything recorded so far.
    public func text() -> String {
        let all = instruments.withLock { $0.map { ($0.key, $0.value) } }
        var text = ""
        let byLabel = Dictionary(grouping: all) { $0.0.label }
        for (label, series) in byLabel.sorted(by: { $0.key < $1.key }) {
            text += "# TYPE \(label) \(series[0].1.type)\n"
            for (key, instrument) in series.sorted(by: {
                $0.0.dimensions.lexicographicallyPrecedes($1.0.dimensions)
            }) {
                instrument.write(to: &text, label: key.label, dimensions: key.dimensions)
            }
        }
        return text
    }

    private func instrument<Kind: Instrument>(
        _ label: String, _ dimensions: [(String, String)], _ make: () -> Kind
    ) -> Kind {
        let pairs = dimensions.map { "\($0)=\"\(PrometheusMetrics.escaped($1))\"" }
        let key = Key(label: label, dimensions: pairs)
        return instruments.withLock { instruments in
            if let found = instruments[key] as? Kind { return found }
            let new = make()
            if instruments.count < seriesLimit { instruments[key] = new }
            return new
        }
    }

    /// A label's value as the format wants it.
    public static func escaped(_ value: String) -> String {
        value.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }

    // MARK: MetricsFactory

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        instrument(label, dimensions) { PrometheusCounter() }
    }

    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        guard aggregate else { return instrument(label, dimensions) { PrometheusGauge() } }
        return instrument(label, dimensions) {
            PrometheusHistogram(isTime: label.hasSuffix("_seconds"))
        }
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        instrument(label, dimensions) { PrometheusHistogram(isTime: true) }
    }

    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}
}

private protocol Instrument: AnyObject, Sendable {
    var type: String { get }
    func write(to text: inout String, label: String, dimensions: [String])
}

private func series(_ label: String, _ dimensions: [String], _ value: String) -> String {
    dimensions.isEmpty
        ? "\(label) \(value)\n" : "\(label){\(dimensions.joined(separator: ","))} \(value)\n"
}

private final class PrometheusCounter: CounterHandler, Instrument {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) { value.add(amount, ordering: .relaxed) }
    func reset() { value.store(0, ordering: .relaxed) }

    var type: String { "counter" }

    func write(to text: inout String, label: String, dimensions: [String]) {
        text += series(label, dimensions, "\(value.load(ordering: .relaxed))")
    }
}

private final class PrometheusGauge: RecorderHandler, Instrument {
    private let value = Mutex<Double>(0)

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { self.value.withLock { $0 = value } }

    var type: String { "gauge" }

    func write(to text: inout String, label: String, dimensions: [String]) {
        text += series(label, dimensions, "\(value.withLock { $0 })")
    }
}

private final class PrometheusHistogram: RecorderHandler, TimerHandler, Instrument {
    private struct State {
        var counts: [Int]
        var sum = 0.0
    }

    private static let timeBounds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
    ]
    private static let countBounds: [Double] = [
        0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536,
    ]

    private let bounds: [Double]
    private let state: Mutex<State>

    init(isTime: Bool) {
        bounds = isTime ? PrometheusHistogram.timeBounds : PrometheusHistogram.countBounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock {
            $0.counts[bucket] += 1
            $0.sum += value
        }
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    var type: String { "histogram" }

    func write(to text: inout String, label: String, dimensions: [String]) {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var total = 0
        for (index, count) in counts.enumerated() {
            total += count
            let bound = index < bounds.count ? "\(bounds[index])" : "+Inf"
            text += series("\(label)_bucket", dimensions + ["le=\"\(bound)\""], "\(total)")
        }
        text += series("\(label)_sum", dimensions, "\(sum)")
        text += series("\(label)_count", dimensions, "\(total)")
    }
}
