import Foundation
import JSONTree
import ModelFiles
import TestSupport
import Testing

/// Tensors that a configuration does not call for, and that would change what a model computes.
struct CheckpointTests {
    private func open(_ family: String, _ changes: [(String, JSON)]) throws -> Checkpoint {
        let folder = try TemporaryFolder()
        let source = Repository.conformance("\(family)/model")
        try FileManager.default.copyItem(
            atPath: source + "/model.safetensors", toPath: folder.path("model.safetensors"))
        var config =
            try JSON(
                parsing: Array(Data(contentsOf: URL(fileURLWithPath: source + "/config.json")))
            )
            .objectValue ?? JSON.Object()
        for (name, value) in changes { config[name] = value }
        try folder.write(JSON.object(config).text(), to: "config.json")
        return try Checkpoint.open(path: folder.url.path)
    }

    @Test func biasesThatTheConfigurationLacksAreRefused() throws {
        _ = try open("qwen2", [])
        let error = #expect(throws: ModelFileError.self) {
            _ = try open("qwen2", [("model_type", "mistral"), ("sliding_window", .null)])
        }
        #expect(error?.code == .unexpectedTensor && error?.message.contains("bias") == true)
        let missing = #expect(throws: ModelFileError.self) {
            _ = try open("llama", [("attention_bias", true)])
        }
        #expect(missing?.code == .missingTensor)
    }

    @Test func aHeadThatIsNotTheEmbeddingIsNotTied() throws {
        let error = #expect(throws: ModelFileError.self) {
            _ = try open("llama", [("tie_word_embeddings", true)])
        }
        #expect(error?.code == .unexpectedTensor && error?.message.contains("lm_head") == true)
    }
}
