package import AsyncHTTPClient
internal import Foundation
internal import NIOCore

/// Sends a workload to a server.
package enum LoadRun {
    /// - Parameter progress: told how many requests have ended.
    package static func run(
        _ workload: Workload, on target: LoadTarget, client: HTTPClient,
        objective: ServiceObjective = ServiceObjective(),
        progress: (Int) -> Void = { _ in }
    ) async -> LoadReport {
        let requests = workload.requests()
        let clock = ContinuousClock()
        let start = clock.now
        var outcomes: [LoadOutcome] = []
        await withTaskGroup(of: LoadOutcome.self) { group in
            var waiting = requests[...]
            func next() {
                guard let request = waiting.popFirst() else { return }
                group.addTask {
                    if request.start > 0 {
                        try? await clock.sleep(until: start + .seconds(request.start))
                    }
                    return await target.send(request, client: client)
                }
            }
            // In an open loop all wait for their time; in a closed one each end begins another.
            switch workload.arrivals {
            case .closed(let clients): for _ in 0..<clients { next() }
            case .open: for _ in requests { next() }
            }
            for await outcome in group {
                outcomes.append(outcome)
                progress(outcomes.count)
                next()
            }
        }
        return LoadReport(
            outcomes, seconds: (clock.now - start) / .seconds(1), objective: objective)
    }

    /// A client that opens as many connections as the load wants.
    package static func makeClient() -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4096
        configuration.timeout.connect = .seconds(10)
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }
}
