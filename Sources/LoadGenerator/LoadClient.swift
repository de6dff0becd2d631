package import AsyncHTTPClient
internal import Foundation
internal import JSONTree
internal import NIOCore
internal import NIOHTTP1
internal import OpenAIWire

/// A server under load: any that speaks OpenAI's completions, or llama.cpp's with its `lora` field.
package struct LoadTarget: Sendable {
    package enum Style: String, Sendable, CaseIterable {
        /// The adapter is the request's `model`.
        case openai
        /// The adapter is scaled to 1 in the request's `lora` list, all others to 0.
        case llamacpp
    }

    package var url: String
    package var style: Style
    package var key: String?
    /// The base model's name.
    package var base: String
    /// Names of the adapters, or for llama.cpp their ids.
    package var adapters: [String]

    /// Asks the server what it serves: the models after the first that name it as their parent, or for
    /// llama.cpp all its adapters.
    ///
    /// - Throws: `LoadError`.
    package init(url: String, style: Style, key: String?, client: HTTPClient) async throws {
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.style = style
        self.key = key
        (base, adapters) = ("base", [])
        switch style {
        case .openai:
            let models = try await get("/v1/models", client)["data"]?.arrayValue ?? []
            let names = models.compactMap { $0["id"]?.stringValue }
            guard let first = models.first(where: { $0["parent"]?.stringValue == nil }),
                let name = first["id"]?.stringValue
            else { throw LoadError(reason: "\(self.url) serves no model") }
            base = name
            adapters = zip(names, models).filter { $1["parent"]?.stringValue != nil }.map(\.0)
        case .llamacpp:
            let loaded = try? await get("/lora-adapters", client).arrayValue
            adapters = (loaded ?? []).indices.map(String.init)
        }
    }

    private func get(_ path: String, _ client: HTTPClient) async throws -> JSON {
        var request = HTTPClientRequest(url: url + path)
        if let key { request.headers.add(name: "Authorization", value: "Bearer \(key)") }
        let response = try await client.execute(request, timeout: .seconds(10))
        let body = try await response.body.collect(upTo: 16 << 20)
        guard response.status == .ok else {
            let hint = response.status == .unauthorized ? "; give its key with --key" : ""
            throw LoadError(reason: "\(url)\(path) answered \(response.status.code)\(hint)")
        }
        return try JSON(parsing: Array(body.readableBytesView))
    }

    /// Sends one request and waits for its end.
    package func send(_ request: Workload.Request, client: HTTPClient) async -> LoadOutcome {
        var outcome = LoadOutcome()
        outcome.adapter = request.adapter
        let clock = ContinuousClock()
        let start = clock.now
        do {
            var http = HTTPClientRequest(url: url + "/v1/completions")
            http.method = .POST
            http.headers.add(name: "Content-Type", value: "application/json")
            // A connection each: some servers close idle ones just when they are used again.
            http.headers.add(name: "Connection", value: "close")
            if let key { http.headers.add(name: "Authorization", value: "Bearer \(key)") }
            http.body = .bytes(Array(body(of: request).text().utf8))
            let response = try await client.execute(http, timeout: .hours(1))
            guard response.status == .ok else {
                let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
                throw LoadError(reason: "status \(response.status.code): \(text.prefix(200))")
            }
            var events = EventReader()
            for try await buffer in response.body {
                for event in try events.add(Array(buffer.readableBytesView)) {
                    let now = (clock.now - start) / .seconds(1)
                    if event["choices"]?.arrayValue?.isEmpty == false { outcome.pieces.append(now) }
                    if let usage = event["usage"], !usage.isNull {
                        outcome.promptTokens = usage["prompt_tokens"]?.integerValue ?? 0
                        outcome.newTokens = usage["completion_tokens"]?.integerValue ?? 0
                    }
                }
            }
            guard events.isDone else { throw LoadError(reason: "the stream ended early") }
            if outcome.newTokens == 0 { outcome.newTokens = outcome.pieces.count }
        } catch let error as LoadError {
            outcome.failure = error.reason
        } catch {
            outcome.failure = "\(error)"
        }
        outcome.end = (clock.now - start) / .seconds(1)
        return outcome
    }

    func body(of request: Workload.Request) -> JSON {
        var body = JSON.Object([
            ("model", .string(base)), ("prompt", .string(request.prompt)),
            ("max_tokens", .integer(request.newTokens)), ("temperature", .integer(0)),
            ("ignore_eos", .bool(true)), ("stream", .bool(true)),
            ("stream_options", .object(JSON.Object([("include_usage", .bool(true))]))),
        ])
        switch style {
        case .openai:
            if let adapter = request.adapter { body["model"] = .string(adapters[adapter]) }
        case .llamacpp:
            body["cache_prompt"] = .bool(false)
            body["lora"] = .array(
                adapters.indices.map { index in
                    .object(
                        JSON.Object([
                            ("id", .integer(index)),
                            ("scale", .number(index == request.adapter ? 1 : 0)),
                        ]))
                })
        }
        return .object(body)
    }
}

package struct LoadError: Error, CustomStringConvertible {
    package let reason: String

    package var description: String { reason }
}
