internal import AdapterStore
internal import Crypto
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import OpenAIWire
internal import Synchronization

/// Who may use the server: one line a key, `name: key`. The name `admin` may load and unload
/// adapters too.
public struct APIKeys: Sendable {
    /// By the key's hash, so that comparing takes the same time whatever the key.
    private let tenants: [[UInt8]: Tenant]

    /// - Throws: `APIKeysError` naming the line at fault, never a key.
    public init(text: String) throws(APIKeysError) {
        var tenants: [[UInt8]: Tenant] = [:]
        // By scalars: to Swift's strings the line end of Windows is one character.
        let lines = text.unicodeScalars.split(omittingEmptySubsequences: false) { $0 == "\n" }
        for (index, line) in lines.map({ String($0) }).enumerated() {
            let line = line.trimmingCharacters(in: .whitespacesAndNewlines)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let colon = line.firstIndex(of: ":") else {
                throw APIKeysError("line \(index + 1) is not of the form \"name: key\"")
            }
            let name = line[..<colon].trimmingCharacters(in: .whitespaces)
            let key = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            guard !name.isEmpty, key.utf8.count >= 8, !key.contains(" ") else {
                throw APIKeysError(
                    "line \(index + 1) lacks a name, or its key has fewer than 8 characters or a space"
                )
            }
            guard tenants.updateValue(Tenant(name: name), forKey: APIKeys.hash(key)) == nil else {
                throw APIKeysError("the key in line \(index + 1) stands twice")
            }
        }
        guard !tenants.isEmpty else { throw APIKeysError("there is no key") }
        self.tenants = tenants
    }

    private static func hash(_ key: String) -> [UInt8] { Array(SHA256.hash(data: Array(key.utf8))) }

    func tenant(for key: String) -> Tenant? { tenants[APIKeys.hash(key)] }
}

/// The keys that count now; they can be replaced while the server runs.
package final class KeyRing: Sendable {
    private let current: Mutex<APIKeys>

    package init(_ keys: APIKeys) { current = Mutex(keys) }

    package var keys: APIKeys {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}

/// The owner of a key.
struct Tenant: Sendable, Equatable {
    var name: String
    var isAdmin: Bool { name == "admin" }
}

/// A key file that cannot be used.
public struct APIKeysError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// Asks for a key on servers that have some.
struct Authentication: RouterMiddleware {
    typealias Context = APIContext

    let keyRing: KeyRing?

    func handle(
        _ request: Request, context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        guard let keys = keyRing?.keys else { return try await next(request, context) }
        var context = context
        context.tenant = try keys.tenant(request)
        let name = context.tenant?.name ?? ""
        context.logger[metadataKey: "tenant"] = .string(name)
        return try await AdapterLibrary.$client.withValue(name) { [context] in
            try await next(request, context)
        }
    }
}

/// Lets only the admin key pass. A server without keys may be looked at, and not changed.
struct AdminOnly: RouterMiddleware {
    typealias Context = APIContext

    func handle(
        _ request: Request, context: APIContext,
        next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        guard let tenant = context.tenant else {
            // Bringing an adapter into memory is no more than a request for it does.
            let isWarm = request.method == .post && request.uri.path.hasSuffix("/warm")
            if request.method == .get || request.method == .head || isWarm {
                return try await next(request, context)
            }
            throw APIError(
                status: 403, type: "permission_error", code: "admin_key_required",
                message: "This route needs the admin key, and the server was started without keys. "
                    + "Start it with --api-key-file FILE, a file with a line \"admin: KEY\".")
        }
        guard tenant.isAdmin else {
            throw APIError(
                status: 403, type: "permission_error", code: "admin_key_required",
                message: "This route needs the admin key.")
        }
        return try await next(request, context)
    }
}

extension APIKeys {
    fileprivate func tenant(_ request: Request) throws -> Tenant {
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
        guard let tenant = tenant(for: key) else {
            throw APIError(
                status: 401, type: "authentication_error", code: "invalid_api_key",
                message: "The API key is not known to this server.")
        }
        return tenant
    }
}
