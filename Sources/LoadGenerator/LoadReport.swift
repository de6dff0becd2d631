internal import Foundation
package import JSONTree

/// What became of one request, in seconds from its start.
package struct LoadOutcome: Sendable {
    package var adapter: Int?
    package var promptTokens = 0
    package var newTokens = 0
    /// When each piece of text came.
    package var pieces: [Double] = []
    package var end = 0.0
    /// Why it failed; nil when it did not.
    package var failure: String?

    package init() {}

    var firstToken: Double { pieces.first ?? end }
}

/// What an SLO asks of a request, in seconds; nil asks nothing.
package struct ServiceObjective: Sendable {
    package var firstToken: Double?
    package var betweenTokens: Double?

    package init() {}

    func isMet(_ outcome: LoadOutcome) -> Bool {
        let gaps = outcome.pieces.count - 1
        let mean = gaps > 0 ? (outcome.end - outcome.firstToken) / Double(gaps) : 0
        return outcome.failure == nil && outcome.firstToken <= firstToken ?? .infinity
            && mean <= betweenTokens ?? .infinity
    }
}

/// A run's figures.
package struct LoadReport: Sendable {
    /// Median, 90th and 99th percentile, by nearest rank.
    package struct Percentiles: Sendable {
        package var p50 = 0.0, p90 = 0.0, p99 = 0.0

        init(_ values: [Double]) {
            let sorted = values.sorted()
            func at(_ share: Double) -> Double {
                guard !sorted.isEmpty else { return 0 }
                return sorted[max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1)]
            }
            (p50, p90, p99) = (at(0.5), at(0.9), at(0.99))
        }

        var json: JSON {
            .object(
                JSON.Object([("p50", .number(p50)), ("p90", .number(p90)), ("p99", .number(p99))]))
        }
    }

    package let seconds: Double
    package let succeeded: Int
    package let failed: Int
    package let promptTokens: Int
    package let newTokens: Int
    package let adapters: Int
    package let firstToken: Percentiles
    package let betweenTokens: Percentiles
    package let endToEnd: Percentiles
    /// Requests a second that met the objective.
    package let goodput: Double
    package let failures: [String]

    package init(_ outcomes: [LoadOutcome], seconds: Double, objective: ServiceObjective) {
        let good = outcomes.filter { $0.failure == nil }
        self.seconds = seconds
        succeeded = good.count
        failed = outcomes.count - good.count
        promptTokens = good.reduce(0) { $0 + $1.promptTokens }
        newTokens = good.reduce(0) { $0 + $1.newTokens }
        adapters = Set(good.compactMap(\.adapter)).count
        firstToken = Percentiles(good.map(\.firstToken))
        betweenTokens = Percentiles(
            good.flatMap { outcome in
                zip(outcome.pieces.dropFirst(), outcome.pieces).map { $0 - $1 }
            })
        endToEnd = Percentiles(good.map(\.end))
        goodput = Double(outcomes.count { objective.isMet($0) }) / seconds
        failures = Array(Set(outcomes.compactMap(\.failure))).sorted()
    }

    /// Generated tokens a second, the time for prompts included.
    package var tokensPerSecond: Double { Double(newTokens) / seconds }

    package var json: JSON {
        .object(
            JSON.Object([
                ("seconds", .number(seconds)), ("succeeded", .integer(succeeded)),
                ("failed", .integer(failed)), ("prompt_tokens", .integer(promptTokens)),
                ("new_tokens", .integer(newTokens)), ("adapters", .integer(adapters)),
                ("tokens_per_second", .number(tokensPerSecond)), ("goodput", .number(goodput)),
                ("time_to_first_token", firstToken.json), ("inter_token", betweenTokens.json),
                ("end_to_end", endToEnd.json), ("failures", .array(failures.map { .string($0) })),
            ]))
    }
}
