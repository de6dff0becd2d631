internal import AsyncHTTPClient
internal import NIOHTTP1

/// What is asked of a source's server, and of those it redirects to.
struct SourceRequest: Sendable {
    var method = HTTPMethod.GET
    var address: WebAddress
    var service: RemoteService
    var headers = HTTPHeaders()
    /// Headers for the first origin alone.
    var originHeaders = HTTPHeaders()
    /// Whether a redirect to another origin is the answer, not a way to it.
    var stopsAtOtherOrigins = false
}

extension SourceTransport {
    /// Sends a request, follows redirects as far as the policy lets them lead, and reads the answer
    /// that is none.
    func send<Value>(
        _ request: SourceRequest, until deadline: ContinuousClock.Instant,
        _ read: (SourceAnswer) async throws(SourceError) -> Value
    ) async throws(SourceError) -> Value {
        if let refusal = policy.refusal(of: request.address, for: request.service) {
            throw SourceError(.sourceNotAllowed, refusal)
        }
        var address = request.address
        for _ in 0...policy.redirectLimit {
            let asked = address
            let outcome: Outcome<Value> = try await exchange(
                message(for: request, at: asked), with: asked, until: deadline
            ) { (response: HTTPClientResponse) async throws(SourceError) -> Outcome<Value> in
                let answer = SourceAnswer(response: response, address: asked)
                if let target = try redirection(of: answer, request) { return .redirect(target) }
                return .value(try await read(answer))
            }
            switch outcome {
            case .value(let value): return value
            case .redirect(let target): address = target
            }
        }
        throw SourceError(
            .redirectRefused,
            "\(request.address) redirects more than \(policy.redirectLimit) times")
    }

    private func message(for request: SourceRequest, at address: WebAddress) -> HTTPClientRequest {
        var message = HTTPClientRequest(url: address.description)
        message.method = request.method
        message.headers = request.headers
        if address.origin == request.address.origin {
            message.headers.add(contentsOf: request.originHeaders)
        }
        message.headers.add(name: "User-Agent", value: "martlet")
        message.headers.add(name: "Accept-Encoding", value: "identity")
        request.service.authorize(
            &message.headers, method: request.method, address: address, at: surroundings.date())
        return message
    }

    /// Where an answer leads on; nil when it is to be read itself.
    private func redirection(
        of answer: SourceAnswer, _ request: SourceRequest
    ) throws(SourceError) -> WebAddress? {
        guard [301, 302, 303, 307, 308].contains(answer.response.status.code) else { return nil }
        func refused(_ reason: String) -> SourceError {
            SourceError(.redirectRefused, "\(answer.address.withoutQuery) redirects: \(reason)")
        }
        if case .s3 = request.service {
            // A signature holds for one host, so the new one could not be asked anyway.
            let region =
                answer.header("x-amz-bucket-region").map { "; the bucket is in \($0)" } ?? ""
            throw refused("check the S3 endpoint and region" + region)
        }
        guard let location = answer.header("Location"),
            let target = WebAddress(location: location, from: answer.address)
        else { throw refused("there is no https or http URL in its Location") }
        if request.stopsAtOtherOrigins, target.origin != request.address.origin { return nil }
        guard target.scheme == .https || answer.address.scheme == .http else {
            throw refused("\(target.withoutQuery) is not https")
        }
        if let refusal = policy.refusal(of: target, for: request.service) { throw refused(refusal) }
        return target
    }
}

/// One step on the way to an answer.
private enum Outcome<Value> {
    case value(Value)
    case redirect(WebAddress)
}
