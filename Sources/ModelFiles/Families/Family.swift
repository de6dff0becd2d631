package import Tensors

/// A family of models: what its configuration files say and leave out, and how it departs from Llama's form.
///
/// A new one is a file beside this one, and a row in `all`.
package struct Family: Sendable {
    /// Hugging Face's `model_type`.
    package let name: String
    /// GGUF's `general.architecture`; nil where such files say another's, or do not run.
    package let architecture: String?
    /// The same of adapters, which may say another family's.
    let adapterArchitecture: String?
    /// Names of a layer's tensors in GGUF files that mean something else than other families': what those call them.
    let ggufNames: [String: String]
    /// How llama.cpp's conversion leaves queries and keys: with their rotary halves interleaved, or as they were.
    let interleavesHalves: Bool
    /// Whether the projections of a site with several are one module: `qkv_proj`, `gate_up_proj`.
    let fusesProjections: Bool
    /// What Hugging Face files call experts and their router; nil where there are none.
    let expertNames: ExpertNames?
    /// What transformers takes for fields that a config.json leaves out.
    let defaults: Defaults
    /// Reads what is the family's own, after what all have.
    let read: @Sendable (inout ModelConfiguration, Fields) throws(ModelFileError) -> Void
    /// The same of a GGUF file.
    let readGGUF: @Sendable (inout ModelConfiguration, GGUFFields) throws(ModelFileError) -> Void

    struct Defaults: Sendable {
        var contextLength: Int
        /// Nil for as many as there are heads.
        var keyValueHeadCount: Int?
        /// Nil for the hidden size over the heads.
        var headDimension: Int?
        var normEpsilon = 1e-6
        var ropeTheta = 10_000.0
        var tiesEmbeddings = false
        /// What names the activation, and what it is.
        var activationField = "hidden_act"
        var activation = "silu"
        /// Whether heads may be rotated in part: `partial_rotary_factor`.
        var rotatesPartly = false
        /// Other names for types of rotary positions.
        var ropeTypeAliases: [String: String] = [:]
    }

    /// Of modules in a layer.
    struct ExpertNames: Sendable {
        var router = "mlp.gate"
        var experts = "mlp.experts"
        var (gate, up, down) = ("gate_proj", "up_proj", "down_proj")

        func projection(_ name: Substring) -> Projection? {
            switch String(name) {
            case gate: .gate
            case up: .up
            case down: .down
            default: nil
            }
        }

        func name(of projection: Projection) -> String {
            switch projection {
            case .gate: gate
            case .up: up
            default: down
            }
        }
    }

    init(
        _ name: String, architecture: String?, adapterArchitecture: String? = nil,
        ggufNames: [String: String] = [:], interleavesHalves: Bool = false,
        fusesProjections: Bool = false, expertNames: ExpertNames? = nil, defaults: Defaults,
        read: @escaping @Sendable (inout ModelConfiguration, Fields) throws(ModelFileError) -> Void,
        readGGUF:
            @escaping @Sendable (inout ModelConfiguration, GGUFFields) throws(ModelFileError)
            -> Void = { (_, _) throws(ModelFileError) in }
    ) {
        self.name = name
        self.architecture = architecture
        self.adapterArchitecture = adapterArchitecture ?? architecture
        self.ggufNames = ggufNames
        self.interleavesHalves = interleavesHalves
        self.fusesProjections = fusesProjections
        self.expertNames = expertNames
        self.defaults = defaults
        self.read = read
        self.readGGUF = readGGUF
    }

    package static let all: [Family] = [
        .llama, .mistral, .qwen2, .qwen3, .smollm3, .granite, .olmo2, .gemma2, .gemma3, .phi3,
        .qwen3MoE, .mixtral, .seedOSS,
    ]
}

extension Family: Equatable {
    package static func == (a: Family, b: Family) -> Bool { a.name == b.name }
}

/// How a model departs from Llama's form. As it is made it does not.
package struct Departures: Sendable, Equatable {
    /// Where the norms of a layer are.
    package enum NormPlaces: Sendable {
        /// Before attention and feed-forward.
        case before
        /// Behind them.
        case behind
        case both
    }

    /// Norms of queries and keys.
    package enum HeadNorms: Sendable {
        case none
        /// Each head by itself, all with the same weights.
        case each
        /// All heads together.
        case together
    }

    package struct Experts: Sendable, Equatable {
        package var count: Int
        /// That a token takes.
        package var perToken: Int
        /// Outputs of an expert's gate.
        package var width: Int
        /// Whether the weights of a token's experts come to one.
        package var normalizes = true
        /// Layers that have one feed-forward part for all.
        package var denseLayers: Set<Int> = []
    }

    package var gate = KernelSet.Gate.silu
    package var norms = NormPlaces.before
    package var headNorms = HeadNorms.none
    /// What a Hugging Face file leaves out of the weights of norms.
    package var normOffset: Float = 0
    /// Multiplies embeddings.
    package var embeddingScale: Float = 1
    /// Multiplies what a layer adds to the hidden states.
    package var residualScale: Float = 1
    /// Multiplies logits.
    package var logitScale: Float = 1
    /// Multiplies q · k; nil for 1 / √(head dimension).
    package var attentionScale: Float?
    /// Scores are c · tanh(score / c); 0 for as they are.
    package var attentionCap: Float = 0
    package var logitCap: Float = 0
    /// Of layers with a window, where they have one of their own.
    package var windowedRope: RopeParameters?
    /// Of a head, how many dimensions rotate, from its first on; nil for all.
    package var rotaryDimension: Int?
    /// Feed-forward parts of which a token takes a few; nil where there is one for all.
    package var experts: Experts?
    /// Layers without rotary positions.
    package var unrotatedLayers: Set<Int> = []

    package init() {}
}
