public import JSONTree

/// `POST /v1/embeddings`: texts as vectors.
public struct EmbeddingRequest: Sendable, Equatable {
    public enum Input: Sendable, Equatable {
        case text(String)
        case tokens([Int])
    }

    public var model: String
    public var inputs: [Input]
    /// Whether vectors are written as base64 of little-endian floats.
    public var isBase64: Bool
    /// Numbers of a vector; nil for all.
    public var dimensions: Int?
    /// `last` or `mean`: which hidden states a vector is made of.
    public var pooling: String
    public var addsSpecialTokens: Bool

    public static let inputLimit = 2048
    public static let poolings = ["last", "mean"]

    /// - Throws: `APIError` naming the parameter at fault.
    public init(_ json: JSON) throws(APIError) {
        var parameters = try Parameters(json)
        model = try parameters.model()
        inputs = try EmbeddingRequest.inputs(parameters.json("input"))
        let format = try parameters.string("encoding_format") ?? "float"
        guard ["float", "base64"].contains(format) else {
            throw .invalid("encoding_format", "encoding_format must be float or base64.")
        }
        isBase64 = format == "base64"
        dimensions = try parameters.integer("dimensions", in: 1...1 << 20)
        pooling = try parameters.string("pooling") ?? "last"
        guard EmbeddingRequest.poolings.contains(pooling) else {
            throw .invalid("pooling", "pooling must be last or mean.")
        }
        addsSpecialTokens = try parameters.bool("add_special_tokens") ?? true
        parameters.ignore("user")
        try parameters.finish()
    }

    static func inputs(_ json: JSON?) throws(APIError) -> [Input] {
        guard let json else {
            throw APIError(
                status: 400, code: "missing_parameter", message: "input is missing.",
                parameter: "input")
        }
        if let text = json.stringValue { return [.text(text)] }
        let elements = json.arrayValue ?? []
        if !elements.isEmpty {
            if let tokens = tokens(elements) { return [.tokens(tokens)] }
            guard elements.count <= inputLimit else {
                throw .invalid(
                    "input", "input has \(elements.count) texts; at most \(inputLimit) are allowed."
                )
            }
            let inputs = elements.compactMap { element -> Input? in
                if let text = element.stringValue { return .text(text) }
                return element.arrayValue.flatMap { tokens($0) }.map { .tokens($0) }
            }
            if inputs.count == elements.count { return inputs }
        }
        throw APIError(
            status: 400, code: "invalid_type",
            message:
                "input must be a text, a list of texts, token ids, or a list of lists of token ids.",
            parameter: "input")
    }

    private static func tokens(_ elements: [JSON]) -> [Int]? {
        let tokens = elements.compactMap(\.integerValue)
        return tokens.count == elements.count && !tokens.isEmpty ? tokens : nil
    }
}
