import Foundation
import JSONTree
import ModelFiles
import TestSupport
import Testing

/// A classifier's scores over HTTP. That they are PEFT's is ToolAdapterTests' concern.
struct ClassifyTests {
    /// The suite's adapter "plain" with a head that reads two numbers of the hidden states.
    static func write(to folder: TemporaryFolder) throws {
        let plain = Repository.conformance("llama/plain")
        var writer = SafetensorsWriter()
        let tensors = try SafetensorsFile(path: plain + "/adapter_model.safetensors").tensors
        for (name, tensor) in tensors { writer.add(name, tensor) }
        var rows = Array(repeating: Float(0), count: 48)
        (rows[0], rows[24 + 1]) = (1, 2)
        writer.add("base_model.model.score.weight", shape: [2, 24], rows)
        try folder.write(writer.bytes, to: "adapter_model.safetensors")
        let config = try JSON(
            parsing: Array(
                Data(contentsOf: URL(fileURLWithPath: plain + "/adapter_config.json"))))
        var object = try #require(config.objectValue)
        object["task_type"] = "SEQ_CLS"
        object["modules_to_save"] = ["classifier", "score"]
        try folder.write(JSON.object(object).text(), to: "adapter_config.json")
    }

    private static func numbers(_ json: JSON?) -> [Double] {
        json?.arrayValue?.compactMap(\.doubleValue) ?? []
    }

    @Test func textsAreScored() async throws {
        let folder = try TemporaryFolder()
        try Self.write(to: folder)
        try await TinyServer.run(sources: [("judge", folder.path(""))]) { server in
            func ask(_ more: String) async throws -> [JSON] {
                let answer = try await server.post(
                    "/v1/classify", #"{"model":"judge",\#(more)}"#)
                #expect(answer.status == 200, "\(answer.text)")
                #expect((answer.json["usage"]?["prompt_tokens"]?.integerValue ?? 0) > 0)
                return answer.json["data"]?.arrayValue ?? []
            }
            let two = try await ask(#""input":["ababc","cab"]"#)
            #expect(two.count == 2 && two[1]["index"]?.integerValue == 1)
            let scores = Self.numbers(two[0]["scores"])
            let probabilities = Self.numbers(two[0]["probs"])
            #expect(scores.count == 2 && two[0]["num_classes"]?.integerValue == 2)
            #expect(abs(probabilities.reduce(0, +) - 1) < 1e-9)
            #expect(abs(log(probabilities[0] / probabilities[1]) - (scores[0] - scores[1])) < 1e-6)
            #expect(
                two[0]["label"]?.stringValue == (scores[0] >= scores[1] ? "LABEL_0" : "LABEL_1"))
            // The same hidden states, of length one.
            let vectors = try await server.post(
                "/v1/embeddings", #"{"model":"judge","input":"ababc"}"#)
            let vector = Self.numbers(vectors.json["data"]?.arrayValue?.first?["embedding"])
            #expect(abs(scores[0] / scores[1] - vector[0] / (2 * vector[1])) < 1e-4)

            let raw = try await ask(#""input":"ababc","activation":"none""#)
            #expect(Self.numbers(raw[0]["probs"]) == scores)
            let same = try await ask(#""input":[3,4,3,4,5],"use_activation":false"#)
            #expect(Self.numbers(same[0]["probs"]) == scores)
            let each = try await ask(#""input":"ababc","activation":"sigmoid""#)
            #expect(abs(Self.numbers(each[0]["probs"])[0] - 1 / (1 + exp(-scores[0]))) < 1e-9)
        }
    }

    @Test func classifiersAndOthersAreToldApart() async throws {
        let folder = try TemporaryFolder()
        try Self.write(to: folder)
        try await TinyServer.run(sources: [("judge", folder.path(""))]) { server in
            for (path, body, code) in [
                ("/v1/completions", #"{"model":"judge","prompt":"a"}"#, "adapter_is_a_classifier"),
                (
                    "/v1/chat/completions",
                    #"{"model":"judge","messages":[{"role":"user","content":"a"}]}"#,
                    "adapter_is_a_classifier"
                ),
                ("/v1/classify", #"{"model":"plain","input":"a"}"#, "not_a_classifier"),
                ("/v1/classify", #"{"model":"base","input":"a"}"#, "not_a_classifier"),
                ("/v1/classify", #"{"model":"judge","input":[]}"#, "invalid_type"),
                (
                    "/v1/classify", #"{"model":"judge","input":"a","activation":"relu"}"#,
                    "invalid_value"
                ),
                (
                    "/v1/classify", #"{"model":"judge","input":"a","dimensions":3}"#,
                    "unsupported_parameter"
                ),
                ("/v1/classify", #"{"model":"nobody","input":"a"}"#, "model_not_found"),
            ] {
                let answer = try await server.post(path, body)
                #expect(answer.code == code, "\(path) \(body): \(answer.text)")
            }
        }
    }
}
