internal import Foundation
internal import JSONTree
public import Logging

/// Log lines for people and for machines alike: time, level, message, then `key=value` pairs.
public struct LineLogHandler: LogHandler {
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    /// How a line is written.
    public enum Format: String, Sendable, CaseIterable {
        /// Time, level, message, and `key=value` pairs.
        case text
        /// An object a line.
        case json
    }

    public var logLevel: Logger.Level
    private let label: String
    private let format: Format

    public init(label: String, level: Logger.Level, format: Format = .text) {
        self.label = label
        self.format = format
        logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        let pairs = all.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
        let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        StandardStream.error.write(
            LineLogHandler.line(
                format, time: time, level: event.level, message: "\(event.message)", pairs))
    }

    /// A line with its end.
    package static func line(
        _ format: Format, time: String, level: Logger.Level, message: String,
        _ pairs: [(String, String)]
    ) -> String {
        switch format {
        case .text:
            return "\(time) \(level) \(plain(message))"
                + pairs.map { " \($0)=\(quoted($1))" }.joined() + "\n"
        case .json:
            var object = JSON.Object([
                ("time", .string(time)), ("level", .string("\(level)")),
                ("message", .string(message)),
            ])
            for (key, value) in pairs where object[key] == nil { object[key] = .string(value) }
            return JSON.object(object).text() + "\n"
        }
    }

    /// Values with spaces or worse are quoted, so that a value cannot pretend to be another pair.
    private static func quoted(_ value: String) -> String {
        let isPlain =
            !value.isEmpty
            && value.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x3D }
        return isPlain
            ? value
            : "\""
                + plain(value).replacingOccurrences(of: "\\", with: "\\\\")
                .replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }

    private static func plain(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
    }
}
