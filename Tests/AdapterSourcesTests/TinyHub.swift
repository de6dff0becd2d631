import AdapterSources
import Foundation
import Synchronization
import TestSupport

/// A Hub with the repository `acme/tiny`, which keeps its weights on another host, and clients for it.
enum TinyHub {
    static let commit = String(repeating: "c0ffee00", count: 5)
    static let configuration = Array(#"{"r":8,"lora_alpha":16}"#.utf8)
    static let weights: [UInt8] = (0..<200_000).map { UInt8(truncatingIfNeeded: ($0 * 31) >> 3) }

    // From git hash-object, sha256sum and md5sum.
    static let configurationBlob = "28da2fbbb33af260a9d6bd0aa4efe5e560e8a3a9"
    static let configurationMD5 = "223ba3fb421996086f6997755f5f3f50"
    static let weightsSHA256 = "7fef6f34e26a337fc51b6c2b74dac7dae08dc411cbdfe3d8a82b616c1c348b37"
    static let weightsMD5 = "5f12b6443efca0444886524906c5e53c"

    static let source = "hf:acme/tiny"
    static let listing = "/api/models/acme/tiny/revision/main"
    static let weightsPath = "/acme/tiny/resolve/\(commit)/adapter_model.safetensors"
    static let blob = "/blobs/\(weightsSHA256)"

    static func reply(_ request: ScriptedServer.Request) -> ScriptedReply {
        let headers = [("X-Repo-Commit", commit)]
        switch request.path {
        case listing:
            return siblings(["README.md", "adapter_config.json", "adapter_model.safetensors"])
        case "/acme/tiny/resolve/\(commit)/adapter_config.json":
            return .file(
                configuration, tag: "\"\(configurationBlob)\"", to: request, headers: headers)
        case weightsPath:
            return weightsAt("http://cdn.test:\(request.port)\(blob)?signature=s")
        case "\(blob)?signature=s":
            return .file(weights, tag: "\"tag-of-the-other-host\"", to: request)
        default:
            return ScriptedReply(status: 404)
        }
    }

    static func siblings(_ names: [String]) -> ScriptedReply {
        let list = names.map { #"{"rfilename":"\#($0)"}"# }.joined(separator: ",")
        return ScriptedReply(
            headers: [("Content-Type", "application/json")],
            body: Array(#"{"id":"acme/tiny","sha":"\#(commit)","siblings":[\#(list)]}"#.utf8))
    }

    /// What the Hub answers for a large file.
    static func weightsAt(_ location: String) -> ScriptedReply {
        .redirect(
            to: location,
            headers: [
                ("X-Repo-Commit", commit), ("X-Linked-Size", String(weights.count)),
                ("X-Linked-Etag", "\"\(weightsSHA256)\""),
            ])
    }

    /// A client for which all hosts below `test` are the server, but `metadata.test`.
    static func client(
        of server: ScriptedServer, change: (inout SourcePolicy) throws -> Void = { _ in },
        pauses: Log<Duration> = Log(),
        resolve: (@Sendable (String, Int) throws -> [NetworkAddress])? = nil
    ) throws -> SourceClient {
        var hub = HubAccess()
        hub.endpoint = try WebAddress("http://hub.test:\(server.port)")
        hub.token = Secret("hf_token")
        hub.contentHosts = [try HostPattern("cdn.test"), try HostPattern("metadata.test")]
        var policy = SourcePolicy()
        policy.hub = hub
        policy.allowsPlainHTTP = true
        policy.localHosts = [try HostPattern("*.test")]
        try change(&policy)
        return try SourceClient(
            policy: policy,
            surroundings: Surroundings(
                resolve: { try (resolve ?? TinyHub.resolve)($0, $1) }, sleep: { pauses.add($0) },
                date: { Date(timeIntervalSince1970: 1_369_353_600) }, jitter: { 0.5 }))
    }

    @Sendable static func resolve(_ host: String, _ port: Int) throws -> [NetworkAddress] {
        guard host.hasSuffix(".test") else { throw UnknownHost() }
        let address = host == "metadata.test" ? "169.254.169.254" : "127.0.0.1"
        return [NetworkAddress(address)].compactMap { $0 }
    }

    struct UnknownHost: Error {}
}

/// What happened, in order.
final class Log<Element: Sendable>: Sendable {
    private let list = Mutex<[Element]>([])

    func add(_ element: Element) { list.withLock { $0.append(element) } }

    var all: [Element] { list.withLock { $0 } }
}
