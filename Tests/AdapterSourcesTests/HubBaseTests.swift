import AdapterSources
import Foundation
import TestSupport
import Testing

/// Which files of a repository make a base model, and that they come whole.
struct HubBaseTests {
    private static let location = HubLocation.base("acme/tiny")

    @Test(arguments: [
        ("acme/tiny", "acme/tiny"), ("hf:acme/tiny@v1", "acme/tiny"),
        ("acme/tiny/q4.gguf", "acme/tiny"),
    ])
    func aNameIsAPlaceOnTheHub(text: String, repository: String) {
        #expect(HubLocation.base(text)?.repository == repository)
    }

    @Test(arguments: [
        "tiny", "/acme/tiny", "./acme/tiny", "../tiny", "acme/", "acme/../x", "a b/c",
    ])
    func aPathIsNone(text: String) {
        #expect(HubLocation.base(text) == nil)
    }

    private func names(of listing: [String], at text: String = "acme/tiny") async throws -> [String]
    {
        let location = try #require(HubLocation.base(text))
        let script: ScriptedServer.Script = { request in
            if request.path == TinyHub.listing { return TinyHub.siblings(listing) }
            return .file(
                Array(request.path.utf8), tag: "\"\(request.path)\"", to: request,
                headers: [("X-Repo-Commit", TinyHub.commit)])
        }
        var names: [String] = []
        try await ScriptedServer.run(script) { server in
            names = try await TinyHub.client(of: server).pinBase(location).files.map(\.name)
        }
        return names
    }

    @Test func aModelIsItsConfigurationTokenizerAndWeights() async throws {
        let shards = (1...3).map { "model-0000\($0)-of-00003.safetensors" }
        let wanted = [
            "config.json", "generation_config.json", "tokenizer.json",
            "additional_chat_templates/tool_use.jinja", "model.safetensors.index.json",
        ]
        let others = [
            "README.md", "pytorch_model.bin", "onnx/model.onnx", "original/config.json",
            "../config.json", "additional_chat_templates/../x.jinja", "adapter_config.json",
            "model-1-of-3.safetensors", "optimizer.pt",
        ]
        #expect(try await names(of: others + wanted + shards) == wanted + shards)
        #expect(
            try await names(of: ["config.json", "model.safetensors"]) == [
                "config.json", "model.safetensors",
            ])
        #expect(try await names(of: ["README.md", "tiny.gguf"]) == ["tiny.gguf"])
        #expect(
            try await names(of: ["a.gguf", "b.gguf"], at: "acme/tiny/b.gguf") == ["b.gguf"])
    }

    @Test(arguments: [
        (["config.json", "pytorch_model.bin"], SourceError.Code.pickleRefused),
        (["a.gguf", "b.gguf"], .notFound), (["README.md"], .notFound), ([], .notFound),
    ])
    func whatIsNoModelIsRefused(listing: [String], code: SourceError.Code) async throws {
        let error = await #expect(throws: SourceError.self) { try await names(of: listing) }
        #expect(error?.code == code)
    }
}
