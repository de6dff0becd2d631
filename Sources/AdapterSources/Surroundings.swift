internal import AsyncHTTPClient
package import Foundation
internal import NIOCore
internal import NIOPosix

/// What a source client takes from the world besides connections; tests bring their own.
package struct Surroundings: Sendable {
    /// The addresses of a host, the most promising first.
    package var resolve: @Sendable (_ host: String, _ port: Int) async throws -> [NetworkAddress]
    package var sleep: @Sendable (Duration) async throws -> Void
    /// The time that signatures carry.
    package var date: @Sendable () -> Date
    /// A number from 0 up to 1, for the pauses between tries.
    package var jitter: @Sendable () -> Double

    package init(
        resolve: @escaping @Sendable (_ host: String, _ port: Int) async throws -> [NetworkAddress],
        sleep: @escaping @Sendable (Duration) async throws -> Void,
        date: @escaping @Sendable () -> Date, jitter: @escaping @Sendable () -> Double
    ) {
        self.resolve = resolve
        self.sleep = sleep
        self.date = date
        self.jitter = jitter
    }

    /// The system's resolver and clocks, and unseeded jitter.
    package static let system = Surroundings(
        resolve: { try await Surroundings.systemAddresses(of: $0, port: $1) },
        sleep: { try await Task.sleep(for: $0) },
        date: { Date() },
        jitter: { Double.random(in: 0..<1) })

    /// Asks `getaddrinfo` through the one resolver that SwiftNIO makes public. IPv6 and IPv4 take turns,
    /// so that the first few addresses have both.
    private static func systemAddresses(of host: String, port: Int) async throws -> [NetworkAddress]
    {
        let resolver = NIORandomizedDNSResolver(loop: HTTPClient.defaultEventLoopGroup.any())
        let sixes = resolver.initiateAAAAQuery(host: host, port: port)
        let fours = resolver.initiateAQuery(host: host, port: port)
        let families = [try await sixes.get(), try await fours.get()]
        let count = families.map(\.count).max() ?? 0
        let found = (0..<count).flatMap { index in
            families.compactMap { index < $0.count ? $0[index].ipAddress : nil }
        }
        return found.compactMap { NetworkAddress($0) }
    }
}
