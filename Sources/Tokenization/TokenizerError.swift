/// A tokenizer definition that is damaged or uses a part that is not supported.
public struct TokenizerError: Error, Hashable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
