internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// An HTTP server on the loopback that answers as a script says and remembers what it was asked.
///
/// It serves one connection after the other: the client under test never has two.
package final class ScriptedServer: Sendable {
    package struct Request: Sendable {
        package let method: String
        /// Path and query.
        package let path: String
        let headers: HTTPHeaders
        /// How often the same was asked before.
        package let earlier: Int

        package func header(_ name: String) -> String? { headers.first(name: name) }
        package func values(_ name: String) -> [String] { headers[name] }

        package var host: String { String((header("Host") ?? "").prefix { $0 != ":" }) }
        package var port: String {
            (header("Host") ?? "").drop { $0 != ":" }.dropFirst().description
        }
    }

    package typealias Script = @Sendable (Request) -> ScriptedReply
    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    package let port: Int
    private let script: Script
    private let log = Mutex<[Request]>([])

    private init(port: Int, script: @escaping Script) {
        self.port = port
        self.script = script
    }

    /// All requests so far, in order.
    package var requests: [Request] { log.withLock { $0 } }

    /// Runs a server for as long as `body` does.
    package static func run(
        _ script: @escaping Script, test body: (ScriptedServer) async throws -> Void
    ) async throws {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withErrorHandling: true)
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        let server = ScriptedServer(
            port: listener.channel.localAddress?.port ?? 0, script: script)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.serve(listener) }
            try await body(server)
            group.cancelAll()
        }
    }

    private func serve(_ listener: NIOAsyncChannel<Connection, Never>) async throws {
        try await listener.executeThenClose { connections in
            for try await connection in connections {
                // A client that leaves in the middle of an answer is part of some scripts.
                try? await self.answer(connection)
            }
        }
    }

    private func answer(_ connection: Connection) async throws {
        try await connection.executeThenClose { inbound, outbound in
            var head: HTTPRequestHead?
            for try await part in inbound {
                switch part {
                case .head(let received): head = received
                case .body: break
                case .end:
                    guard let head else { return }
                    let reply = self.script(self.record(head))
                    guard try await reply.send(to: outbound, hasBody: head.method != .HEAD) else {
                        return
                    }
                }
            }
        }
    }

    private func record(_ head: HTTPRequestHead) -> Request {
        log.withLock { requests in
            let earlier = requests.count {
                $0.path == head.uri && $0.method == head.method.rawValue
            }
            let request = Request(
                method: head.method.rawValue, path: head.uri, headers: head.headers,
                earlier: earlier)
            requests.append(request)
            return request
        }
    }
}
