public import CoreMetrics
internal import Synchronization

/// A metrics backend that keeps everything in memory and writes it in Prometheus' text format.
///
/// Format: https://prometheus.io/docs/instrumenting/exposition_formats/. Recorders become
/// histograms; those whose label ends in `_seconds` get buckets for times, others for counts.
public final class PrometheusMetrics: MetricsFactory, Sendable {
    /// The series of one label.
    private struct Family {
        var series: [[String]: (instrument: any Instrument, lastUse: UInt64)] = [:]
        var clock: UInt64 = 0

        /// Adds what was recorded in the series that have been idle longest to one whose values are all
        /// `other`, which no name can be.
        mutating func makeRoom(
            in limit: Int, for dimensions: [(String, String)], _ make: () -> any Instrument
        ) {
            guard series.count >= limit, !dimensions.isEmpty else { return }
            let other = dimensions.map { "\($0.0)=\"\(PrometheusMetrics.other)\"" }
            let rest = series[other]?.instrument ?? make()
            let idle = series.filter { $0.key != other }.sorted {
                $0.value.lastUse < $1.value.lastUse
            }
            for (key, value) in idle.prefix(max(2, limit / 10)) {
                rest.add(value.instrument)
                series[key] = nil
            }
            clock += 1
            series[other] = (rest, clock)
        }
    }

    private let families = Mutex<[String: Family]>([:])
    /// Of a label; those that have been idle longest are counted together, so that labels cannot exhaust
    /// memory.
    private let seriesLimit: Int
    private let help: [String: String]

    /// - Parameter help: what each label means, in a line.
    public init(seriesLimit: Int = 1000, help: [String: String] = [:]) {
        self.seriesLimit = seriesLimit
        self.help = help
    }

    /// In place of a label's value.
    private static let other = "_other"

    /// Everything recorded so far.
    public func text() -> String {
        let all = families.withLock { $0.mapValues { $0.series.mapValues(\.instrument) } }
        var text = ""
        for (label, series) in all.sorted(by: { $0.key < $1.key }) {
            guard let type = series.values.first?.type else { continue }
            text += PrometheusMetrics.header(label, type, help[label])
            for (dimensions, instrument) in series.sorted(by: {
                $0.key.lexicographicallyPrecedes($1.key)
            }) {
                instrument.write(to: &text, label: label, dimensions: dimensions)
            }
        }
        return text
    }

    /// The lines before a label's series.
    public static func header(_ label: String, _ type: String, _ help: String?) -> String {
        (help.map { "# HELP \(label) \($0)\n" } ?? "") + "# TYPE \(label) \(type)\n"
    }

    private func instrument<Kind: Instrument>(
        _ label: String, _ dimensions: [(String, String)], _ make: () -> Kind
    ) -> Kind {
        let key = dimensions.map { "\($0)=\"\(PrometheusMetrics.escaped($1))\"" }
        return families.withLock { families in
            families[label, default: Family()].clock += 1
            let clock = families[label]?.clock ?? 0
            if let found = families[label]?.series[key]?.instrument as? Kind {
                families[label]?.series[key]?.lastUse = clock
                return found
            }
            families[label]?.makeRoom(in: seriesLimit, for: dimensions, make)
            let new = make()
            families[label]?.series[key] = (new, clock)
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
    /// Adds what another of the same kind has recorded.
    func add(_ other: any Instrument)
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

    func add(_ other: any Instrument) {
        guard let other = other as? PrometheusCounter else { return }
        increment(by: other.value.load(ordering: .relaxed))
    }

    func write(to text: inout String, label: String, dimensions: [String]) {
        text += series(label, dimensions, "\(value.load(ordering: .relaxed))")
    }
}

private final class PrometheusGauge: RecorderHandler, Instrument {
    private let value = Mutex<Double>(0)

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { self.value.withLock { $0 = value } }

    var type: String { "gauge" }

    func add(_ other: any Instrument) {
        guard let other = other as? PrometheusGauge else { return }
        let more = other.value.withLock { $0 }
        value.withLock { $0 += more }
    }

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

    func add(_ other: any Instrument) {
        guard let other = other as? PrometheusHistogram else { return }
        let (counts, sum) = other.state.withLock { ($0.counts, $0.sum) }
        state.withLock { state in
            for (index, count) in counts.enumerated() { state.counts[index] += count }
            state.sum += sum
        }
    }

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
