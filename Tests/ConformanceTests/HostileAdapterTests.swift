import Adapters
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// Adapters that nobody trained: refused at once, with a code, whatever they claim.
struct HostileAdapterTests {
    /// A folder with a configuration and tensors of zeros.
    static func folder(
        _ configuration: String, _ tensors: [(name: String, shape: [Int])], rank: Int = 1
    ) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write(
            Array(
                """
                {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": \(rank), "lora_alpha": 1, \(configuration)}
                """.utf8), to: "adapter_config.json")
        var entries: [String] = []
        var end = 0
        for (name, shape) in tensors {
            let byteCount = shape.reduce(4, *)
            entries.append(
                "\"base_model.model.\(name)\":{\"dtype\":\"F32\",\"shape\":[\(shape.map(String.init).joined(separator: ","))],\"data_offsets\":[\(end),\(end + byteCount)]}"
            )
            end += byteCount
        }
        let header = Array("{\(entries.joined(separator: ","))}".utf8)
        let count = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> ($0 * 8)) }
        try folder.write(
            count + header + Array(repeating: 0, count: end), to: "adapter_model.safetensors")
        return folder
    }

    /// Query projections of both layers.
    static let queries: [(name: String, shape: [Int])] = (0..<2).flatMap { layer in
        [
            ("model.layers.\(layer).self_attn.q_proj.lora_A.weight", [1, 24]),
            ("model.layers.\(layer).self_attn.q_proj.lora_B.weight", [24, 1]),
        ]
    }

    static func code(
        _ family: String, _ configuration: String, _ tensors: [(name: String, shape: [Int])]
    ) throws -> ModelFileError.Code? {
        let base = try Checkpoint.open(path: Repository.conformance("\(family)/model"))
        let folder = try folder(configuration, tensors)
        let error = #expect(throws: ModelFileError.self) {
            _ = try AdapterFile.open(path: folder.url.path, base: base, limits: AdapterLimits())
        }
        return error?.code
    }

    /// Tensors without numbers may claim any size; nothing is allocated, and nothing counted, by it.
    @Test(arguments: [[0, 1 << 39], [1 << 39, 0], [70, 0], [70]])
    func tablesOfAnyShapeAreRefusedBeforeTheyAreCompared(_ shape: [Int]) throws {
        let tables = ["model.embed_tokens", "lm_head"]
        let saved = """
            "target_modules": ["q_proj"], "modules_to_save": ["model.embed_tokens"], \
            "ensure_weight_tying": true
            """
        #expect(
            try Self.code(
                "qwen2", saved, Self.queries + tables.map { ("\($0).weight", shape) })
                == .wrongShape)
        let changes: [(name: String, shape: [Int])] = [
            ("model.embed_tokens.lora_embedding_A", [1, 70]),
            ("model.embed_tokens.lora_embedding_B", [24, 1]),
            ("lm_head.lora_A.weight", [1, 24]), ("lm_head.lora_B.weight", [70, 1]),
        ]
        #expect(
            try Self.code(
                "qwen2", "\"target_modules\": [\"q_proj\", \"embed_tokens\", \"lm_head\"]",
                Self.queries + changes + tables.map { ("\($0).base_layer.weight", shape) })
                == .wrongShape)
    }

    /// PEFT drops them; taken for the real names they would replace weights.
    @Test(
        arguments: [
            ("model.base_layer.embed_tokens.weight", [70, 24]),
            ("model.layers.0.base_layer.self_attn.k_proj.bias", [12]),
            ("model.layers.0.self_attn.base_layer.q_proj.weight", [24, 24]),
        ])
    func namesThatPEFTDoesNotKnowAreRefused(_ name: String, _ shape: [Int]) throws {
        #expect(
            try Self.code(
                "qwen2", "\"target_modules\": [\"q_proj\"]", Self.queries + [(name, shape)])
                == .unexpectedTensor)
    }

    @Test func normsOfQueriesAreNoTargets() throws {
        #expect(
            try Self.code("qwen3", "\"target_modules\": [\"q_proj\", \"q_norm\"]", Self.queries)
                == .unsupportedField)
    }

    /// Patterns that make a matcher without memory go on for years.
    @Test(
        arguments: [
            String(repeating: "(", count: 28) + ".+" + String(repeating: ")+", count: 28),
            "((((a?){1000}){1000}){1000}){1000}", "(((.*){1000}){1000}){1000}x",
            String(repeating: "(.*", count: 30) + String(repeating: ")*", count: 30) + "!",
        ])
    func patternsEnd(_ pattern: String) throws {
        let code = try Self.code("llama", "\"target_modules\": \"\(pattern)\"", Self.queries)
        #expect(code != nil)
    }

    @Test(arguments: ["a{2}{3}", "(){1000}{1000}", "a**", "a+{2}"])
    func repeatsOfRepeatsAreRefused(_ pattern: String) throws {
        #expect(
            try Self.code("llama", "\"target_modules\": \"\(pattern)\"", Self.queries)
                == .unsupportedField)
    }

    /// Lists are looked at once, not once for each module or entry.
    @Test(arguments: ["target_modules", "modules_to_save", "exclude_modules"])
    func longListsEnd(_ field: String) throws {
        let names = (0..<90_000).map { "\"\(String($0, radix: 36))x\"" }.joined(separator: ",")
        let code = try Self.code("llama", "\"\(field)\": [\(names)]", Self.queries)
        #expect(code != nil)
        let more = names + "," + names
        #expect(try Self.code("llama", "\"\(field)\": [\(more)]", Self.queries) == .limitExceeded)
    }
}
