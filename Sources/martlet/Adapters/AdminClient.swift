import ArgumentParser
import AsyncHTTPClient
import Foundation
import JSONTree
import LoadGenerator
import NIOCore
import NIOHTTP1
import OpenAIWire

/// The admin routes of a running server.
struct AdminClient: Sendable {
    /// Without a slash at its end.
    private let url: String
    private let key: String?
    private let client: HTTPClient

    /// A hundred thousand adapters fit.
    private static let answerByteLimit = 256 << 20

    /// A key is for one server: redirects are answers, not ways.
    static var configuration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }

    init(url: String, key: String?, client: HTTPClient) {
        self.url = url
        self.key = key
        self.client = client
    }

    // MARK: Routes

    /// All names and the tiers, as the server says it.
    func listing() async throws -> JSON { try await send(.GET, "adapters") }

    func adapters() async throws -> (adapters: [AdapterStatus], tiers: TiersStatus) {
        let answer = try await listing()
        guard let entries = answer["adapters"]?.arrayValue else { throw AdminError(stranger: url) }
        return (try entries.map { try status($0) }, TiersStatus(answer["tiers"] ?? .null))
    }

    func adapter(_ name: String) async throws -> AdapterStatus {
        try status(try await send(.GET, try path(name)))
    }

    /// Makes a name stand for what `content` says.
    func put(_ name: String, _ content: JSON.Object) async throws -> AdapterStatus {
        try status(try await send(.PUT, try path(name), .object(content)))
    }

    func remove(_ name: String) async throws { _ = try await send(.DELETE, try path(name)) }

    /// - Parameter action: pin, unpin, warm or demote.
    func tell(_ name: String, to action: String) async throws -> AdapterStatus {
        try status(try await send(.POST, try path(name) + "/" + action))
    }

    /// - Returns: whether the pack was whole.
    func verify(_ name: String) async throws -> Bool {
        try await send(.POST, try path(name) + "/verify")["whole"]?.boolValue ?? true
    }

    func tiers() async throws -> TiersStatus { TiersStatus(try await send(.GET, "tiers")) }

    /// Hands on what happens until the server ends the stream.
    func forEachEvent(_ body: (JSON) throws -> Void) async throws {
        let response = try await answer(.GET, "events")
        guard response.status == .ok else {
            throw try await failure(response)
        }
        var reader = EventReader()
        do {
            for try await buffer in response.body {
                for event in try reader.add(Array(buffer.readableBytesView)) { try body(event) }
            }
        } catch let exit as ExitCode {
            throw exit
        } catch {
            throw AdminError(brokenOff: url, by: error)
        }
    }

    // MARK: Requests

    private func path(_ name: String) throws -> String { try AdminClient.path("adapters", name) }

    static func path(_ kind: String, _ name: String) throws -> String {
        let allowed = CharacterSet.urlPathAllowed.subtracting(CharacterSet(charactersIn: "/"))
        guard !name.isEmpty,
            let escaped = name.addingPercentEncoding(withAllowedCharacters: allowed)
        else { throw AdminError("A name is not empty.") }
        return kind + "/" + escaped
    }

    private func status(_ json: JSON) throws -> AdapterStatus {
        guard let status = AdapterStatus(json) else { throw AdminError(stranger: url) }
        return status
    }

    func send(
        _ method: HTTPMethod, _ path: String, _ body: JSON? = nil
    ) async throws -> JSON {
        let response = try await answer(method, path, body)
        guard [.ok, .created].contains(response.status) else { throw try await failure(response) }
        guard let json = try await json(response) else { throw AdminError(stranger: url) }
        return json
    }

    /// Waits long: a source may be large and far away.
    private func answer(
        _ method: HTTPMethod, _ path: String, _ body: JSON? = nil
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: "\(url)/admin/\(path)")
        request.method = method
        if let key { request.headers.add(name: "Authorization", value: "Bearer \(key)") }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(Array(body.text().utf8))
        }
        do {
            return try await client.execute(request, timeout: .hours(24))
        } catch {
            throw AdminError(silent: url, error)
        }
    }

    private func json(_ response: HTTPClientResponse) async throws -> JSON? {
        do {
            let body = try await response.body.collect(upTo: AdminClient.answerByteLimit)
            return try? JSON(parsing: Array(body.readableBytesView))
        } catch {
            throw AdminError(brokenOff: url, by: error)
        }
    }

    private func failure(_ response: HTTPClientResponse) async throws -> AdminError {
        AdminError(
            status: Int(response.status.code), answer: try await json(response), from: url)
    }
}
