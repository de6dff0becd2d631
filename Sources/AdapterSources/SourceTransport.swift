internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1

/// Sends requests over connections to addresses that the policy allows.
///
/// A host is resolved here, its addresses are checked, and the connection is made to one of those
/// addresses: each exchange has an HTTP client of its own, whose `dnsOverride` maps the host to the
/// literal address. Nobody asks for the name again, so an answer that changes between check and
/// connection changes nothing, and no connection is left over for a later exchange to inherit. TLS
/// still asks for and verifies the certificate of the host.
struct SourceTransport: Sendable {
    let policy: SourcePolicy
    let surroundings: Surroundings

    /// How many addresses of one host are tried.
    private static let addressLimit = 4

    /// Sends one request and reads its answer. Redirects are answers here.
    ///
    /// - Parameter read: called once, with the answer's head; the connection closes when it returns.
    func exchange<Value>(
        _ request: HTTPClientRequest, with address: WebAddress,
        until deadline: ContinuousClock.Instant,
        _ read: (HTTPClientResponse) async throws(SourceError) -> Value
    ) async throws(SourceError) -> Value {
        var failure = SourceError(.unreachable, "\(address.host) has no address")
        for target in try await targets(of: address).prefix(SourceTransport.addressLimit) {
            let client = HTTPClient(
                eventLoopGroup: HTTPClient.defaultEventLoopGroup,
                configuration: configuration(host: address.host, target: target))
            let response: HTTPClientResponse
            do {
                let patience = max(.zero, deadline - ContinuousClock.now)
                response = try await client.execute(
                    request, deadline: NIODeadline.now() + TimeAmount(patience))
            } catch {
                await close(client)
                failure = SourceTransport.failure(error, asking: address)
                guard failure.code == .unreachable else { throw failure }
                continue
            }
            do throws(SourceError) {
                let value = try await read(response)
                await close(client)
                return value
            } catch {
                await close(client)
                throw error
            }
        }
        throw failure
    }

    /// Runs `body` until it succeeds, fails for good, or has failed as often as the policy allows.
    func retrying<Value>(
        until deadline: ContinuousClock.Instant, _ body: () async throws(SourceError) -> Value
    ) async throws(SourceError) -> Value {
        var failures = 0
        while true {
            do throws(SourceError) {
                return try await body()
            } catch {
                failures += 1
                guard error.isTransient,
                    let pause = policy.retries.pause(
                        after: failures, jitter: surroundings.jitter(),
                        retryAfter: error.retryAfter),
                    ContinuousClock.now + pause < deadline
                else { throw error }
                do {
                    try await surroundings.sleep(pause)
                } catch {
                    throw SourceError(.cancelled, "cancelled while waiting to try again")
                }
            }
        }
    }

    /// The checked addresses of a host. One that is not allowed refuses the host, whatever else it
    /// has: honest hosts do not mix.
    private func targets(of address: WebAddress) async throws(SourceError) -> [NetworkAddress] {
        let found: [NetworkAddress]
        if let literal = NetworkAddress(address.host) {
            found = [literal]
        } else {
            do {
                found = try await surroundings.resolve(address.host, address.port)
            } catch {
                throw SourceError(.unreachable, "\(address.host) cannot be resolved: \(error)")
            }
        }
        for target in found { try policy.check(target, of: address.host) }
        return found
    }

    private func configuration(host: String, target: NetworkAddress) -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.dnsOverride = [host: target.description]
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        configuration.timeout.connect = TimeAmount(policy.connectTimeout)
        configuration.timeout.read = TimeAmount(policy.idleTimeout)
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }

    /// Closing fails only where there is nothing left to close.
    private func close(_ client: HTTPClient) async { try? await client.shutdown() }

    /// What the client says when no answer came, in our words.
    static func failure(_ error: any Error, asking address: WebAddress) -> SourceError {
        let known = error as? HTTPClientError
        if error is CancellationError || known == .cancelled {
            return SourceError(.cancelled, "cancelled while asking \(address.host)")
        }
        if known == .readTimeout || known == .deadlineExceeded {
            return SourceError(.timeout, "\(address.host) did not answer in time")
        }
        return SourceError(.unreachable, "\(address.host) cannot be reached: \(error)")
    }
}
