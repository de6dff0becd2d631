internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import Generation
internal import Metrics
internal import NIOCore
internal import OpenAIWire
internal import Synchronization
internal import Tenants

/// What goes with a request through the server.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The client's own where it sends one, see `name`.
    private(set) var requestID: String
    /// The trace it belongs to.
    private(set) var trace = TraceContext()
    /// Names the request, and whoever asks, on every line.
    var logger: Logger
    private let channel: any Channel
    /// Who asks; nil on a server without keys.
    var tenant: KeyHolder?
    /// The same, for what goes on around the routes.
    let caller = Caller()

    init(source: Source) {
        coreContext = .init(source: source)
        channel = source.channel
        requestID = UUID().uuidString.lowercased().replacingOccurrences(of: "-", with: "")
        logger = Logger(label: "martlet.http")
        logger[metadataKey: "request"] = .string(requestID)
    }

    var maxUploadSize: Int { 4 << 20 }

    /// Takes over what a client, or a proxy before it, calls the request: `X-Request-Id`, and the trace of
    /// `traceparent` (W3C Trace Context). What is not of their forms is not looked at.
    mutating func name(by headers: HTTPFields) {
        if let given = headers.first(named: "x-request-id"), (1...64).contains(given.utf8.count),
            given.utf8.allSatisfy(APIContext.isNameByte)
        {
            requestID = given
            logger[metadataKey: "request"] = .string(given)
        }
        guard let given = headers.first(named: "traceparent").flatMap({ TraceContext($0) }) else {
            return
        }
        trace = given
        logger[metadataKey: "trace"] = .string(given.trace)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-_.:".utf8.contains(byte)
        }
    }

    /// Whether whoever asks may know of the server's files and of others' names: admins, observers, and everybody on a server
    /// without keys.
    var isOperator: Bool {
        guard let role = tenant?.terms.role else { return true }
        return role == .admin || role == .observer
    }

    /// The models that it may ask for.
    var scope: ModelScope {
        guard let tenant else { return .all }
        let terms = tenant.terms
        if tenant.isAdmin { return .all }
        return ModelScope(client: isOperator ? nil : tenant.name) { terms.allows($0) }
    }

    /// Tells when the client leaves.
    func departure() async -> Departure {
        let channel = channel
        let found = try? await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.handler(type: ConnectionWatch.self).departure
        }.get()
        return found ?? Departure()
    }
}

/// Whose key a request came with, once that is known.
final class Caller: Sendable {
    private let state = Mutex<KeyHolder?>(nil)

    var holder: KeyHolder? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

extension HTTPFields {
    fileprivate func first(named name: String) -> String? {
        HTTPField.Name(name).flatMap { self[$0] }
    }
}

/// Turns every error into the API's JSON, names each request, and logs how it went.
struct ErrorMiddleware: RouterMiddleware {
    typealias Context = APIContext

    let meters: KeyMeters

    func handle(
        _ request: Request, context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var context = context
        context.name(by: request.headers)
        var response: Response
        var code = "ok"
        do {
            response = try await next(request, context)
        } catch is CancellationError {
            context.logger.debug("client left", metadata: ["path": .string(request.uri.path)])
            throw CancellationError()
        } catch {
            let answer = APIError(error)
            if answer.status >= 500 {
                context.logger.error("request failed", metadata: ["error": .string("\(error)")])
            }
            code = answer.code
            response = answer.response(isMessages: request.uri.path.hasPrefix("/v1/messages"))
        }
        // Of errors too: a body after HEAD would be taken for the next response.
        if request.method == .head { response = response.createHeadResponse() }
        if let name = HTTPField.Name("x-request-id") { response.headers[name] = context.requestID }
        if let holder = context.caller.holder {
            for header in meters.headers(holder) {
                if let name = HTTPField.Name(header.name) { response.headers[name] = header.value }
            }
        }
        let path = response.status == .notFound ? "other" : context.endpointPath ?? "other"
        Counter(
            label: "martlet_http_requests_total",
            dimensions: [("path", path), ("status", "\(response.status.code)")]
        ).increment()
        // Completions have a line of their own when they end well.
        let isNotable =
            response.status.code >= 400
            || request.method != .get
                && !path.hasSuffix("completions")
        context.logger.log(
            level: isNotable ? .info : .debug, "request",
            metadata: [
                "method": .string(request.method.rawValue), "path": .string(request.uri.path),
                "status": "\(response.status.code)",
                "code": .string(code), "seconds": "\((ContinuousClock.now - start) / .seconds(1))",
            ])
        return response
    }
}
