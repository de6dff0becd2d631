import Adapters
import Engine
import Foundation

/// How requests for many adapters are answered.
enum CostWay: String, CaseIterable {
    case together = "martlet"
    case swapping
    case processes
}

/// What answering all requests came to.
struct CostResult {
    var seconds: Double
    var requestCount: Int
    var tokenCount: Int
    /// Seconds from a request to its first token.
    var firstTokens: [Double]
    /// Memory that this process had for itself in the end.
    var byteCount: Int
}

/// Clients that send one request after another, each the next of a list, until the list ends.
struct CostLoad {
    private var unsent: ArraySlice<EngineRequest>
    private let clientCount: Int
    private let makeCore: () -> EngineCore
    /// Sent, and not yet in a core.
    private var waiting: [EngineRequest] = []
    private var sent: [RequestID: ContinuousClock.Instant] = [:]
    private var result: CostResult
    private let requestCount: Int

    init(requests: [EngineRequest], clients: Int, makeCore: @escaping () -> EngineCore) {
        unsent = requests[...]
        clientCount = clients
        self.makeCore = makeCore
        requestCount = requests.count
        result = CostResult(
            seconds: 0, requestCount: requests.count, tokenCount: 0, firstTokens: [], byteCount: 0)
    }

    /// Answers all requests.
    ///
    /// - Parameter progress: told the share of requests that are answered.
    /// - Throws: what a core failed with.
    mutating func run(_ way: CostWay, progress: (Double) -> Void) throws -> CostResult {
        let start = ContinuousClock.now
        for _ in 0..<clientCount { send() }
        switch way {
        case .together: try answerTogether(progress)
        case .swapping: try answerSwapping(progress)
        case .processes: try answerByProcesses(progress)
        }
        result.seconds = (.now - start) / .seconds(1)
        return result
    }

    private mutating func send() {
        guard let request = unsent.popFirst() else { return }
        sent[request.id] = .now
        waiting.append(request)
    }

    /// A step of a core; clients whose request ended send their next.
    private mutating func step(_ core: inout EngineCore, _ progress: (Double) -> Void) throws {
        for output in core.step() {
            guard case .step(let step) = output.event else { throw CostFailure() }
            if step.token != nil { result.tokenCount += 1 }
            if let begin = sent.removeValue(forKey: output.id) {
                result.firstTokens.append((.now - begin) / .seconds(1))
            }
            if step.finish != nil {
                send()
                progress(Double(requestCount - unsent.count) / Double(requestCount))
            }
        }
        if let failure = core.failure { throw failure }
    }

    private mutating func submitWaiting(
        to core: inout EngineCore, where isTaken: (EngineRequest) -> Bool
    ) {
        for request in waiting where isTaken(request) { core.apply(.submit(request)) }
        waiting.removeAll(where: isTaken)
    }

    private mutating func answerTogether(_ progress: (Double) -> Void) throws {
        var core = makeCore()
        while !waiting.isEmpty || !core.isIdle {
            submitWaiting(to: &core) { _ in true }
            try step(&core, progress)
        }
        result.byteCount = PrivateMemory.byteCount
    }

    private mutating func answerSwapping(_ progress: (Double) -> Void) throws {
        var core = makeCore()
        while let first = waiting.first {
            submitWaiting(to: &core) { $0.adapter === first.adapter }
            while !core.isIdle { try step(&core, progress) }
        }
        result.byteCount = PrivateMemory.byteCount
    }

    /// A core stands for the process of whichever adapter has requests: there are never more of those than clients.
    private mutating func answerByProcesses(_ progress: (Double) -> Void) throws {
        var idle: [EngineCore] = []
        var busy: [(adapter: DeviceAdapter?, core: EngineCore)] = []
        while !waiting.isEmpty || !busy.isEmpty {
            for request in waiting where !busy.contains(where: { $0.adapter === request.adapter }) {
                busy.append((request.adapter, idle.popLast() ?? makeCore()))
            }
            for index in busy.indices {
                let adapter = busy[index].adapter
                submitWaiting(to: &busy[index].core) { $0.adapter === adapter }
                try step(&busy[index].core, progress)
            }
            idle += busy.filter(\.core.isIdle).map(\.core)
            busy.removeAll(where: \.core.isIdle)
        }
    }
}

private struct CostFailure: Error, CustomStringConvertible {
    var description: String { "a request failed; the adapter or the model is broken" }
}

/// Memory of this process that it shares with no other.
enum PrivateMemory {
    static var byteCount: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }
}
