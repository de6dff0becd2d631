import Foundation
import JSONTree

/// A model and an adapter of real sizes with numbers that mean nothing, for measurements without a download.
struct SyntheticModel {
    var layerCount: Int
    var hiddenSize: Int
    var intermediateSize: Int
    var headCount: Int
    var keyValueHeadCount: Int
    var vocabularySize: Int
    var rank = 16

    /// Llama 3.1 8B.
    static let eightBillion = SyntheticModel(
        layerCount: 32, hiddenSize: 4096, intermediateSize: 14336, headCount: 32,
        keyValueHeadCount: 8, vocabularySize: 128_256)
    /// What a GPU that the processor plays gets through.
    static let tiny = SyntheticModel(
        layerCount: 2, hiddenSize: 64, intermediateSize: 96, headCount: 4, keyValueHeadCount: 2,
        vocabularySize: 512)

    private var headDimension: Int { hiddenSize / headCount }

    /// Of a layer's projections: name, outputs, inputs.
    private var projections: [(name: String, outputs: Int, inputs: Int)] {
        let keyWidth = keyValueHeadCount * headDimension
        return [
            ("self_attn.q_proj", hiddenSize, hiddenSize),
            ("self_attn.k_proj", keyWidth, hiddenSize),
            ("self_attn.v_proj", keyWidth, hiddenSize),
            ("self_attn.o_proj", hiddenSize, hiddenSize),
            ("mlp.gate_proj", intermediateSize, hiddenSize),
            ("mlp.up_proj", intermediateSize, hiddenSize),
            ("mlp.down_proj", hiddenSize, intermediateSize),
        ]
    }

    /// Weights that a token is multiplied by, without the head.
    var layerWeightCount: Int {
        layerCount * projections.reduce(0) { $0 + $1.outputs * $1.inputs }
    }

    /// Bytes of an adapter's matrices in bf16.
    var adapterByteCount: Int {
        2 * layerCount * rank * projections.reduce(0) { $0 + $1.outputs + $1.inputs }
    }

    func writeModel(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let configuration: JSON = [
            "architectures": ["LlamaForCausalLM"], "model_type": "llama",
            "hidden_size": .integer(hiddenSize), "intermediate_size": .integer(intermediateSize),
            "num_hidden_layers": .integer(layerCount), "num_attention_heads": .integer(headCount),
            "num_key_value_heads": .integer(keyValueHeadCount),
            "head_dim": .integer(headDimension), "vocab_size": .integer(vocabularySize),
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500_000,
            "tie_word_embeddings": false, "torch_dtype": "bfloat16", "hidden_act": "silu",
        ]
        try configuration.text().write(
            to: folder.appendingPathComponent("config.json"), atomically: false, encoding: .utf8)
        var tensors = [
            ("model.embed_tokens.weight", [vocabularySize, hiddenSize]),
            ("lm_head.weight", [vocabularySize, hiddenSize]), ("model.norm.weight", [hiddenSize]),
        ]
        for layer in 0..<layerCount {
            for name in ["input_layernorm", "post_attention_layernorm"] {
                tensors.append(("model.layers.\(layer).\(name).weight", [hiddenSize]))
            }
            for (name, outputs, inputs) in projections {
                tensors.append(("model.layers.\(layer).\(name).weight", [outputs, inputs]))
            }
        }
        try write(tensors, to: folder.appendingPathComponent("model.safetensors"))
    }

    func writeAdapter(to folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let names = projections.map { $0.name.split(separator: ".")[1] }
        let configuration: JSON = [
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": .integer(rank),
            "lora_alpha": .integer(2 * rank), "bias": "none",
            "target_modules": .array(names.map { .string(String($0)) }),
        ]
        try configuration.text().write(
            to: folder.appendingPathComponent("adapter_config.json"), atomically: false,
            encoding: .utf8)
        var tensors: [(String, [Int])] = []
        for layer in 0..<layerCount {
            for (name, outputs, inputs) in projections {
                let prefix = "base_model.model.model.layers.\(layer).\(name)"
                tensors.append((prefix + ".lora_A.weight", [rank, inputs]))
                tensors.append((prefix + ".lora_B.weight", [outputs, rank]))
            }
        }
        try write(tensors, to: folder.appendingPathComponent("adapter_model.safetensors"))
    }

    /// A safetensors file of bf16 numbers between -1/32 and 1/32, the same block of them again and again.
    private func write(_ tensors: [(name: String, shape: [Int])], to file: URL) throws {
        var (header, end) = (JSON.Object(), 0)
        for (name, shape) in tensors {
            let size = 2 * shape.reduce(1, *)
            header[name] = [
                "dtype": "BF16", "shape": .array(shape.map { .integer($0) }),
                "data_offsets": [.integer(end), .integer(end + size)],
            ]
            end += size
        }
        let text = JSON.object(header).text()
        try Data().write(to: file)
        let handle = try FileHandle(forWritingTo: file)
        defer { try? handle.close() }
        var length = Data()
        for shift in stride(from: 0, to: 64, by: 8) {
            length.append(UInt8(truncatingIfNeeded: text.utf8.count >> shift))
        }
        try handle.write(contentsOf: length + Data(text.utf8))
        let block = SyntheticModel.block
        for start in stride(from: 0, to: end, by: block.count) {
            try handle.write(contentsOf: block.prefix(min(block.count, end - start)))
        }
    }

    private static let block: Data = {
        // An odd count of numbers: rows of matrices differ.
        var (data, seed) = (Data(capacity: 8_000_002), UInt64(1))
        for _ in 0..<4_000_001 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = (Float(seed >> 40) / Float(1 << 24) - 0.5) / 16
            let bits = value.bitPattern >> 16
            data.append(UInt8(bits & 0xFF))
            data.append(UInt8(bits >> 8))
        }
        return data
    }()
}
