internal import Foundation
internal import JSONTree
internal import OpenAIWire
internal import Telemetry

/// What a request waited for and what was done for it, one after the other.
struct RequestTiming: Sendable {
    let start = ContinuousClock.now
    private let date = Date().timeIntervalSince1970
    /// Seconds from the start within which the first token must come; nil to wait.
    var patience: Double?
    /// Reading its body and making tokens of it.
    var text = Duration.zero
    /// Until its adapter was in memory.
    var adapter = Duration.zero
    /// When it was, since the start.
    var adapterEnd: Duration?
    /// Where it was before, and how much of the work is its own; nil for the base.
    var adapterTier: String?
    var adapterShare: Double?
    /// When it was given to the engine, since the start.
    var submitted: Duration?
    /// Until it had a seat in the engine.
    var queued = 0.0
    /// When its first token came, since the start.
    var firstToken: Duration?
    /// How long the device worked for it, by its share of each step's rows.
    var deviceSeconds = 0.0
    /// Steps that its sequences were in, and the other sequences in them.
    var stepCount = 0
    var neighbourCount = 0

    /// As `Server-Timing` has it (https://www.w3.org/TR/server-timing/), in milliseconds.
    ///
    /// - Parameter isWhole: whether the answer is complete.
    func header(isWhole: Bool) -> String {
        var parts = [("text", text / .seconds(1)), ("adapter", adapter / .seconds(1))]
        if isWhole {
            parts += phases(until: now).map { ($0.name, $0.end - $0.start) }
            parts.append(("total", now))
        }
        return parts.map { "\($0);dur=\(($1 * 100_000).rounded() / 100)" }.joined(separator: ", ")
    }

    /// Seconds since the start.
    private var now: Double { (.now - start) / .seconds(1) }

    /// What the engine did, in seconds since the start.
    private func phases(until now: Double) -> [(name: String, start: Double, end: Double)] {
        guard let submitted = submitted.map({ $0 / .seconds(1) }) else { return [] }
        let first = firstToken.map { $0 / .seconds(1) } ?? now
        let seat = min(first, submitted + queued)
        return [("queue", submitted, seat), ("prefill", seat, first), ("decode", first, now)]
    }

    /// As `martlet.timing` tells it.
    var json: JSON {
        func milliseconds(_ seconds: Double) -> JSON {
            .number((seconds * 100_000).rounded() / 100)
        }
        var object = JSON.Object([
            ("text_ms", milliseconds(text / .seconds(1))),
            ("adapter_ms", milliseconds(adapter / .seconds(1))),
        ])
        if let adapterTier { object["adapter_tier"] = .string(adapterTier) }
        for phase in phases(until: now) {
            object[phase.name + "_ms"] = milliseconds(phase.end - phase.start)
        }
        object["device_ms"] = milliseconds(deviceSeconds)
        let neighbours = Double(neighbourCount) / Double(max(1, stepCount))
        object["neighbours"] = .number((neighbours * 100).rounded() / 100)
        if let adapterShare {
            object["adapter_share"] = .number((adapterShare * 10_000).rounded() / 10_000)
        }
        return .object(object)
    }

    /// The same for a line of the log, in seconds.
    var pairs: [(name: String, value: String)] {
        let parts =
            [("adapter", adapter / .seconds(1))]
            + phases(until: now).map { ($0.name, $0.end - $0.start) }
            + [("device", deviceSeconds)]
        return parts.map { ($0 + "_seconds", "\(($1 * 1000).rounded() / 1000)") }
    }

    /// The request as a span, and its phases as spans within it.
    func spans(
        _ trace: TraceContext, name: String, attributes: [(name: String, value: JSON)],
        error: String?
    ) -> [TraceSpan] {
        let now = now
        let root = TraceSpan(
            trace: trace.trace, parent: trace.parent, name: name, isServer: true, start: date,
            end: date + now, attributes: attributes, error: error)
        var parts = phases(until: now)
        if let adapterEnd {
            let seconds = adapterEnd / .seconds(1)
            parts.insert(("adapter", seconds - adapter / .seconds(1), seconds), at: 0)
        }
        return [root]
            + parts.filter { $0.end > $0.start }.map {
                TraceSpan(
                    trace: trace.trace, parent: root.id, name: $0.name, start: date + $0.start,
                    end: date + $0.end)
            }
    }
}

/// The trace that a request belongs to, by `traceparent` (https://www.w3.org/TR/trace-context/).
struct TraceContext: Sendable, Equatable {
    let trace: String
    /// The client's span.
    let parent: String?
    /// Whether whoever began it wants it recorded.
    let isSampled: Bool

    /// A new one.
    init() {
        trace = TraceSpan.newTrace()
        parent = nil
        isSampled = true
    }

    /// - Returns: nil for what is not of the form.
    init?(_ header: String) {
        let parts = header.split(separator: "-", omittingEmptySubsequences: false)
        func isHexadecimal(_ text: Substring, _ count: Int) -> Bool {
            text.utf8.count == count
                && text.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
        }
        guard parts.count >= 4, isHexadecimal(parts[0], 2), parts[0] != "ff",
            isHexadecimal(parts[1], 32), parts[1].contains(where: { $0 != "0" }),
            isHexadecimal(parts[2], 16), parts[2].contains(where: { $0 != "0" }),
            isHexadecimal(parts[3], 2), parts[0] != "00" || parts.count == 4
        else { return nil }
        trace = String(parts[1])
        parent = String(parts[2])
        isSampled = (UInt8(parts[3], radix: 16) ?? 0) & 1 == 1
    }
}
