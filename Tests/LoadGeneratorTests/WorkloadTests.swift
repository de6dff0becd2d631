import JSONTree
import LoadGenerator
import Testing

struct WorkloadTests {
    @Test func aSeedDecidesEverything() {
        var workload = Workload()
        workload.popularity = .power(alpha: 0.3)
        workload.adapterCount = 200
        workload.arrivals = .open(rate: 5, variation: 2)
        let first = workload.requests()
        #expect(first == workload.requests())
        workload.seed = 1
        #expect(first != workload.requests())
        #expect(Set(first.map(\.prompt)).count == first.count)
        #expect(zip(first, first.dropFirst()).allSatisfy { $0.start <= $1.start })
    }

    /// Mean and coefficient of variation of the gaps are those asked for.
    @Test(arguments: [0.5, 1, 2.0])
    func gapsHaveTheirDistribution(variation: Double) {
        var workload = Workload()
        workload.requestCount = 20_000
        workload.promptWords = Workload.Length(1...1)
        workload.arrivals = .open(rate: 4, variation: variation)
        let starts = workload.requests().map(\.start)
        let gaps = zip(starts.dropFirst(), starts).map { $0 - $1 }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        #expect(abs(mean - 0.25) < 0.02)
        #expect(abs(variance.squareRoot() / mean - variation) < 0.06 * variation)
    }

    /// floor(U^(1/alpha) · N): the share of requests below index k is (k / N)^alpha.
    @Test func popularityFollowsThePowerLaw() {
        var workload = Workload()
        workload.requestCount = 20_000
        workload.promptWords = Workload.Length(1...1)
        workload.adapterCount = 100
        workload.popularity = .power(alpha: 0.3)
        let adapters = workload.requests().compactMap(\.adapter)
        #expect(adapters.count == 20_000 && adapters.allSatisfy { (0..<100).contains($0) })
        for (index, share) in [(1, 0.251), (10, 0.501), (50, 0.812)] {
            let below = Double(adapters.count { $0 < index }) / 20_000
            #expect(abs(below - share) < 0.015)
        }
    }

    @Test func assignments() {
        var workload = Workload()
        (workload.requestCount, workload.adapterCount) = (8, 3)
        workload.popularity = .distinct
        #expect(workload.requests().map(\.adapter) == [0, 1, 2, 0, 1, 2, 0, 1])
        workload.popularity = .same
        workload.drift = 3
        #expect(workload.requests().map(\.adapter) == [0, 0, 0, 1, 1, 1, 2, 2])
        workload.popularity = .base
        #expect(workload.requests().allSatisfy { $0.adapter == nil })
    }

    @Test func lengths() {
        #expect(Workload.Length("64")?.range == 64...64)
        #expect(Workload.Length("16-128")?.range == 16...128)
        for bad in ["", "0", "-5", "9-3", "a", "1-2-3", "5-"] {
            #expect(Workload.Length(bad) == nil)
        }
    }

    @Test func reportsCountWhatCame() throws {
        var good = LoadOutcome()
        (good.adapter, good.promptTokens, good.newTokens) = (1, 10, 3)
        (good.pieces, good.end) = ([0.1, 0.2, 0.4], 0.4)
        var slow = good
        slow.pieces = [0.9, 1.0, 1.1]
        slow.end = 1.1
        var bad = LoadOutcome()
        bad.failure = "status 429"
        var objective = ServiceObjective()
        objective.firstToken = 0.5
        let report = LoadReport([good, slow, bad], seconds: 2, objective: objective)
        #expect(report.succeeded == 2 && report.failed == 1 && report.failures == ["status 429"])
        #expect(report.tokensPerSecond == 3 && report.goodput == 0.5 && report.adapters == 1)
        #expect(report.firstToken.p50 == 0.1 && report.firstToken.p99 == 0.9)
        #expect(abs(report.betweenTokens.p99 - 0.2) < 1e-9)
        #expect(report.json["time_to_first_token"]?["p90"]?.doubleValue == 0.9)
    }
}
