public import JSONTree

/// `POST /v1/classify`: what a classifier's head makes of texts, in vLLM's form.
public struct ClassificationRequest: Sendable, Equatable {
    /// What makes probabilities of scores.
    public enum Activation: String, Sendable, CaseIterable {
        case softmax, sigmoid, none
    }

    public var model: String
    public var inputs: [EmbeddingRequest.Input]
    /// Nil for softmax over several classes, sigmoid of one.
    public var activation: Activation?
    public var addsSpecialTokens: Bool

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.model()
        inputs = try EmbeddingRequest.inputs(parameters.json("input"))
        if let name = try parameters.string("activation") {
            guard let activation = Activation(rawValue: name) else {
                throw .invalid("activation", "activation must be softmax, sigmoid or none.")
            }
            self.activation = activation
        }
        if try parameters.bool("use_activation") == false { activation = Activation.none }
        addsSpecialTokens = try parameters.bool("add_special_tokens") ?? true
        parameters.ignore("user")
        try parameters.finish()
    }
}
