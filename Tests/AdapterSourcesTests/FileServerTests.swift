import AdapterSources
import Foundation
import TestSupport
import Testing

/// Sources whose files are asked for one by one: S3 and the web.
struct FileServerTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.url.appendingPathComponent(name)))
    }

    static func client(
        of server: ScriptedServer, change: (inout SourcePolicy) throws -> Void = { _ in }
    ) throws -> SourceClient {
        try TinyHub.client(of: server) { policy in
            policy.retries.limit = 0
            policy.allowedHosts = [try HostPattern("files.test")]
            var access = S3Access(region: "eu-west-1")
            access.endpoint = try WebAddress("http://s3.test:\(server.port)")
            access.credentials = S3Credentials(accessKey: "KEY", secretKey: Secret("secret"))
            policy.s3 = access
            try change(&policy)
        }
    }

    /// The two files in a folder, each with a tag.
    static func files(
        in folder: String, configuration: String, weights: String
    ) -> ScriptedServer.Script {
        { request in
            switch request.path {
            case folder + "adapter_config.json":
                .file(TinyHub.configuration, tag: configuration, to: request)
            case folder + "adapter_model.safetensors":
                .file(TinyHub.weights, tag: weights, to: request)
            default: ScriptedReply(status: 404)
            }
        }
    }

    static let objects = files(
        in: "/bucket/a%20b/", configuration: "\"\(TinyHub.configurationMD5)\"",
        weights: "\"\(TinyHub.weightsMD5)\"")

    @Test func objectsArriveWholeAndSigned() async throws {
        try await ScriptedServer.run(FileServerTests.objects) { server in
            let client = try FileServerTests.client(of: server)
            let pinned = try await client.pin(try AdapterSource("s3://bucket/a b"))
            #expect(
                pinned.revision
                    == "\"\(TinyHub.configurationMD5)\", \"\(TinyHub.weightsMD5)\"")
            #expect(pinned.files.last?.checksum == .md5(TinyHub.weightsMD5))
            try await client.fetch(pinned, into: folder.url.path)
            #expect(try bytes("adapter_config.json") == TinyHub.configuration)
            #expect(try bytes("adapter_model.safetensors") == TinyHub.weights)
            for request in server.requests {
                let authorization = request.header("Authorization") ?? ""
                #expect(
                    authorization.hasPrefix(
                        "AWS4-HMAC-SHA256 Credential=KEY/20130524/eu-west-1/s3/aws4_request,"
                            + "SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;"
                            + "x-amz-date,Signature="))
                #expect(request.values("Host") == ["s3.test:\(server.port)"])
            }
        }
    }

    /// To those who may not list a bucket, S3 says of what is not there that it is forbidden.
    @Test(arguments: [403, 404])
    func whatNeedNotBeThereIsNotMissed(_ status: Int) async throws {
        try await ScriptedServer.run { request in
            if request.path.hasSuffix("/generation_config.json") {
                return .file(
                    Array("{}".utf8), tag: "\"99914b932bd37a50b983c5e7c90ae93b\"", to: request)
            }
            let reply = FileServerTests.objects(request)
            return reply.status == 404 ? ScriptedReply(status: status) : reply
        } test: { server in
            let client = try FileServerTests.client(of: server)
            let pinned = try await client.pin(try AdapterSource("s3://bucket/a b"))
            try await client.fetch(pinned, into: folder.url.path)
            #expect(
                pinned.files.map(\.name) == [
                    "adapter_config.json", "adapter_model.safetensors", "generation_config.json",
                ])
            #expect(try bytes("generation_config.json") == Array("{}".utf8))
        }
    }

    /// What a server tells of an object, and what its content must hash to.
    @Test(arguments: [
        ([("x-amz-checksum-sha256", "OFSI0B9xrpdzdYrTHX9Rk7thTSXFPxT/i3FXxvEdqMk=")], "sha256"),
        ([("x-amz-checksum-sha256", "OFSI0B9xrpdzdYrTHX9Rk7thTSXFPxT/i3FXxvEdqMk=-2")], "md5"),
        ([("x-amz-server-side-encryption", "AES256")], "md5"),
        ([("x-amz-server-side-encryption", "aws:kms")], ""),
        ([("x-amz-server-side-encryption-customer-algorithm", "AES256")], ""), ([], "md5"),
    ])
    func checksumsOfObjects(headers: [(String, String)], kind: String) async throws {
        try await ScriptedServer.run { request in
            .file(
                TinyHub.configuration, tag: "\"\(String(repeating: "a", count: 32))\"", to: request,
                headers: headers)
        } test: { server in
            let client = try FileServerTests.client(of: server)
            let pinned = try await client.pin(try AdapterSource("s3://bucket/x.gguf"))
            let checksum = pinned.files.first?.checksum?.description ?? ""
            #expect(checksum.prefix { $0 != ":" } == kind)
        }
    }

    @Test func objectsThatChangeAreNotMixed() async throws {
        try await ScriptedServer.run { request in
            request.path.hasSuffix("safetensors") && request.method == "GET"
                ? .file(TinyHub.weights, tag: "\"another\"", to: request)
                : FileServerTests.objects(request)
        } test: { server in
            let client = try FileServerTests.client(of: server)
            let pinned = try await client.pin(try AdapterSource("s3://bucket/a b"))
            let error = await #expect(throws: SourceError.self) {
                try await client.fetch(pinned, into: folder.url.path)
            }
            #expect(error?.code == .changedMeanwhile)
        }
    }

    /// A region that is wrong shows as a redirect, which a signature cannot follow.
    @Test func objectsAreNotRedirected() async throws {
        try await ScriptedServer.run { _ in
            .redirect(to: "http://files.test/", headers: [("x-amz-bucket-region", "us-east-2")])
        } test: { server in
            let client = try FileServerTests.client(of: server)
            let source = try AdapterSource("s3://bucket/a b")
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == .redirectRefused)
            #expect(error?.message.contains("us-east-2") == true)
        }
    }

    @Test func aFolderOnTheWeb() async throws {
        let script = FileServerTests.files(in: "/x/", configuration: "\"1\"", weights: "W/\"2\"")
        try await ScriptedServer.run(script) { server in
            let client = try FileServerTests.client(of: server)
            let source = try AdapterSource("http://files.test:\(server.port)/x")
            let pinned = try await client.pin(source)
            #expect(pinned.revision == "\"1\", W/\"2\"")
            try await client.fetch(pinned, into: folder.url.path)
            #expect(try bytes("adapter_model.safetensors") == TinyHub.weights)
            #expect(server.requests.allSatisfy { $0.header("Authorization") == nil })
        }
    }

    /// Some servers know neither `HEAD` nor tags nor lengths.
    @Test func aServerThatTellsNothing() async throws {
        try await ScriptedServer.run { request in
            if request.method == "HEAD" { return ScriptedReply(status: 405) }
            var reply = ScriptedReply(body: TinyHub.weights)
            reply.declaredLength = nil
            reply.ending = request.path == "/endless.gguf" ? .endless : .whole
            return reply
        } test: { server in
            let client = try FileServerTests.client(of: server) { $0.byteLimit = 1 << 20 }
            let place = "http://files.test:\(server.port)"
            let pinned = try await client.pin(try AdapterSource(place + "/x.gguf"))
            #expect(pinned.revision == "" && pinned.byteCount == nil)
            try await client.fetch(pinned, into: folder.url.path)
            #expect(try bytes("adapter.gguf") == TinyHub.weights)
            let endless = try await client.pin(try AdapterSource(place + "/endless.gguf"))
            let error = await #expect(throws: SourceError.self) {
                try await client.fetch(endless, into: folder.url.path)
            }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test(arguments: [("adapter_model.bin", "pickle_refused"), ("other", "source_not_found")])
    func foldersWithoutWeights(name: String, code: String) async throws {
        try await ScriptedServer.run { request in
            ScriptedReply(status: request.path == "/x/" + name ? 200 : 404)
        } test: { server in
            let client = try FileServerTests.client(of: server)
            let source = try AdapterSource("http://files.test:\(server.port)/x/")
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code.description == code)
        }
    }

    /// Nobody is asked for what the policy has no place for.
    @Test(arguments: [
        ("http://other.test/x.gguf", "source_not_allowed"),
        ("http://127.0.0.1/x.gguf", "source_not_allowed"),
        ("http://files.test.evil.com/x.gguf", "source_not_allowed"),
        ("http://metadata.test/x.gguf", "private_address"),
        ("http://10.0.0.1/x.gguf", "private_address"), ("http://[::1]/x.gguf", "private_address"),
    ])
    func hostsThatAreNotAsked(text: String, code: String) async throws {
        try await ScriptedServer.run { _ in
            ScriptedReply()
        } test: { server in
            let client = try FileServerTests.client(of: server) { policy in
                for host in ["metadata.test", "10.0.0.1", "::1"] {
                    policy.allowedHosts.append(try HostPattern(host))
                }
            }
            let source = try AdapterSource(text)
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code.description == code)
            #expect(server.requests.isEmpty)
        }
    }

    @Test(arguments: ["http://files.test/x.gguf", "https://files.test/x.gguf", "s3://bucket/a"])
    func defaultsAllowNoOtherHost(text: String) async throws {
        let client = try SourceClient()
        let source = try AdapterSource(text)
        let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
        #expect(error?.code == .sourceNotAllowed)
    }
}
