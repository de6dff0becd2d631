import ArgumentParser
import AsyncHTTPClient
import Foundation

/// Which server, and what proves to it who asks.
struct ServerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The server's address, without /v1. (default: MARTLET_URL, or else http://localhost:8080)",
            valueName: "url"))
    var url: String?

    @Option(
        help: ArgumentHelp(
            "The admin key; better given in MARTLET_ADMIN_KEY, as others on this machine can see command lines.",
            valueName: "key"))
    var key: String?

    /// Lends a client of the server.
    ///
    /// - Throws: what `body` throws, and `ValidationError`.
    func withClient<Value>(
        _ body: (AdminClient) async throws -> Value
    ) async throws -> Value {
        let environment = ProcessInfo.processInfo.environment
        let url = try ServerOptions.checked(
            url: url ?? environment["MARTLET_URL"] ?? "http://localhost:8080")
        let key = try (key ?? environment["MARTLET_ADMIN_KEY"]).map {
            try ServerOptions.checked(key: $0)
        }
        let client = HTTPClient(
            eventLoopGroup: HTTPClient.defaultEventLoopGroup,
            configuration: AdminClient.configuration)
        do {
            let value = try await body(AdminClient(url: url, key: key, client: client))
            try await client.shutdown()
            return value
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private static func checked(url text: String) throws -> String {
        var url = text
        while url.hasSuffix("/") { url.removeLast() }
        if url.hasSuffix("/v1") { url.removeLast(3) }
        guard url.hasPrefix("http://") || url.hasPrefix("https://"), URL(string: url)?.host != nil
        else {
            throw ValidationError("The server's address is \"\(text)\"; write http://HOST:PORT.")
        }
        return url
    }

    /// Refused here, because whoever refuses it later may print it.
    private static func checked(key text: String) throws -> String {
        let key = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !key.isEmpty, key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ValidationError("The admin key is empty or has characters that no key has.")
        }
        return key
    }
}
