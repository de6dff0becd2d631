import ArgumentParser
import Foundation
import JSONTree
import Logging
import ServiceLifecycle
import Telemetry

/// Where requests are traced.
struct TracingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A collector that gets a trace of each request by OTLP over HTTP, such as http://localhost:4318. (default: OTEL_EXPORTER_OTLP_ENDPOINT, or none)",
            valueName: "url"))
    var otlpEndpoint: String?

    func exporter(_ settings: Settings, replica: String, _ logger: Logger) throws -> SpanExporter? {
        let environment = ProcessInfo.processInfo.environment
        func variable(_ name: String) -> String? {
            environment["OTEL_EXPORTER_OTLP_" + name].flatMap { $0.isEmpty ? nil : $0 }
        }
        let base = otlpEndpoint ?? settings.string("otlp-endpoint")
        let exact = base == nil ? variable("TRACES_ENDPOINT") : nil
        guard var url = exact ?? base ?? variable("ENDPOINT") else { return nil }
        if exact == nil {
            while url.hasSuffix("/") { url.removeLast() }
            if !url.hasSuffix("/v1/traces") { url += "/v1/traces" }
        }
        guard url.hasPrefix("http://") || url.hasPrefix("https://"), URL(string: url)?.host != nil
        else {
            throw ValidationError("The collector's address is \"\(url)\"; write http://HOST:PORT.")
        }
        let headers = (variable("TRACES_HEADERS") ?? variable("HEADERS") ?? "").split(
            separator: ","
        )
        .compactMap { pair -> (String, String)? in
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            let value = String(parts[1]).trimmingCharacters(in: .whitespaces)
            return (
                String(parts[0]).trimmingCharacters(in: .whitespaces),
                value.removingPercentEncoding ?? value
            )
        }
        return SpanExporter(
            url: url, headers: headers,
            attributes: [
                ("service.name", .string(environment["OTEL_SERVICE_NAME"] ?? "martlet")),
                ("service.version", .string(Martlet.version)),
                ("service.instance.id", .string(replica)),
            ], logger: logger)
    }
}

/// A service that may be absent.
struct OptionalService<Inner: Service>: Service {
    let inner: Inner?

    func run() async throws {
        guard let inner else {
            try? await gracefulShutdown()
            return
        }
        try await inner.run()
    }
}
