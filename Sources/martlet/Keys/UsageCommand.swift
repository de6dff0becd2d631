import ArgumentParser
import Foundation
import JSONTree
import NIOHTTP1
import OpenAIWire
import Telemetry

struct UsageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage",
        abstract: "Shows what each key used of each model.",
        discussion: """
            Give the server with --url or MARTLET_URL, and an admin's or observer's key in \
            MARTLET_ADMIN_KEY.

            Example:
              martlet usage --since 7d
              martlet usage --since 30d --by key --csv > usage.csv
            """)

    @Option(
        help: ArgumentHelp(
            "How far back, such as 24h or 30d. (default: everything)", valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Of this key only.", valueName: "name"))
    var ofKey: String?

    @Option(
        help: ArgumentHelp(
            "What sums are made by: key, model and hour, with commas. (default: key,model)",
            valueName: "columns"))
    var by = "key,model"

    @Flag(help: "As comma-separated values.") var csv = false
    @OptionGroup var server: ServerOptions

    func run() async throws {
        var query = URLComponents()
        query.queryItems = [URLQueryItem(name: "group_by", value: by)]
        if let ofKey { query.queryItems?.append(URLQueryItem(name: "key", value: ofKey)) }
        if let since {
            guard let seconds = KeyTerms.seconds(since) else {
                throw ValidationError("--since takes a time such as 24h or 30d.")
            }
            let start = Int(Date().timeIntervalSince1970) - seconds
            query.queryItems?.append(URLQueryItem(name: "since", value: "\(start)"))
        }
        let path = "usage?" + (query.percentEncodedQuery ?? "")
        let answer = try await server.withClient { try await $0.send(.GET, path) }
        StandardStream.output.write(text(answer["usage"]?.arrayValue ?? []) + "\n")
    }

    private static let counts = [
        "requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens",
        "reasoning_tokens", "device_seconds",
    ]

    private func text(_ rows: [JSON]) -> String {
        let groups = by.split(separator: ",").map(String.init)
        let names = groups + UsageCommand.counts
        let cells = rows.map { row in names.map { cell($0, row[$0] ?? .null) } }
        guard !csv else {
            return ([names] + cells).map { $0.map(UsageCommand.quoted).joined(separator: ",") }
                .joined(separator: "\n")
        }
        var table = TextTable(names.map { $0.replacingOccurrences(of: "_", with: " ") })
        for row in cells { table.add(row) }
        return table.columns(left: Set(groups))
    }

    private func cell(_ name: String, _ value: JSON) -> String {
        if name == "hour", let seconds = value.integerValue {
            return Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
        }
        return value.stringValue ?? value.text()
    }

    /// As RFC 4180 has it; a text that a spreadsheet would take for a formula is kept from it.
    private static func quoted(_ text: String) -> String {
        let safe = text.first.map { "=+-@".contains($0) } ?? false ? "'" + text : text
        guard safe.contains(where: { ",\"\n\r".contains($0) }) else { return safe }
        return "\"" + safe.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }
}
