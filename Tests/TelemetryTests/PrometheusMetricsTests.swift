import CoreMetrics
import Telemetry
import Testing

struct PrometheusMetricsTests {
    @Test func writesTheTextFormat() {
        let metrics = PrometheusMetrics()
        metrics.makeCounter(label: "requests", dimensions: [("model", "a\"b\\c\nd")]).increment(
            by: 2)
        metrics.makeCounter(label: "requests", dimensions: [("model", "a\"b\\c\nd")]).increment(
            by: 3)
        metrics.makeRecorder(label: "free", dimensions: [], aggregate: false).record(7.5)
        let times = metrics.makeRecorder(label: "wait_seconds", dimensions: [], aggregate: true)
        for value in [0.0005, 0.001, 0.3, 500] { times.record(value) }
        let lines = metrics.text().split(separator: "\n").map(String.init)
        #expect(
            lines[..<4] == [
                "# TYPE free gauge", "free 7.5", "# TYPE requests counter",
                #"requests{model="a\"b\\c\nd"} 5"#,
            ])
        #expect(lines.contains("# TYPE wait_seconds histogram"))
        #expect(lines.contains(#"wait_seconds_bucket{le="0.001"} 2"#))
        #expect(lines.contains(#"wait_seconds_bucket{le="0.25"} 2"#))
        #expect(lines.contains(#"wait_seconds_bucket{le="0.5"} 3"#))
        #expect(lines.contains(#"wait_seconds_bucket{le="+Inf"} 4"#))
        #expect(lines.contains("wait_seconds_count 4"))
    }

    @Test func labelsCannotExhaustMemory() {
        let metrics = PrometheusMetrics(seriesLimit: 10)
        func count(_ model: String) {
            metrics.makeCounter(label: "c", dimensions: [("model", model)]).increment(by: 1)
            metrics.makeRecorder(
                label: "t_seconds", dimensions: [("model", model)], aggregate: true
            ).record(0.5)
        }
        for index in 0..<1000 {
            count("\(index)")
            count("busy")
        }
        let lines = metrics.text().split(separator: "\n").map(String.init)
        let counters = lines.filter { $0.hasPrefix("c{") }
        #expect(counters.count <= 10)
        // Nothing is lost: who was idle is counted with others, who is in use has its own series.
        let total = counters.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }
        #expect(total.reduce(0, +) == 2000)
        #expect(counters.contains(#"c{model="busy"} 1000"#))
        #expect(counters.contains(#"c{model="999"} 1"#))
        #expect(counters.contains { $0.hasPrefix(#"c{model="_other"} "#) })
        let times = lines.filter { $0.hasPrefix("t_seconds_count{") }
        #expect(
            times.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
                == 2000)
    }

    /// A label that comes late has its series too.
    @Test func newLabelsAreCountedWhateverOthersHave() {
        let metrics = PrometheusMetrics(seriesLimit: 4, help: ["late": "What came late."])
        for index in 0..<100 {
            metrics.makeCounter(label: "c", dimensions: [("model", "\(index)")]).increment(by: 1)
        }
        metrics.makeCounter(label: "late", dimensions: [("status", "500")]).increment(by: 1)
        #expect(metrics.text().contains(#"late{status="500"} 1"#))
        #expect(metrics.text().contains("# HELP late What came late.\n# TYPE late counter\n"))
    }
}
