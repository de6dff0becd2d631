import Foundation
import JSONTree
import ModelFiles

/// What measurements of `bench cost` mean in machines and money.
struct CostFigures {
    /// Euros for a machine and hour.
    let price: Double?
    let machineByteCount: Int
    /// Of a process with one adapter.
    let processByteCount: Int

    /// One number of adapters, one way, on all its machines.
    struct Row {
        var way: CostWay
        var adapterCount: Int
        var machineCount: Int
        var byteCount: Int
        var requestsPerSecond: Double
        var tokensPerSecond: Double
        /// Seconds, the median.
        var firstToken: Double

        /// Of one machine, for a million generated tokens.
        var machineHours: Double {
            Double(machineCount) * 1e6 / tokensPerSecond / 3600
        }
    }

    /// How many machines it takes to have all processes in memory.
    func machineCount(_ way: CostWay, _ adapterCount: Int) -> Int {
        let fitting = max(1, machineByteCount / max(1, processByteCount))
        return way == .processes ? (adapterCount + fitting - 1) / fitting : 1
    }

    func row(_ way: CostWay, count: Int, _ result: CostResult) -> Row {
        let machines = machineCount(way, count)
        let scale = Double(machines) / result.seconds
        return Row(
            way: way, adapterCount: count, machineCount: machines,
            byteCount: way == .processes ? count * processByteCount : result.byteCount,
            requestsPerSecond: scale * Double(result.requestCount),
            tokensPerSecond: scale * Double(result.tokenCount),
            firstToken: result.firstTokens.sorted()[result.firstTokens.count / 2])
    }

    var header: [String] {
        ["adapters", "way", "requests/s", "first token", "memory", "machines"]
            + (price == nil
                ? ["machine hours per 1M tokens"]
                : ["€ per 1M tokens", "€ a month"]) + ["costs, of Martlet's"]
    }

    func cells(_ row: Row, against martlet: Row) -> [String] {
        [
            "\(row.adapterCount)", row.way.rawValue, BenchReport.fixed(row.requestsPerSecond, 2),
            BenchReport.fixed(row.firstToken, 2) + " s", ByteCount.text(row.byteCount),
            "\(row.machineCount)",
        ]
            + (price.map {
                [
                    BenchReport.fixed($0 * row.machineHours, 3),
                    BenchReport.fixed($0 * 730 * Double(row.machineCount), 0),
                ]
            } ?? [BenchReport.fixed(row.machineHours, 2)])
            + [BenchReport.fixed(row.machineHours / martlet.machineHours, 2)]
    }

    func json(_ row: Row) -> JSON {
        [
            "adapters": .integer(row.adapterCount), "way": .string(row.way.rawValue),
            "machines": .integer(row.machineCount), "memory_bytes": .integer(row.byteCount),
            "requests_per_second": .number(row.requestsPerSecond),
            "tokens_per_second": .number(row.tokensPerSecond),
            "first_token_seconds": .number(row.firstToken),
            "machine_hours_per_million_tokens": .number(row.machineHours),
            "euros_per_million_tokens": price.map { .number($0 * row.machineHours) } ?? .null,
        ]
    }
}
