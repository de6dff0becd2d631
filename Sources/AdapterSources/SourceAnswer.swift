internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1

/// The head of an answer, and its body to be read.
struct SourceAnswer: Sendable {
    let response: HTTPClientResponse
    /// Who answered, after redirects.
    let address: WebAddress

    var status: Int { Int(response.status.code) }

    func header(_ name: String) -> String? { response.headers.first(name: name) }

    /// A size that a header declares; nil for what no file can have.
    func byteCount(_ name: String) -> Int? {
        guard let count = header(name).flatMap({ Int($0) }), (0...1 << 50).contains(count) else {
            return nil
        }
        return count
    }

    var tag: EntityTag? { header("ETag").flatMap { EntityTag($0) } }

    /// Reads the whole body.
    ///
    /// - Throws: `SourceError`: `too_large` when it is longer than `limit`, or what broke it off.
    func body(limit: Int, until deadline: ContinuousClock.Instant) async throws(SourceError)
        -> [UInt8]
    {
        var bytes: [UInt8] = []
        do {
            for try await buffer in response.body {
                bytes += buffer.readableBytesView
                if bytes.count > limit {
                    throw SourceError(
                        .tooLarge, "\(address.withoutQuery) sends more than \(limit) bytes")
                }
                if ContinuousClock.now >= deadline {
                    throw SourceError(.timeout, "\(address.withoutQuery) takes too long")
                }
            }
        } catch {
            throw interruption(error)
        }
        return bytes
    }

    /// What broke the body off, in our words.
    func interruption(_ error: any Error) -> SourceError {
        if let error = error as? SourceError { return error }
        let failure = SourceTransport.failure(error, asking: address)
        guard failure.code == .unreachable else { return failure }
        return SourceError(.truncated, "\(address.withoutQuery) broke off: \(error)")
    }

    /// What an answer that brings nothing means, and what to do about it.
    var failure: SourceError {
        // The Hub says in a header what its status alone does not.
        let said = header("X-Error-Message").map { ": " + String($0.prefix(200)) } ?? ""
        let place = address.withoutQuery
        switch status {
        case 401, 403:
            return SourceError(
                .unauthorized,
                "\(place) answers \(status)\(said). Check that it exists and that the token or key "
                    + "configured for its server may read it.")
        case 404, 410:
            return SourceError(.notFound, "\(place) does not exist\(said)")
        case 408, 425, 429, 500, 502, 503, 504:
            var error = SourceError(.unavailable, "\(place) answers \(status)\(said)")
            if let seconds = header("Retry-After").flatMap({ Int($0) }), seconds > 0 {
                error.retryAfter = .seconds(seconds)
            }
            return error
        default:
            return SourceError(.malformedAnswer, "\(place) answers \(status)\(said)")
        }
    }
}
