import AdapterSources
import Foundation
import Synchronization
import TestSupport
import Testing

struct HubSourceTests {
    let folder: TemporaryFolder
    let source: AdapterSource

    init() throws {
        folder = try TemporaryFolder()
        source = try AdapterSource(TinyHub.source)
    }

    var files: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted() }
    }

    func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.url.appendingPathComponent(name)))
    }

    func fetch(with client: SourceClient) async throws {
        try await client.fetch(try await client.pin(source), into: folder.url.path)
    }

    @Test func aRepositoryArrivesWhole() async throws {
        try await ScriptedServer.run(TinyHub.reply) { server in
            let client = try TinyHub.client(of: server)
            let pinned = try await client.pin(source)
            #expect(pinned.revision == TinyHub.commit && pinned.localPath == nil)
            #expect(
                pinned.files.map(\.name) == ["adapter_config.json", "adapter_model.safetensors"])
            #expect(
                pinned.files.map(\.checksum) == [
                    .gitBlob(TinyHub.configurationBlob), .sha256(TinyHub.weightsSHA256),
                ])
            #expect(pinned.byteCount == TinyHub.configuration.count + TinyHub.weights.count)
            let progress = Log<FetchProgress>()
            try await client.fetch(pinned, into: folder.url.path) { progress.add($0) }
            #expect(try files == ["adapter_config.json", "adapter_model.safetensors"])
            #expect(try bytes("adapter_config.json") == TinyHub.configuration)
            #expect(try bytes("adapter_model.safetensors") == TinyHub.weights)
            let last = try #require(progress.all.last)
            #expect(last.done == last.total && last.fileDone == TinyHub.weights.count)
            #expect(zip(progress.all, progress.all.dropFirst()).allSatisfy { $0.done <= $1.done })
        }
    }

    /// What an adapter says beside its weights comes with them; templates in a folder of their own are refused.
    @Test func textsArriveToo() async throws {
        let files = [
            "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja",
            "tokenizer.json",
        ]
        let more = Mutex<[String]>([])
        try await ScriptedServer.run { request in
            if request.path == TinyHub.listing {
                return TinyHub.siblings(files + ["other.txt"] + more.withLock { $0 })
            }
            if request.path.hasSuffix("/chat_template.jinja")
                || request.path.hasSuffix("/tokenizer.json")
            {
                return .file(
                    Array("hello".utf8), tag: "\"b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0\"",
                    to: request,
                    headers: [("X-Repo-Commit", TinyHub.commit)])
            }
            return TinyHub.reply(request)
        } test: { server in
            let client = try TinyHub.client(of: server)
            try await fetch(with: client)
            #expect(try self.files == files)
            #expect(try bytes("chat_template.jinja") == Array("hello".utf8))
            #expect(try bytes("tokenizer.json") == Array("hello".utf8))
            more.withLock { $0 = ["additional_chat_templates/rag.jinja"] }
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.description.contains("additional_chat_templates") == true)
        }
    }

    /// Hosts below `test` exist for the client alone, so each connection went where it was told.
    @Test func onlyTheHubSeesTheToken() async throws {
        try await ScriptedServer.run(TinyHub.reply) { server in
            try await fetch(with: TinyHub.client(of: server))
            let byHost = Dictionary(grouping: server.requests, by: \.host)
            #expect(Set(byHost.keys) == ["hub.test", "cdn.test"])
            for request in byHost["hub.test"] ?? [] {
                #expect(request.header("Authorization") == "Bearer hf_token")
            }
            for request in byHost["cdn.test"] ?? [] {
                #expect(request.header("Authorization") == nil)
            }
        }
    }

    @Test func aBrokenTransferGoesOnWhereItBroke() async throws {
        let gate = Gate()
        try await ScriptedServer.run { request in
            guard request.host == "cdn.test", request.earlier == 0 else {
                return TinyHub.reply(request)
            }
            var reply = ScriptedReply(body: Array(TinyHub.weights.prefix(70_000)))
            reply.declaredLength = TinyHub.weights.count
            reply.ending = .cutOff(gate)
            return reply
        } test: { server in
            let pauses = Log<Duration>()
            let client = try TinyHub.client(of: server, pauses: pauses)
            let pinned = try await client.pin(source)
            try await client.fetch(pinned, into: folder.url.path) { progress in
                if progress.fileDone == 70_000 { gate.open() }
            }
            #expect(try bytes("adapter_model.safetensors") == TinyHub.weights)
            #expect(server.requests.last?.header("Range") == "bytes=70000-")
            // The other host knows the file by another tag: the checksum decides.
            #expect(server.requests.last?.header("If-Range") == nil)
            #expect(pauses.all == [.milliseconds(375)])
        }
    }

    @Test func aLaterCallGoesOnToo() async throws {
        try folder.write(
            Array(TinyHub.weights.prefix(50_000)), to: "adapter_model.safetensors.part")
        try folder.write(
            "sha256:" + TinyHub.weightsSHA256, to: "adapter_model.safetensors.part.etag")
        try await ScriptedServer.run(TinyHub.reply) { server in
            try await fetch(with: TinyHub.client(of: server))
            #expect(server.requests.last?.header("Range") == "bytes=50000-")
            #expect(try bytes("adapter_model.safetensors") == TinyHub.weights)
            #expect(try files == ["adapter_config.json", "adapter_model.safetensors"])
        }
    }

    @Test func whatBelongsToAnotherFileIsNotContinued() async throws {
        try folder.write(
            Array(TinyHub.weights.prefix(50_000)), to: "adapter_model.safetensors.part")
        try folder.write("sha256:other", to: "adapter_model.safetensors.part.etag")
        try await ScriptedServer.run(TinyHub.reply) { server in
            try await fetch(with: TinyHub.client(of: server))
            #expect(server.requests.allSatisfy { $0.header("Range") == nil })
            #expect(try bytes("adapter_model.safetensors") == TinyHub.weights)
        }
    }

    @Test(arguments: ["cdn.test", "hub.test"])
    func wrongBytesAreRefused(host: String) async throws {
        try await ScriptedServer.run { request in
            var reply = TinyHub.reply(request)
            if request.method == "GET", request.host == host, request.path != TinyHub.listing,
                !reply.body.isEmpty
            {
                reply.body[7] ^= 1
            }
            return reply
        } test: { server in
            let error = await #expect(throws: SourceError.self) {
                try await fetch(with: TinyHub.client(of: server))
            }
            #expect(error?.code == .checksumMismatch)
            let left = try files
            #expect(left == (host == "cdn.test" ? ["adapter_config.json"] : []))
        }
    }

    @Test func anEndlessBodyIsCutOff() async throws {
        try await ScriptedServer.run { request in
            guard request.host == "cdn.test" else { return TinyHub.reply(request) }
            var reply = ScriptedReply(body: TinyHub.weights)
            reply.declaredLength = nil
            reply.ending = .endless
            return reply
        } test: { server in
            let error = await #expect(throws: SourceError.self) {
                try await fetch(with: TinyHub.client(of: server))
            }
            #expect(error?.code == .tooLarge)
            let left = try files
            #expect(left == ["adapter_config.json"])
        }
    }

    @Test func limitsHoldBeforeAnythingIsWritten() async throws {
        try await ScriptedServer.run(TinyHub.reply) { server in
            let small = try TinyHub.client(of: server) { $0.byteLimit = TinyHub.weights.count }
            let short = try TinyHub.client(of: server) { $0.configurationByteLimit = 22 }
            for client in [small, short] {
                let error = await #expect(throws: SourceError.self) {
                    try await fetch(with: client)
                }
                #expect(error?.code == .tooLarge)
                #expect(try files == [])
            }
        }
    }

    /// Where the Hub may not send a client, and what that is called.
    @Test(arguments: [
        ("http://metadata.test/latest", "private_address"),
        ("http://127.0.0.1/", "redirect_refused"), ("http://other.test/", "redirect_refused"),
        ("file:///etc/passwd", "redirect_refused"), ("http://user@cdn.test/", "redirect_refused"),
        (TinyHub.weightsPath, "redirect_refused"),
    ])
    func redirectsStayInBounds(location: String, code: String) async throws {
        try await ScriptedServer.run { request in
            request.path == TinyHub.weightsPath && request.method == "GET"
                ? TinyHub.weightsAt(location) : TinyHub.reply(request)
        } test: { server in
            let error = await #expect(throws: SourceError.self) {
                try await fetch(with: TinyHub.client(of: server))
            }
            #expect(error?.code.description == code)
            #expect(server.requests.allSatisfy { $0.host == "hub.test" })
        }
    }

    /// Each connection goes to the address that was checked: the name is not looked up again, and no
    /// other resolver knows it.
    @Test func aNameIsLookedUpOnceForEachConnection() async throws {
        try await ScriptedServer.run(TinyHub.reply) { server in
            let lookups = Log<String>()
            let client = try TinyHub.client(
                of: server,
                resolve: { host, port in
                    lookups.add(host)
                    return try TinyHub.resolve(host, port)
                })
            try await fetch(with: client)
            #expect(lookups.all == server.requests.map(\.host))
        }
    }

    @Test func aHostWithOneForbiddenAddressIsRefused() async throws {
        try await ScriptedServer.run(TinyHub.reply) { server in
            let client = try TinyHub.client(
                of: server,
                resolve: { _, _ in
                    ["127.0.0.1", "169.254.169.254"].compactMap { NetworkAddress($0) }
                })
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == .privateAddress && server.requests.isEmpty)
        }
    }

    @Test(arguments: [
        (401, "source_unauthorized"), (403, "source_unauthorized"), (404, "source_not_found"),
        (410, "source_not_found"),
        (418, "malformed_answer"), (500, "source_unavailable"), (503, "source_unavailable"),
    ])
    func statusesHaveCodes(status: Int, code: String) async throws {
        try await ScriptedServer.run { _ in
            ScriptedReply(status: status)
        } test: { server in
            let client = try TinyHub.client(of: server) { $0.retries.limit = 0 }
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code.description == code)
            #expect(server.requests.count == 1)
        }
    }

    @Test func aBusyHubIsAskedAgainWhenItSays() async throws {
        try await ScriptedServer.run { request in
            guard request.path == TinyHub.listing, request.earlier < 2 else {
                return TinyHub.reply(request)
            }
            return ScriptedReply(
                status: 503, headers: request.earlier == 0 ? [("Retry-After", "7")] : [])
        } test: { server in
            let pauses = Log<Duration>()
            let pinned = try await TinyHub.client(of: server, pauses: pauses).pin(source)
            #expect(pinned.revision == TinyHub.commit)
            #expect(pauses.all == [.seconds(7), .milliseconds(750)])
        }
    }

    @Test func patienceEnds() async throws {
        try await ScriptedServer.run { _ in
            ScriptedReply(status: 503)
        } test: { server in
            let client = try TinyHub.client(of: server) { $0.retries.limit = 3 }
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == .unavailable && server.requests.count == 4)
        }
    }

    @Test func aSilentServerTimesOut() async throws {
        try await ScriptedServer.run { request in
            var reply = TinyHub.reply(request)
            if request.host == "cdn.test" {
                reply.body.removeLast(1000)
                reply.ending = .silent
            }
            return reply
        } test: { server in
            let client = try TinyHub.client(of: server) { policy in
                policy.idleTimeout = .milliseconds(200)
                policy.retries.limit = 0
            }
            let error = await #expect(throws: SourceError.self) { try await fetch(with: client) }
            #expect(error?.code == .timeout)
        }
    }

    /// What a repository holds, and what becomes of it.
    @Test(arguments: [
        (["adapter_config.json", "adapter_model.bin"], "pickle_refused"),
        (["adapter_config.json"], "source_not_found"),
        (["adapter_model.safetensors"], "source_not_found"),
        (["a.gguf", "b.gguf"], "source_not_found"), ([], "source_not_found"),
        (["sub/adapter_config.json", "sub/adapter_model.safetensors"], "source_not_found"),
    ])
    func repositoriesWithoutAdapter(names: [String], code: String) async throws {
        try await ScriptedServer.run { _ in
            TinyHub.siblings(names)
        } test: { server in
            let client = try TinyHub.client(of: server)
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code.description == code)
        }
    }

    /// A file of a folder, asked for by name or found there, keeps a name of ours.
    @Test(arguments: ["hf:acme/tiny/sub@v1", "hf:acme/tiny/sub/a b.gguf@v1"])
    func oneGGUFFileIsAnAdapter(text: String) async throws {
        try await ScriptedServer.run { request in
            switch request.path {
            case "/api/models/acme/tiny/revision/v1":
                return TinyHub.siblings(["x.gguf", "sub/a b.gguf", "sub/deeper/c.gguf"])
            case "/acme/tiny/resolve/\(TinyHub.commit)/sub/a%20b.gguf":
                return .file(
                    TinyHub.configuration, tag: "\"\(TinyHub.configurationBlob)\"", to: request)
            default: return ScriptedReply(status: 404)
            }
        } test: { server in
            let client = try TinyHub.client(of: server)
            let pinned = try await client.pin(try AdapterSource(text))
            try await client.fetch(pinned, into: folder.url.path)
            #expect(try files == ["adapter.gguf"])
            #expect(try bytes("adapter.gguf") == TinyHub.configuration)
        }
    }

    @Test(arguments: [
        "[]", "{", #"{"sha":"main","siblings":[]}"#, #"{"sha":"\#(TinyHub.commit)"}"#,
        #"{"siblings":[]}"#,
    ])
    func nonsenseIsNoAnswer(body: String) async throws {
        try await ScriptedServer.run { _ in
            ScriptedReply(body: Array(body.utf8))
        } test: { server in
            let client = try TinyHub.client(of: server)
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == .malformedAnswer)
        }
    }

    @Test func anotherCommitIsNotWhatWasPinned() async throws {
        try await ScriptedServer.run { request in
            var reply = TinyHub.reply(request)
            if request.method == "HEAD" {
                reply.headers.insert(("X-Repo-Commit", String(repeating: "d", count: 40)), at: 0)
            }
            return reply
        } test: { server in
            let client = try TinyHub.client(of: server)
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == .changedMeanwhile)
        }
    }
}
