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
        for index in 0..<1000 {
            metrics.makeCounter(label: "c", dimensions: [("model", "\(index)")]).increment(by: 1)
        }
        #expect(metrics.text().split(separator: "\n").count == 11)
    }
}
