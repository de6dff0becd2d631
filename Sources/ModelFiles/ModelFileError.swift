internal import JSONTree

/// A model or adapter file that is refused: damaged, hostile, or of a kind that is not supported.
///
/// The message names the file, field or tensor and says what is supported instead.
public struct ModelFileError: Error, Hashable, CustomStringConvertible, Sendable {
    /// What is wrong, stable across releases; clients and scripts may compare it.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        public init(_ description: String) { self.description = description }
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message.shortened
    }

    public var description: String { "\(message) [\(code)]" }
}

extension ModelFileError.Code {
    public static let unreadableFile = Self("unreadable_file")
    public static let missingFile = Self("missing_file")
    public static let malformedFile = Self("malformed_file")
    public static let unsupportedFile = Self("unsupported_file")
    public static let unsupportedModel = Self("unsupported_model")
    public static let invalidField = Self("invalid_field")
    public static let unsupportedField = Self("unsupported_field")
    public static let missingTensor = Self("missing_tensor")
    public static let unexpectedTensor = Self("unexpected_tensor")
    public static let wrongShape = Self("wrong_shape")
    public static let unsupportedTensorType = Self("unsupported_tensor_type")
    public static let nonFiniteValue = Self("non_finite_value")
}
