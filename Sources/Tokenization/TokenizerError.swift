/// A tokenizer definition that is damaged or uses a part that is not supported.
public struct TokenizerError: Error, Hashable, CustomStringConvertible {
    public let description: String

    /// A model without a tokenizer cannot serve text.
    public static let noTokenizer = TokenizerError(
        "the model has no tokenizer.json; save its tokenizer with transformers' fast tokenizers")

    init(_ description: String) { self.description = description }
}
