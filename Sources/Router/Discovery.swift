internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOPosix
internal import Yams

/// Where the replicas are: asked again and again, so that they may come and go.
package enum Discovery: Sendable, Equatable {
    /// A file that lists them: a `host:port` a line, or llm-d's `endpoints:`.
    case file(String)
    /// All addresses of a name, such as a headless Service's, at one port.
    case name(String, port: Int)
    case list([Address])

    package struct Address: Sendable, Equatable {
        package var host: String
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    /// Reads what the command line says: `file:PATH`, `dns:NAME:PORT`, or `HOST:PORT,HOST:PORT`.
    ///
    /// - Throws: `DiscoveryError`.
    package init(_ text: String) throws(DiscoveryError) {
        if text.hasPrefix("file:") {
            self = .file(String(text.dropFirst(5)))
        } else if text.hasPrefix("dns:") {
            let address = try Discovery.address(String(text.dropFirst(4)))
            self = .name(address.host, port: address.port)
        } else {
            var addresses: [Address] = []
            for part in text.split(separator: ",") {
                addresses.append(
                    try Discovery.address(part.trimmingCharacters(in: .whitespaces)))
            }
            self = .list(addresses)
        }
    }

    /// The replicas as `ip:port`: Envoy's endpoints are addresses, not names.
    ///
    /// - Throws: `DiscoveryError` when the file cannot be read or a name cannot be resolved.
    package func endpoints() async throws(DiscoveryError) -> [String] {
        let addresses: [Address]
        switch self {
        case .file(let path): addresses = try Discovery.read(path)
        case .name(let name, let port):
            // A headless Service without replicas has no addresses, which is no failure.
            let found = (try? await Resolver.addresses(of: name)) ?? []
            return found.map { Discovery.text($0, port) }
        case .list(let list): addresses = list
        }
        var endpoints: [String] = []
        for address in addresses {
            for ip in try await Resolver.addresses(of: address.host).prefix(1) {
                endpoints.append(Discovery.text(ip, address.port))
            }
        }
        return endpoints
    }

    private static func text(_ ip: String, _ port: Int) -> String {
        ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }

    static func address(_ text: String) throws(DiscoveryError) -> Address {
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port)
        else { throw DiscoveryError("\"\(text.prefix(200))\" is no HOST:PORT") }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, host.utf8.count <= 253 else {
            throw DiscoveryError("\"\(text.prefix(200))\" is no HOST:PORT")
        }
        return Address(host: String(host), port: port)
    }

    // MARK: Files

    private static let fileByteLimit = 1 << 20

    private static func read(_ path: String) throws(DiscoveryError) -> [Address] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw DiscoveryError("there is no readable file at \(path)")
        }
        guard data.count <= fileByteLimit, let text = String(data: data, encoding: .utf8) else {
            throw DiscoveryError("\(path) is larger than 1 MiB, or not UTF-8")
        }
        return try parse(text)
    }

    static func parse(_ text: String) throws(DiscoveryError) -> [Address] {
        let lines = text.split(whereSeparator: \.isNewline)
            .map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard !lines.contains(where: { $0.hasPrefix("endpoints:") || $0.hasPrefix("{") }) else {
            return try parseEndpoints(text)
        }
        var addresses: [Address] = []
        for line in lines { addresses.append(try address(line)) }
        return addresses
    }

    /// llm-d's format: https://github.com/llm-d/llm-d-router/blob/main/docs/discovery.md
    private static func parseEndpoints(_ text: String) throws(DiscoveryError) -> [Address] {
        guard let root = try? Yams.compose(yaml: text), let list = root["endpoints"]?.sequence
        else { throw DiscoveryError("it is no YAML with a list `endpoints`") }
        var addresses: [Address] = []
        for entry in list {
            guard let host = entry["address"]?.scalar?.string,
                let port = entry["port"]?.scalar?.string
            else { throw DiscoveryError("an endpoint has no address or no port") }
            addresses.append(
                try address(host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"))
        }
        return addresses
    }
}

package struct DiscoveryError: Error, CustomStringConvertible, Equatable {
    package let description: String

    init(_ description: String) { self.description = description }
}

enum Resolver {
    /// A name's addresses, each once, in order.
    static func addresses(of host: String) async throws(DiscoveryError) -> [String] {
        if (try? SocketAddress(ipAddress: host, port: 1)) != nil { return [host] }
        do {
            let resolver = NIORandomizedDNSResolver(loop: HTTPClient.defaultEventLoopGroup.any())
            let sixes = resolver.initiateAAAAQuery(host: host, port: 1)
            let found =
                try await sixes.get()
                + resolver.initiateAQuery(host: host, port: 1).get()
            return Set(found.compactMap(\.ipAddress)).sorted()
        } catch {
            throw DiscoveryError("the name \(host) has no address")
        }
    }
}
