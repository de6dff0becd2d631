import AdapterStore
import Adapters
import Catalog

/// Asking the library, and holding what it does against the forecast.
extension LibrarySimulation {
    private struct Outcome: Equatable {
        var refusal: Refusal?
        var answer: Bool?
    }

    /// - Parameter isCatalogFull: whether no change of a name finds room.
    func call(_ call: LibraryCall, isCatalogFull: Bool = false) async throws {
        note("\(call)\(isCatalogFull ? ", and the catalog is full" : "")")
        var forecast = foresee(call)
        if isCatalogFull, call.changesNames, forecast.refusal == nil {
            forecast.refusal = .catalog
            forecast.after = model
        }
        try accept(try await outcome(of: call, &forecast), forecast)
    }

    /// The process is killed while it does what it is asked, if it comes to where `plan` says.
    func call(_ call: LibraryCall, dyingBy plan: Faults.Plan) async throws {
        note("\(call), \(plan)")
        let before = model
        var forecast = foresee(call)
        fixture.faults.plan(plan)
        let outcome = try await outcome(of: call, &forecast)
        if fixture.faults.isDead {
            note("it died")
            return try await restart([before, forecast.after])
        }
        fixture.faults.plan(.none)
        try accept(outcome, forecast)
    }

    private func accept(_ outcome: Outcome, _ forecast: Forecast) throws {
        let expected = Outcome(
            refusal: forecast.refusal, answer: forecast.refusal == nil ? forecast.answer : nil)
        guard outcome == expected else { throw Flaw("\(outcome) and not \(expected)") }
        model = forecast.after
    }

    private func outcome(
        of call: LibraryCall, _ forecast: inout Forecast
    ) async throws -> Outcome {
        do {
            return Outcome(answer: try await carryOut(call, &forecast))
        } catch let flaw as Flaw {
            throw flaw
        } catch {
            return Outcome(refusal: Refusal(error))
        }
    }

    private func carryOut(
        _ call: LibraryCall, _ forecast: inout Forecast
    ) async throws -> Bool? {
        switch call {
        case .request(let name):
            let lease = try await withRoom(&forecast) { try await $0.lease(name) }
            try submit(lease, expecting: forecast.content)
        case .warm(let name):
            try await withRoom(&forecast) { try await $0.warm(name: name) }
        case .verify(let name):
            return try await withRoom(&forecast) { try await $0.verify(name: name) }
        case .put(let name, let number, let replaces, let expected):
            let source = sources[number].source
            let digest = expected.map { adapters[$0].digest.description }
            _ = try await answer(
                to: try ask {
                    try await $0.put(
                        name: name, source: source, replaces: replaces, expected: digest)
                })
        default: return try await change(call)
        }
        return nil
    }

    /// What the library does at once.
    private func change(_ call: LibraryCall) async throws -> Bool? {
        let library = try self.library()
        switch call {
        case .demote(let name): return try library.demote(name: name)
        case .register(let name, let number):
            try await library.register(name: name, source: sources[number].source)
        case .point(let name, let content, let expected):
            try await library.point(
                name: name, at: adapters[content].digest,
                expected: expected.map { adapters[$0].digest.description })
        case .pin(let name, let isPinned): try await library.pin(name: name, isPinned)
        case .remove(let name): try await library.remove(name: name)
        case .request, .warm, .verify, .put: throw Flaw("\(call) takes its time")
        }
        return nil
    }

    // MARK: Waiting

    /// Work that the library was asked for.
    struct Asked<Value: Sendable> {
        let task: Task<Value, any Error>
        let isDone: Flag
    }

    func ask<Value: Sendable>(
        _ work: @escaping @Sendable (AdapterLibrary) async throws -> Value
    ) throws -> Asked<Value> {
        let library = try self.library()
        let isDone = Flag()
        let task = Task<Value, any Error> {
            defer { isDone.set() }
            return try await work(library)
        }
        return Asked(task: task, isDone: isDone)
    }

    func answer<Value: Sendable>(to asked: Asked<Value>) async throws -> Value {
        var rounds = 0
        while !asked.isDone.isSet {
            rounds += 1
            guard rounds < 200_000 else {
                asked.task.cancel()
                throw Flaw("no answer")
            }
            await letOthersGoOn()
        }
        return try await asked.task.value
    }

    /// Asks for what may have to wait for room in RAM. Where everything is in use it waits, until
    /// sequences have ended or until its patience has.
    private func withRoom<Value: Sendable>(
        _ forecast: inout Forecast,
        _ work: @escaping @Sendable (AdapterLibrary) async throws -> Value
    ) async throws -> Value {
        let scarce = forecast.loads.flatMap { fits($0) ? nil : $0 }
        let asked = try ask(work)
        if let scarce {
            let library = try self.library()
            try await until("a request waits for room") {
                asked.isDone.isSet || library.tiers.waitingCount > 0
            }
            if !asked.isDone.isSet { try endWaiting(for: scarce, &forecast) }
        }
        return try await answer(to: asked)
    }

    private func endWaiting(for content: Int, _ forecast: inout Forecast) throws {
        if roll(2) == 0 { try drain() }
        guard !fits(content) else { return }
        forecast.refusal = .library(.noRoom)
        fixture.clock.advance(by: LibraryFixture.patience)
    }
}
