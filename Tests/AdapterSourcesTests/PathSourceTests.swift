import AdapterSources
import Foundation
import TestSupport
import Testing

struct PathSourceTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    func client(roots: [String]) throws -> SourceClient {
        var policy = SourcePolicy()
        policy.allowedRoots = roots
        return try SourceClient(policy: policy)
    }

    func writeAdapter(_ name: String) throws -> AdapterSource {
        try folder.write(TinyHub.configuration, to: name + "/adapter_config.json")
        try folder.write(TinyHub.weights, to: name + "/adapter_model.safetensors")
        return try AdapterSource(folder.path(name))
    }

    func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: folder.path(name), withDestinationPath: target)
    }

    @Test func foldersAreReadInPlace() async throws {
        let source = try writeAdapter("root/a")
        let client = try client(roots: [folder.path("root")])
        let first = try await client.pin(source)
        #expect(first.localPath?.hasSuffix("/root/a") == true && first.files.isEmpty)
        #expect(try await client.pin(source) == first)
        try folder.write(TinyHub.weights + [0], to: "root/a/adapter_model.safetensors")
        #expect(try await client.pin(source).revision != first.revision)
    }

    @Test func unchangedFilesAreKnownByThemselves() async throws {
        let client = try client(roots: [])
        let source = try writeAdapter("a")
        let revision = try await client.pin(source).revision
        #expect(source.isUnchanged(since: revision) && !source.isUnchanged(since: ""))
        try folder.write(TinyHub.weights + [0], to: "a/adapter_model.safetensors")
        #expect(!source.isUnchanged(since: revision))
        try FileManager.default.removeItem(atPath: folder.path("a/adapter_model.safetensors"))
        #expect(!source.isUnchanged(since: revision))

        // What an adapter says beside its weights counts, and so does that it begins to.
        let other = try writeAdapter("c")
        let before = try await client.pin(other).revision
        try folder.write("x", to: "c/chat_template.jinja")
        #expect(!other.isUnchanged(since: before))
        let after = try await client.pin(other).revision
        #expect(after != before && other.isUnchanged(since: after))
        try folder.write("{}", to: "c/tokenizer.json")
        #expect(!other.isUnchanged(since: after))
        let own = try await client.pin(other).revision
        #expect(own != after && other.isUnchanged(since: own))

        // mlx-lm's.
        try folder.write("{}", to: "d/adapter_config.json")
        try folder.write(TinyHub.weights, to: "d/adapters.safetensors")
        let mlx = try AdapterSource(folder.path("d"))
        let found = try await client.pin(mlx).revision
        #expect(mlx.isUnchanged(since: found))
        try folder.write(TinyHub.weights + [0], to: "d/adapters.safetensors")
        #expect(!mlx.isUnchanged(since: found))

        try folder.write([1, 2, 3], to: "b/x.gguf")
        let file = try AdapterSource(folder.path("b/x.gguf"))
        let pinned = try await client.pin(file)
        #expect(file.isUnchanged(since: pinned.revision))
        // Which of a folder's files it is only `pin` finds out.
        let whole = try AdapterSource(folder.path("b"))
        #expect(!whole.isUnchanged(since: pinned.revision))
    }

    @Test func ggufFiles() async throws {
        try folder.write([1, 2, 3], to: "a/x.gguf")
        let client = try client(roots: [])
        for name in ["a", "a/x.gguf"] {
            let pinned = try await client.pin(try AdapterSource(folder.path(name)))
            #expect(pinned.localPath?.hasSuffix("/a/x.gguf") == true)
        }
    }

    @Test func pathsOutsideTheRootsAreRefused() async throws {
        let outside = try writeAdapter("root-but-not-in-it/a")
        _ = try writeAdapter("root/a")
        try link("root/b", to: "../root-but-not-in-it/a")
        let escaping = try AdapterSource(folder.path("root/b"))
        let client = try client(roots: [folder.path("root")])
        for source in [outside, escaping, try AdapterSource("/etc/hosts.gguf")] {
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == .sourceNotAllowed)
        }
    }

    /// Links between allowed places are how the Hub's own cache keeps its files.
    @Test func linkedFilesMustLieInARoot() async throws {
        try folder.write(TinyHub.weights, to: "blobs/weights")
        try folder.write(TinyHub.configuration, to: "root/a/adapter_config.json")
        try link("root/a/adapter_model.safetensors", to: "../../blobs/weights")
        let source = try AdapterSource(folder.path("root/a"))
        let narrow = try client(roots: [folder.path("root")])
        let error = await #expect(throws: SourceError.self) { try await narrow.pin(source) }
        #expect(error?.code == .sourceNotAllowed)
        let wide = try client(roots: [folder.path("root"), folder.path("blobs")])
        _ = try await wide.pin(source)
    }

    @Test func whatIsNoAdapterIsRefused() async throws {
        try folder.write("{}", to: "pickled/adapter_config.json")
        try folder.write([0x80], to: "pickled/adapter_model.bin")
        try folder.write("", to: "empty/readme.txt")
        try folder.write("", to: "folders/adapter_config.json")
        try folder.write("", to: "folders/adapter_model.safetensors/x")
        let client = try client(roots: [])
        let cases: [(String, SourceError.Code)] = [
            ("pickled", .pickleRefused), ("empty", .notFound), ("missing", .notFound),
            ("missing.gguf", .notFound), ("empty/readme.txt", .notFound), ("folders", .notFound),
        ]
        for (name, code) in cases {
            let source = try AdapterSource(folder.path(name))
            let error = await #expect(throws: SourceError.self) { try await client.pin(source) }
            #expect(error?.code == code, "\(name)")
        }
    }
}
