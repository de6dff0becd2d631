import Foundation
import JSONTree
import ModelFiles
import TestSupport
import Testing

/// What a family reads of its own fields. That it computes the right thing is a matter of the conformance tests.
struct FamilyTests {
    static let names = Family.all.map(\.name)

    static func config(_ family: String) throws -> JSON.Object {
        let path = Repository.conformance("\(family)/model/config.json")
        let json = try JSON(parsing: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
        return try #require(json.objectValue)
    }

    static func read(
        _ family: String, _ change: (inout JSON.Object) -> Void = { _ in }
    ) throws -> ModelConfiguration {
        var object = try config(family)
        change(&object)
        return try ModelConfiguration(huggingFace: .object(object), source: "config.json")
    }

    /// Any field may be anything: what cannot be is refused, and nothing ends the process.
    @Test(arguments: names)
    func brokenFieldsAreRefusedOrRead(_ family: String) throws {
        let values: [JSON] = [
            0, -1, .integer(.max), .integer(.min), 0.5, 1e300, -1e300, .null, "x", [], [1], [:],
            true,
        ]
        var refusals = 0
        for name in try Self.config(family).names {
            for value in values {
                do {
                    let found = try Self.read(family) { $0[name] = value }
                    #expect((1...1024).contains(found.layerCount))
                    _ = found.layers.map(found.window)
                } catch let error as ModelFileError {
                    #expect(!error.message.isEmpty)
                    refusals += 1
                }
            }
        }
        #expect(refusals > 60)
    }

    /// What is absent is transformers' default, and what is null follows from the rest.
    @Test func seedOSSReadsItsBiasesOneByOne() throws {
        func read(_ changes: [String: JSON?]) throws -> ModelConfiguration {
            try Self.read("seed_oss") { for (name, value) in changes { $0[name] = value } }
        }
        let attention: Set<Projection> = [.query, .key, .value]
        let absent: JSON? = .none
        let bare: [String: JSON?] = [
            "attention_bias": absent, "attention_out_bias": absent, "mlp_bias": absent,
            "head_dim": absent,
        ]
        let found = try read(bare)
        #expect(found.biasedProjections == attention && found.headDimension == 128)
        #expect(try read(["head_dim": .some(.null)]).headDimension == 6)
        #expect(
            try read(["attention_out_bias": .some(false), "mlp_bias": .some(false)])
                .biasedProjections == attention)
        #expect(
            try read(["attention_bias": .some(false)]).biasedProjections
                == [.output, .gate, .up, .down])
        for name in ["sliding_window", "attention_chunk_size"] {
            let error = #expect(throws: ModelFileError.self) { try read([name: .some(4)]) }
            #expect(error?.message.contains(name) == true)
        }
    }

    /// Experts that no token would take are not passed over.
    @Test func surplusExpertsAreRefused() throws {
        let model = Repository.conformance("qwen3_moe/model")
        for (name, value) in [("mlp_only_layers", [0, 1]), ("decoder_sparse_step", 2)]
            as [(String, JSON)]
        {
            let folder = try TemporaryFolder()
            var config = try Self.config("qwen3_moe")
            config[name] = value
            if name != "mlp_only_layers" { config["mlp_only_layers"] = [] }
            try folder.write(JSON.object(config).text(), to: "config.json")
            try FileManager.default.copyItem(
                atPath: model + "/model.safetensors", toPath: folder.path("model.safetensors"))
            let error = #expect(throws: ModelFileError.self) {
                try Checkpoint.open(path: folder.path(""))
            }
            #expect(error?.code == .unexpectedTensor)
        }
    }

    @Test func departuresAreRead() throws {
        let gemma = try Self.read("gemma2") { $0["query_pre_attn_scalar"] = 16 }
        #expect(gemma.attentionScale == 0.25)
        #expect(gemma.departures.attentionCap == 2 && gemma.departures.logitCap == 3)
        #expect((0..<2).map(gemma.window) == [6, 0])
        let uncapped = try Self.read("gemma2") { $0["attn_logit_softcapping"] = .null }
        #expect(uncapped.departures.attentionCap == 0)
        let gemma3 = try Self.read("gemma3_text")
        #expect((0..<6).map(gemma3.window) == [6, 6, 6, 6, 6, 0])
        #expect(gemma3.departures.windowedRope?.theta == 10_000 && gemma3.rope.theta == 100_000)
        // As files before transformers 5 have it.
        let older = try Self.read("gemma3_text") {
            $0["rope_parameters"] = Optional.none
            $0["rope_theta"] = 5e5
            $0["rope_local_base_freq"] = 2e4
            $0["rope_scaling"] = ["rope_type": "linear", "factor": 8.0]
        }
        #expect(older.departures.windowedRope?.theta == 2e4)
        #expect(older.rope.theta == 5e5 && older.rope.scaling == .linear(factor: 8))
        let granite = try Self.read("granite")
        #expect(granite.attentionScale == 0.3 && granite.departures.logitScale == 0.4)
        let phi = try Self.read("phi3") {
            $0["rope_parameters"] = Optional.none
            $0["rope_scaling"] = ["type": "su", "short_factor": [1, 2], "long_factor": [3, 4]]
            $0["partial_rotary_factor"] = 0.75
        }
        #expect(phi.rotaryDimension == 4 && (0..<2).map(phi.window) == [6, 6])
        #expect(phi.rope.frequencies(dimension: 4, longest: 16)[1] == 0.005)
        #expect(phi.rope.frequencies(dimension: 4, longest: 17)[1] == 0.0025)
        let smollm = try Self.read("smollm3") { $0["no_rope_layers"] = [1, 0, 1, 0] }
        #expect(smollm.departures.unrotatedLayers == [1, 3])
    }

    @Test(
        arguments: [
            ("gemma2", "hidden_activation", "gelu"), ("granite", "hidden_act", "gelu"),
            ("gemma3_text", "use_bidirectional_attention", true),
            ("smollm3", "no_rope_layer_interval", 0),
            ("smollm3", "rope_parameters", ["rope_type": "dynamic", "factor": 2.0]),
            ("llama", "partial_rotary_factor", 0.5),
            (
                "phi3", "rope_parameters", ["rope_type": "default", "partial_rotary_factor": 1.5]
            ),
            ("phi3", "head_dim", 8),
        ] as [(String, String, JSON)])
    func whatChangesTheArithmeticIsRefused(_ family: String, _ field: String, _ value: JSON) {
        let error = #expect(throws: ModelFileError.self) {
            try Self.read(family) { $0[field] = value }
        }
        #expect(error?.code == .unsupportedField)
    }
}
