internal import AsyncHTTPClient
internal import Foundation
package import JSONTree
package import Logging
internal import NIOCore
internal import NIOHTTP1
internal import ServiceLifecycle
internal import Synchronization

/// A piece of time in a trace, as OpenTelemetry has it.
package struct TraceSpan: Sendable, Equatable {
    /// 32 and 16 hexadecimal digits.
    package var trace: String
    package var id: String
    package var parent: String?
    package var name: String
    /// Whether it is the server's answer to a request, and not a part of that.
    package var isServer: Bool
    /// Seconds since 1970.
    package var start: Double
    package var end: Double
    package var attributes: [(name: String, value: JSON)]
    /// Why it failed.
    package var error: String?

    package init(
        trace: String, id: String = TraceSpan.newID(), parent: String?, name: String,
        isServer: Bool = false, start: Double, end: Double,
        attributes: [(name: String, value: JSON)] = [], error: String? = nil
    ) {
        self.trace = trace
        self.id = id
        self.parent = parent
        self.name = name
        self.isServer = isServer
        self.start = start
        self.end = end
        self.attributes = attributes
        self.error = error
    }

    package static func newID() -> String { digits(UInt64.random(in: 1...UInt64.max)) }
    package static func newTrace() -> String { newID() + newID() }

    private static func digits(_ number: UInt64) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    package static func == (a: TraceSpan, b: TraceSpan) -> Bool { a.json == b.json }

    /// As OTLP's JSON has it (https://opentelemetry.io/docs/specs/otlp/).
    var json: JSON {
        func nanoseconds(_ time: Double) -> JSON { .string("\(Int(time * 1e6) * 1000)") }
        var object = JSON.Object([
            ("traceId", .string(trace)), ("spanId", .string(id)), ("name", .string(name)),
            ("kind", .integer(isServer ? 2 : 1)), ("startTimeUnixNano", nanoseconds(start)),
            ("endTimeUnixNano", nanoseconds(max(start, end))),
            ("attributes", .array(attributes.map { TraceSpan.attribute($0.name, $0.value) })),
        ])
        object["parentSpanId"] = parent.map { .string($0) }
        if let error { object["status"] = ["code": 2, "message": .string(error)] }
        return .object(object)
    }

    static func attribute(_ name: String, _ value: JSON) -> JSON {
        ["key": .string(name), "value": TraceSpan.value(value)]
    }

    private static func value(_ value: JSON) -> JSON {
        switch value {
        case .bool: ["boolValue": value]
        case .integer(let number): ["intValue": .string("\(number)")]
        case .number: ["doubleValue": value]
        case .array(let values):
            ["arrayValue": ["values": .array(values.map { TraceSpan.value($0) })]]
        default: ["stringValue": .string(value.stringValue ?? value.text())]
        }
    }
}

/// Sends spans to a collector by OTLP over HTTP, once a second. What a collector does not take in time is dropped and counted:
/// no request waits for it.
package final class SpanExporter: Service {
    private struct State {
        var spans: [TraceSpan] = []
        var droppedCount = 0
        var isFailing = false
    }

    private let state = Mutex(State())
    private let url: String
    private let headers: [(String, String)]
    private let resource: JSON
    private let logger: Logger

    private static let limit = 8192

    /// - Parameters:
    ///   - url: where traces are posted, `/v1/traces` and all.
    ///   - attributes: of the process, such as `service.name`.
    package init(
        url: String, headers: [(String, String)], attributes: [(String, JSON)], logger: Logger
    ) {
        self.url = url
        self.headers = headers
        self.logger = logger
        resource = ["attributes": .array(attributes.map { TraceSpan.attribute($0, $1) })]
    }

    package func export(_ spans: [TraceSpan]) {
        state.withLock { state in
            guard state.spans.count + spans.count <= SpanExporter.limit else {
                state.droppedCount += spans.count
                return
            }
            state.spans += spans
        }
    }

    package var droppedCount: Int { state.withLock { $0.droppedCount } }

    package func run() async throws {
        let client = HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup)
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) }
            await send(client)
        }
        await send(client)
        try? await client.shutdown()
    }

    private func send(_ client: HTTPClient) async {
        let spans = state.withLock { state in
            defer { state.spans = [] }
            return state.spans
        }
        guard !spans.isEmpty else { return }
        let body: JSON = [
            "resourceSpans": [
                [
                    "resource": resource,
                    "scopeSpans": [
                        ["scope": ["name": "martlet"], "spans": .array(spans.map(\.json))]
                    ],
                ]
            ]
        ]
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = .bytes(Array(body.text().utf8))
        var failure: String?
        do {
            let response = try await client.execute(request, timeout: .seconds(10))
            _ = try await response.body.collect(upTo: 1 << 20)
            if response.status.code >= 300 { failure = "\(response.status.code)" }
        } catch {
            failure = "\(error)"
        }
        let isNews = state.withLock { state in
            if failure != nil { state.droppedCount += spans.count }
            defer { state.isFailing = failure != nil }
            return failure != nil && !state.isFailing
        }
        if isNews, let failure {
            logger.warning(
                "spans are not taken, and dropped until they are",
                metadata: ["url": .string(url), "error": .string(failure)])
        }
    }
}
