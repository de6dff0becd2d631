internal import AsyncHTTPClient
internal import Foundation
internal import JSONTree
internal import NIOCore
internal import NIOHTTP1
internal import OpenAIWire
internal import Placement

/// A replica's admin routes, as the router uses them.
struct ReplicaClient: Sendable {
    let client: HTTPClient
    /// The replicas' admin key; nil for open ones.
    let key: String?

    /// A report of a hundred thousand adapters.
    private static let reportByteLimit = 64 << 20
    /// Replicas say something every half second.
    private static let silence = TimeAmount.seconds(5)

    static func makeClient() -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = .seconds(1)
        configuration.timeout.read = silence
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 8
        return HTTPClient(
            eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: configuration)
    }

    /// Hands on a replica's reports until its stream ends.
    ///
    /// - Throws: what broke it off.
    func follow(_ replica: String, hear: (ReplicaReport) -> Void) async throws {
        let response = try await client.execute(
            request("http://\(replica)/admin/state?stream=true"), timeout: .hours(24 * 365))
        guard response.status == .ok else { throw ReplicaError(Int(response.status.code)) }
        var events = EventReader(limit: ReplicaClient.reportByteLimit)
        for try await buffer in response.body {
            for json in try events.add(Array(buffer.readableBytesView)) {
                hear(try ReplicaReport(json))
            }
        }
    }

    /// Has a replica bring an adapter into RAM; returns when it is there.
    func warm(_ adapter: String, on replica: String) async throws {
        let allowed = CharacterSet.urlPathAllowed.subtracting(CharacterSet(charactersIn: "/"))
        guard let name = adapter.addingPercentEncoding(withAllowedCharacters: allowed) else {
            return
        }
        var request = request("http://\(replica)/admin/adapters/\(name)/warm")
        request.method = .POST
        // As long as a fetch may take.
        let response = try await client.execute(request, timeout: .hours(1))
        guard response.status == .ok else { throw ReplicaError(Int(response.status.code)) }
        _ = try await response.body.collect(upTo: 1 << 20)
    }

    /// What another router says of itself.
    func peer(_ router: String) async throws -> JSON {
        let response = try await client.execute(
            request("http://\(router)/demand"), timeout: .seconds(2))
        let body = try await response.body.collect(upTo: 1 << 16)
        return try JSON(parsing: Array(body.readableBytesView))
    }

    private func request(_ url: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url)
        if let key { request.headers.add(name: "Authorization", value: "Bearer \(key)") }
        return request
    }
}

struct ReplicaError: Error, CustomStringConvertible {
    let status: Int

    init(_ status: Int) { self.status = status }

    var description: String {
        switch status {
        case 401, 403: "it answers \(status): give the router its admin key"
        case 404: "it answers 404: is it a Martlet server of this release?"
        default: "it answers \(status)"
        }
    }
}
