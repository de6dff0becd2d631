import Foundation
import JSONTree
import OpenAIWire
import Telemetry

/// Keys as text.
enum KeyTable {
    /// A new key: alone on standard output, so that a script can take it.
    static func show(_ answer: JSON) {
        let name = answer["name"]?.stringValue ?? ""
        StandardStream.error.write("The key \(name), which is not shown again:\n")
        StandardStream.output.write((answer["key"]?.stringValue ?? "") + "\n")
    }

    static func text(_ keys: [JSON]) -> String {
        var table = TextTable([
            "name", "key", "role", "models", "rpm", "tpm", "parallel", "budget", "weight", "state",
        ])
        func number(_ value: JSON?) -> String { value?.text() ?? "-" }
        for key in keys {
            let models = key["models"]?.arrayValue?.compactMap(\.stringValue) ?? []
            let budget = key["token_budget"].map {
                $0.text() + "/" + (key["budget_duration"]?.stringValue ?? "")
            }
            let role = key["role"]?.stringValue ?? "?"
            table.add([
                key["name"]?.stringValue ?? "", (key["start"]?.stringValue ?? "") + "…",
                key["namespace"]?.stringValue.map { "\(role) of \($0)" } ?? role,
                models.joined(separator: " "), number(key["rpm_limit"]),
                number(key["tpm_limit"]), number(key["max_parallel_requests"]), budget ?? "-",
                number(key["weight"]), state(key),
            ])
        }
        return table.columns(left: ["name", "key", "role", "models", "state"])
    }

    private static func state(_ key: JSON) -> String {
        if key["revoked"] != nil { return "revoked" }
        if key["fault"] != nil { return "unreadable" }
        if key["blocked"]?.boolValue == true { return "blocked" }
        guard let end = key["expires"]?.integerValue else { return "in use" }
        let date = Date(timeIntervalSince1970: Double(end))
        return (end <= Int(Date().timeIntervalSince1970) ? "expired " : "until ")
            + date.formatted(.iso8601)
    }
}
