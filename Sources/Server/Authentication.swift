internal import AdapterStore
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import Logging
internal import OpenAIWire
internal import Tenants

/// Asks for a key on servers that have some.
struct Authentication: RouterMiddleware {
    typealias Context = APIContext

    let tenancy: Tenancy

    func handle(
        _ request: Request, context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        guard let keys = tenancy.keys else { return try await next(request, context) }
        var context = context
        let holder: KeyHolder
        do {
            holder = try keys.holder(of: request)
        } catch {
            tenancy.audit?.write(
                "key_refused",
                [
                    ("request", .string(context.requestID)), ("code", .string(error.code)),
                    ("path", .string(String(request.uri.path.prefix(200)))),
                ])
            throw error
        }
        context.tenant = holder
        context.caller.holder = holder
        context.logger[metadataKey: "tenant"] = .string(holder.name)
        return try await AdapterLibrary.$client.withValue(holder.name) { [context] in
            try await next(request, context)
        }
    }
}

/// Lets only those pass whose key is for this. A server without keys may be looked at, and not changed.
struct AdminOnly: RouterMiddleware {
    typealias Context = APIContext

    /// Whether those pass who manage a name space; the route then asks which names it is about.
    var letsManagersIn = false

    func handle(
        _ request: Request, context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        let reads = request.method == .get || request.method == .head
        guard let holder = context.tenant else {
            // Bringing an adapter into memory is no more than a request for it does.
            let isWarm = request.method == .post && request.uri.path.hasSuffix("/warm")
            if reads || isWarm { return try await next(request, context) }
            throw APIError(
                status: 403, type: "permission_error", code: "admin_key_required",
                message: "This route needs the admin key, and the server was started without keys. "
                    + "Start it with --api-key-file FILE, a file with a line \"admin: KEY\".")
        }
        let passes =
            switch holder.terms.role {
            case .admin: true
            case .observer: reads
            case .manager: letsManagersIn
            case .caller: false
            }
        guard passes else {
            throw APIError(
                status: 403, type: "permission_error", code: "admin_key_required",
                message: "This route needs an admin's key.")
        }
        return try await next(request, context)
    }
}

extension KeyRing {
    fileprivate func holder(of request: Request) throws(APIError) -> KeyHolder {
        // Anthropic's clients have a header of their own.
        let plain = HTTPField.Name("x-api-key").flatMap { request.headers[$0] }
        let bearer = request.headers[.authorization].flatMap { header in
            header.lowercased().hasPrefix("bearer ") ? header.dropFirst("bearer ".count) : nil
        }
        guard let given = bearer.map(String.init) ?? plain else {
            throw APIError(
                status: 401, type: "authentication_error", code: "missing_api_key",
                message: "An API key is needed: send it as \"Authorization: Bearer KEY\".")
        }
        let key = given.trimmingCharacters(in: .whitespaces)
        switch answer(to: key, at: Date().timeIntervalSince1970) {
        case .holder(let holder): return holder
        case .unknown:
            throw APIError(
                status: 401, type: "authentication_error", code: "invalid_api_key",
                message: "The API key is not known to this server.")
        case .expired:
            throw APIError(
                status: 401, type: "authentication_error", code: "expired_api_key",
                message: "The API key has expired. Ask the operator for a new one.")
        case .blocked:
            throw APIError(
                status: 403, type: "permission_error", code: "blocked_api_key",
                message: "The API key is blocked. Ask the operator why.")
        }
    }
}
