import Adapters
import Engine
import Synchronization
import TestSupport

/// What a request comes to: tokens, and the bits of their log probabilities, which tell adapters apart
/// that happen to choose the same tokens.
struct Completion: Hashable, Sendable {
    var tokens: [Int32] = []
    var scores: [UInt32] = []

    mutating func add(_ step: EngineEvent.Step) {
        if let token = step.token { tokens.append(token) }
        guard let scores = step.scores else { return }
        self.scores.append(scores.chosen.logprob.bitPattern)
        self.scores += scores.top.map(\.logprob.bitPattern)
    }
}

/// Few requests, and what each comes to when nobody else is there.
enum Reference {
    /// One in a block of the cache, one in two, one in three.
    static let prompts: [[Int32]] = [5, 20, 45].map { count in
        var generator = SeededGenerator(seed: UInt64(count))
        return (0..<count).map { _ in Int32.random(in: 0..<70, using: &generator) }
    }

    static func request(
        _ id: RequestID, prompt: Int, adapter: DeviceAdapter,
        lease: (any AnyObject & Sendable)? = nil
    ) -> EngineRequest {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        parameters.maximumTokens = 6
        parameters.logprobCount = 2
        return EngineRequest(
            id: id, prompt: prompts[prompt], adapter: adapter, adapterName: nil, lease: lease,
            parameters: parameters)
    }

    private struct Key: Hashable {
        var digest: AdapterDigest
        var prompt: Int
    }

    private static let known = Mutex<[Key: Completion]>([:])

    /// The completion by an engine of its own, with an adapter that no library has had.
    static func completion(
        of adapter: TinyAdapter, prompt: Int, on engine: TinyEngine
    ) throws -> Completion {
        let key = Key(digest: adapter.digest, prompt: prompt)
        if let found = known.withLock({ $0[key] }) { return found }
        var completion = Completion()
        var core = engine.core(keptBlockCount: 0)
        core.apply(.submit(request(RequestID(1), prompt: prompt, adapter: adapter.adapter)))
        for _ in 0..<100 where !core.isIdle {
            for output in core.step() {
                guard case .step(let step) = output.event else { throw Flaw("no reference") }
                completion.add(step)
            }
        }
        let result = completion
        known.withLock { $0[key] = result }
        return result
    }
}
