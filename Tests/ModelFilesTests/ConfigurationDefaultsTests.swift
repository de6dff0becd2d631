import Foundation
import JSONTree
import ModelFiles
import TestSupport
import Testing

/// What fields mean that a `config.json` leaves out or sets to null, against transformers.
/// scripts/make_config_defaults.py makes the golden.
struct ConfigurationDefaultsTests {
    /// What transformers takes and is refused here, by name.
    private static let refused = Set(
        ["llama", "mistral", "qwen2", "qwen3"].flatMap { family in
            [
                "factor null", "nested parameters", "partial rotary", "unknown rope",
                "vocab_size absent",
            ].map { "\(family): \($0)" }
        } + ["mistral", "qwen2", "qwen3"].map { "\($0): window size zero" })

    @Test func everyFieldDefaultsAsInTransformers() throws {
        let path = Repository.path("Tests/ModelFilesTests/Goldens/config_defaults.json")
        let golden = try JSON(parsing: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
        let cases = golden["cases"]?.arrayValue ?? []
        #expect(cases.count > 200)
        var refused: Set<String> = []
        for item in cases {
            let name = item["name"]?.stringValue ?? ""
            guard let values = item["values"], let config = item["config"] else { continue }
            do {
                let found = try ModelConfiguration(huggingFace: config, source: "config.json")
                check(found, values, name)
            } catch {
                refused.insert(name)
            }
        }
        #expect(refused.sorted() == Self.refused.sorted())
    }

    private func check(_ found: ModelConfiguration, _ values: JSON, _ name: String) {
        #expect(found.vocabularySize == values["vocab_size"]?.integerValue, "\(name)")
        #expect(found.contextLength == values["max_position_embeddings"]?.integerValue, "\(name)")
        #expect(found.keyValueHeadCount == values["num_key_value_heads"]?.integerValue, "\(name)")
        #expect(found.headDimension == values["head_dim"]?.integerValue, "\(name)")
        #expect(
            found.normEpsilon == values["rms_norm_eps"]?.doubleValue.map { Float($0) }, "\(name)")
        #expect(found.tiesEmbeddings == values["tie_word_embeddings"]?.boolValue, "\(name)")
        // With a null among them transformers' model cannot compute.
        if let rope = values["rope_parameters"], let theta = rope["rope_theta"]?.doubleValue,
            rope["rope_type"]?.stringValue != nil
        {
            #expect(found.rope.theta == Float(theta), "\(name)")
            #expect(found.rope.scaling == scaling(rope), "\(name)")
        }
        let window = values["sliding_window"]?.integerValue
        let types = values["layer_types"]?.arrayValue
        for layer in 0..<found.layerCount {
            // Llama's layers have no windows, whatever their types say.
            let isWindowed =
                found.family.name != "llama"
                && (types.map { $0[layer] == "sliding_attention" }
                    ?? (found.family.name == "mistral"))
            #expect(
                found.window(layer: layer) == (isWindowed ? window ?? 0 : 0), "\(name), \(layer)")
        }
    }

    private func scaling(_ rope: JSON) -> RopeParameters.Scaling? {
        func number(_ name: String) -> Float { Float(rope[name]?.doubleValue ?? .nan) }
        switch rope["rope_type"]?.stringValue {
        case "default": return RopeParameters.Scaling.none
        case "linear": return .linear(factor: number("factor"))
        case "llama3":
            return .llama3(
                factor: number("factor"), lowFrequency: number("low_freq_factor"),
                highFrequency: number("high_freq_factor"),
                originalContext: rope["original_max_position_embeddings"]?.integerValue ?? 0)
        default: return nil
        }
    }
}
