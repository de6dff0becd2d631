import ArgumentParser
import Logging
import Telemetry

enum ServerLog {
    /// Sets up the log of a server, once for the process.
    ///
    /// - Parameters:
    ///   - level: of the command line, if it says one.
    ///   - format: likewise.
    /// - Throws: `ValidationError`.
    static func start(_ settings: Settings, level: String?, format: String?) throws -> Logger {
        let levelName = level ?? settings.string("log-level") ?? "info"
        guard let level = Logger.Level(rawValue: levelName) else {
            let names = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--log-level is \"\(levelName)\"; it may be one of \(names).")
        }
        let formatName = format ?? settings.string("log-format") ?? "text"
        guard let format = LineLogHandler.Format(rawValue: formatName) else {
            throw ValidationError("--log-format is \"\(formatName)\"; it may be text or json.")
        }
        LoggingSystem.bootstrap { LineLogHandler(label: $0, level: level, format: format) }
        return Logger(label: "martlet")
    }
}
