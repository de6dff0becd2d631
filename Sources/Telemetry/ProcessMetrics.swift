internal import Foundation

/// What Prometheus' own clients tell of a process, under the same names:
/// https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics.
public enum ProcessMetrics {
    private static let start = Date().timeIntervalSince1970

    /// Remembers when the process began; call it early.
    public static func begin() { _ = start }

    /// In the text format.
    public static func text() -> String {
        var usage = rusage()
        _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        var limit = rlimit()
        _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        var values: [(String, String, Double)] = [
            ("process_start_time_seconds", "gauge", start),
            (
                "process_cpu_seconds_total", "counter",
                seconds(usage.ru_utime) + seconds(usage.ru_stime)
            ),
            ("process_max_fds", "gauge", Double(limit.rlim_cur)),
        ]
        if let pages = residentPageCount() {
            values.append(
                (
                    "process_resident_memory_bytes", "gauge",
                    Double(pages * sysconf(Int32(_SC_PAGESIZE)))
                ))
        }
        if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            values.append(("process_open_fds", "gauge", Double(open.count)))
        }
        return values.map { label, type, value in
            PrometheusMetrics.header(label, type, MetricHelp.texts[label]) + "\(label) \(value)\n"
        }.joined()
    }

    private static func residentPageCount() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else {
            return nil
        }
        let parts = text.split(separator: " ")
        return parts.count > 1 ? Int(parts[1]) : nil
    }
}
