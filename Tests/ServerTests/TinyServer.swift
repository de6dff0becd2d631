import AdapterSources
import AdapterStore
import Catalog
import ChatTemplates
import Engine
import Foundation
import Generation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSONTree
import Logging
import ModelFiles
import NIOCore
import Server
import Telemetry
import Tenants
import Tensors
import TestSupport
import Testing
import Tokenization

/// The whole server on a tiny model, without sockets: requests go to its router.
struct TinyServer {
    let client: any TestClientProtocol
    let key: String?

    static let adminKey = "admin-key-1"
    static let userKey = "user-key-22"

    /// An answer, read to its end.
    struct Answer {
        let status: Int
        let headers: HTTPFields
        let text: String

        var json: JSON { (try? JSON(parsing: Array(text.utf8))) ?? .null }
        var code: String? { json["error"]?["code"]?.stringValue }
    }

    func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil,
        headers: HTTPFields = [:], key: String? = nil
    ) async throws -> Answer {
        var headers = headers
        if let key = key ?? self.key { headers[.authorization] = "Bearer \(key)" }
        return try await client.execute(
            uri: path, method: method, headers: headers, body: body.map { ByteBuffer(string: $0) }
        ) { response in
            Answer(
                status: response.status.code, headers: response.headers,
                text: String(buffer: response.body))
        }
    }

    func post(_ path: String, _ body: String) async throws -> Answer {
        try await send(.post, path, body)
    }

    /// Runs a server for as long as the body takes.
    ///
    /// - Parameters:
    ///   - adapters: of the conformance suite, by name.
    ///   - sources: further names with their folders.
    ///   - family: "llama" with a tokenizer of letters, or one with its own.
    static func run(
        adapters: [String] = ["plain", "dora"], sources: [(String, String)] = [],
        family: String = "llama", hasKeys: Bool = false, origin: String? = nil,
        audit: AuditLog? = nil,
        _ body: @escaping @Sendable (TinyServer) async throws -> Void
    ) async throws {
        let (server, engine) = try await make(
            adapters: adapters, sources: sources, family: family, hasKeys: hasKeys,
            origin: origin, audit: audit)
        let application = server.service()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await engine.run() }
            try await application.test(.router) { client in
                try await body(TinyServer(client: client, key: hasKeys ? adminKey : nil))
            }
            group.cancelAll()
        }
    }

    /// What its router answers.
    static func routes() async throws -> [(method: String, path: String)] {
        try await make(adapters: [], hasKeys: false, origin: nil).server.routes
    }

    private static func make(
        adapters: [String], sources: [(String, String)] = [], family: String = "llama",
        hasKeys: Bool, origin: String?, audit: AuditLog? = nil
    ) async throws -> (server: APIServer, engine: InferenceEngine) {
        let checkpoint = try Checkpoint.open(path: Repository.family(family) + "/model")
        let limits = EngineLimits(
            maximumSequences: 8, maximumStepTokens: 64, maximumContext: 64, blockCount: 64,
            maximumWaiting: 100, keptBlockCount: 16)
        let engine = InferenceEngine(limits: limits) {
            guard
                let core = try? TinyEngine(family: family).core(
                    maximumSequences: 8, blockCount: 64, keptBlockCount: 16, draftRows: 16)
            else { fatalError("the conformance suite's model is missing") }
            return core
        }
        var configuration = AdapterLibrary.Configuration()
        configuration.reservedNames = ["base"]
        let text =
            family == "llama"
            ? try ModelText(
                try Tokenizer(huggingFace: tokenizer), template: template, toolTemplate: template,
                templateVariables: JSON.Object())
            : try ModelText(checkpoint, try Tokenizer(checkpoint.tokenizer))
        configuration.settle = text.settled
        let library = try AdapterLibrary(
            configuration: configuration, base: checkpoint, format: .bf16,
            sources: try SourceClient(), disk: nil, catalog: nil)
        try await library.adopt(
            try (adapters.map { ($0, Repository.conformance("llama/\($0)")) } + sources).map {
                ($0, try AdapterSource($1))
            },
            keepsOthers: false)
        let generator = TextGenerator(checkpoint: checkpoint, engine: engine, text: text)
        var server = APIServer.Configuration()
        server.version = "test"
        server.allowedOrigin = origin
        if hasKeys {
            let store = try TenantStore(path: ":memory:")
            server.tenancy = Tenancy(
                keys: try KeyRing(
                    file: try APIKeys(text: "admin: \(adminKey)\nann: \(userKey)\n"),
                    store: store),
                ledger: UsageLedger(store: store), audit: audit)
        }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let api = APIServer(
            configuration: server, generator: generator,
            registry: ModelRegistry(
                baseNames: ["base"], checkpoint: checkpoint, library: library, created: 1),
            metrics: PrometheusMetrics(), logger: logger)
        return (api, engine)
    }

    private static let template =
        "{% for m in messages %}{{ m.role[0] }}{{ m.content }}.{% endfor %}"
        + "{% if add_generation_prompt %}a{% endif %}"

    /// Letters and digits, a token each.
    private static var tokenizer: JSON {
        let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789Ġ.,"
        var vocabulary = JSON.Object([("<s>", .integer(1)), ("</s>", .integer(2))])
        for (index, letter) in letters.enumerated() {
            vocabulary[String(letter)] = .integer(index + 3)
        }
        let bytes: JSON = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": true]
        return [
            "version": "1.0", "normalizer": .null, "pre_tokenizer": bytes, "decoder": bytes,
            "post_processor": .null, "added_tokens": [],
            "model": ["type": "BPE", "vocab": .object(vocabulary), "merges": []],
        ]
    }
}
