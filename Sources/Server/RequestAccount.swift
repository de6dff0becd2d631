internal import Catalog
internal import Foundation
internal import JSONTree
internal import OpenAIWire
internal import Synchronization
package import Telemetry
package import Tenants

/// Who may use the server, how much, and where it is written down.
package struct Tenancy: Sendable {
    /// Nil for an open server.
    package var keys: KeyRing?
    package var meters: KeyMeters
    package var ledger: UsageLedger
    package var audit: AuditLog?
    /// Where requests are traced.
    package var spans: SpanExporter?

    package init(
        keys: KeyRing? = nil, ledger: UsageLedger = UsageLedger(store: nil), audit: AuditLog? = nil,
        meters: KeyMeters? = nil
    ) {
        self.keys = keys
        self.ledger = ledger
        self.audit = audit
        self.meters = meters ?? KeyMeters(ledger: ledger)
    }
}

/// A request in its key's books: what it was for and what it came to. It is closed once, however it ends.
final class RequestAccount: Sendable {
    private struct State {
        var operation = "chat"
        var model = ""
        var digest: String?
        var usage = Usage()
        var timing = RequestTiming()
        var isClosed = false
    }

    private let state = Mutex(State())
    private let turn: KeyMeters.Turn?
    private let tenancy: Tenancy
    private let id: String
    private let trace: TraceContext

    /// - Throws: `APIError` when the key may not begin another request now.
    init(_ tenancy: Tenancy, _ context: APIContext) throws(APIError) {
        self.tenancy = tenancy
        id = context.requestID
        trace = context.trace
        do throws(APIError) {
            turn = try context.tenant.map { holder throws(APIError) in
                try tenancy.meters.begin(holder)
            }
        } catch {
            RequestAccount.write(
                State(), error.code, id, context.tenant?.name, tenancy, trace)
            throw error
        }
    }

    deinit { close("cancelled") }

    /// Sets the tokens aside that the request may come to.
    ///
    /// - Throws: `APIError` when its key has not as many.
    func reserve(_ tokens: Int) throws(APIError) { try turn?.reserve(tokens) }

    /// - Parameter operation: as OpenTelemetry calls it.
    func name(_ operation: String, _ model: String, digest: String?) {
        state.withLock {
            $0.operation = operation
            $0.model = model
            $0.digest = digest
        }
    }

    /// Notes what is there so far: that counts when nobody waits for the rest.
    func note(_ change: (inout Usage) -> Void) {
        state.withLock { if !$0.isClosed { change(&$0.usage) } }
    }

    /// The request has been answered whole.
    func finish(_ usage: Usage) {
        note { $0 = usage }
        close("ok")
    }

    /// Notes what it waited for and what was done for it.
    func time(_ change: (inout RequestTiming) -> Void) {
        state.withLock { if !$0.isClosed { change(&$0.timing) } }
    }

    var timing: RequestTiming { state.withLock { $0.timing } }

    /// Closes the books when work on the request fails.
    func closing<Value: Sendable>(_ work: () async throws -> Value) async throws -> Value {
        do {
            return try await work()
        } catch {
            close(error is CancellationError ? "cancelled" : APIError(error).code)
            throw error
        }
    }

    /// - Parameter outcome: `ok`, `cancelled`, or an error's code. Only the first call counts.
    func close(_ outcome: String) {
        let final: State? = state.withLock { state in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            return state
        }
        guard let final else { return }
        turn?.end(tokens: final.usage.promptTokens + final.usage.completionTokens)
        RequestAccount.write(final, outcome, id, turn?.holder.name, tenancy, trace)
    }

    private static func write(
        _ state: State, _ outcome: String, _ id: String, _ key: String?, _ tenancy: Tenancy,
        _ trace: TraceContext
    ) {
        let usage = state.usage
        if let exporter = tenancy.spans, trace.isSampled {
            let isGood = ["ok", "cancelled"].contains(outcome)
            // https://opentelemetry.io/docs/specs/semconv/gen-ai/
            var attributes: [(name: String, value: JSON)] = [
                ("gen_ai.operation.name", .string(state.operation)),
                ("gen_ai.provider.name", "martlet"), ("gen_ai.request.model", .string(state.model)),
                ("gen_ai.usage.input_tokens", .integer(usage.promptTokens)),
                ("gen_ai.usage.output_tokens", .integer(usage.completionTokens)),
                ("martlet.request", .string(id)), ("martlet.outcome", .string(outcome)),
                ("martlet.cached_tokens", .integer(usage.cachedTokens)),
                ("martlet.device_seconds", .number(state.timing.deviceSeconds)),
            ]
            if let digest = state.digest { attributes.append(("martlet.adapter", .string(digest))) }
            if let key { attributes.append(("martlet.key", .string(key))) }
            if !isGood { attributes.append(("error.type", .string(outcome))) }
            exporter.export(
                state.timing.spans(
                    trace, name: "\(state.operation) \(state.model)", attributes: attributes,
                    error: isGood ? nil : outcome))
        }
        if tenancy.keys != nil {
            var record = UsageRecord(
                key: key ?? "", model: state.model,
                hour: Int(Date().timeIntervalSince1970 / 3600))
            record.requests = 1
            record.errors = ["ok", "cancelled"].contains(outcome) ? 0 : 1
            record.promptTokens = usage.promptTokens
            record.cachedTokens = usage.cachedTokens
            record.completionTokens = usage.completionTokens
            record.reasoningTokens = usage.reasoningTokens ?? 0
            record.deviceSeconds = state.timing.deviceSeconds
            tenancy.ledger.add(record)
        }
        tenancy.audit?.write(
            "request",
            [
                ("request", .string(id)), ("key", key.map { .string($0) } ?? .null),
                ("model", .string(state.model)),
                ("digest", state.digest.map { .string($0) } ?? .null),
                ("outcome", .string(outcome)), ("prompt_tokens", .integer(usage.promptTokens)),
                ("cached_tokens", .integer(usage.cachedTokens)),
                ("completion_tokens", .integer(usage.completionTokens)),
            ])
    }
}
