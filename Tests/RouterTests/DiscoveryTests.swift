import Foundation
import JSONTree
import Router
import Testing

struct DiscoveryTests {
    static func file(_ text: String) throws -> Discovery {
        let path = NSTemporaryDirectory() + "/martlet-hosts-\(UUID().uuidString)"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return .file(path)
    }

    @Test func theCommandLinesWordsAreUnderstood() throws {
        #expect(try Discovery("file:/run/hosts") == .file("/run/hosts"))
        #expect(
            try Discovery("dns:replicas.default.svc:8080")
                == .name("replicas.default.svc", port: 8080))
        #expect(
            try Discovery("10.0.0.1:80, [::1]:81")
                == .list([.init(host: "10.0.0.1", port: 80), .init(host: "::1", port: 81)]))
        for wrong in [
            "10.0.0.1", "host:", ":80", "host:0", "host:65536", "host:x", "dns:name", "a:1,b",
        ] {
            #expect(throws: DiscoveryError.self, "\(wrong)") { try Discovery(wrong) }
        }
    }

    @Test func filesListReplicas() async throws {
        let lines = try Self.file("# two of them\n10.0.0.1:8080\n\n  10.0.0.2:8080  \r\n")
        #expect(try await lines.endpoints() == ["10.0.0.1:8080", "10.0.0.2:8080"])
        #expect(try await Self.file("").endpoints() == [])
        let theirs = try Self.file(
            "endpoints:\n  - name: a\n    address: \"10.0.0.1\"\n    port: \"8000\"\n    labels: {model: x}\n  - {name: b, address: 10.0.0.2, port: 8000}\n"
        )
        #expect(try await theirs.endpoints() == ["10.0.0.1:8000", "10.0.0.2:8000"])
        let json = try Self.file(
            #"{"endpoints": [{"name": "a", "address": "10.0.0.1", "port": "8000"}]}"#)
        #expect(try await json.endpoints() == ["10.0.0.1:8000"])
    }

    @Test(arguments: [
        "10.0.0.1", "endpoints: 3", "endpoints:\n  - {name: a, port: 1}", "{\"x\": [",
        "10.0.0.1:99999",
    ])
    func brokenFilesAreRefused(text: String) async throws {
        let file = try Self.file(text)
        await #expect(throws: DiscoveryError.self) { try await file.endpoints() }
    }

    @Test func aFileThatIsNotThereIsRefused() async {
        await #expect(throws: DiscoveryError.self) {
            try await Discovery.file("/nowhere").endpoints()
        }
    }

    @Test func namesBecomeAddresses() async throws {
        let local = try await Discovery("localhost:80").endpoints()
        #expect(local == ["127.0.0.1:80"] || local == ["[::1]:80"])
        #expect(try await Discovery("dns:nowhere.invalid:80").endpoints() == [])
    }

    @Test func theGatewaysFileIsReplacedWhole() throws {
        let folder = NSTemporaryDirectory() + "/martlet-eds-\(UUID().uuidString)"
        let file = EndpointFile(path: folder + "/endpoints.json")
        try file.write(["10.0.0.1:80", "[::1]:81"], version: 3)
        let text = try String(contentsOfFile: folder + "/endpoints.json", encoding: .utf8)
        let json = try JSON(parsing: text)
        let resource = json["resources"]?.arrayValue?.first
        #expect(json["version_info"] == "3" && resource?["cluster_name"] == "pool")
        let hosts = resource?["endpoints"]?.arrayValue?.first?["lb_endpoints"]?.arrayValue ?? []
        let addresses = hosts.map { $0["endpoint"]?["address"]?["socket_address"] }
        #expect(
            addresses == [
                ["address": "10.0.0.1", "port_value": 80], ["address": "::1", "port_value": 81],
            ])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["endpoints.json"])
        #expect(throws: (any Error).self) {
            try EndpointFile(path: "/dev/null/x").write([], version: 1)
        }
    }
}
