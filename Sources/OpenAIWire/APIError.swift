public import JSONTree

/// A refusal as the OpenAI API words it: an HTTP status, a stable code, the parameter at fault, and
/// a message that says what to do.
public struct APIError: Error, Equatable, CustomStringConvertible {
    public var status: Int
    public var type: String
    public var code: String
    public var message: String
    public var parameter: String?
    /// Seconds after which to try again.
    public var retryAfter: Int?

    public init(
        status: Int, type: String = "invalid_request_error", code: String, message: String,
        parameter: String? = nil, retryAfter: Int? = nil
    ) {
        self.status = status
        self.type = type
        self.code = code
        self.message = message.shortened
        self.parameter = parameter
        self.retryAfter = retryAfter
    }

    /// A parameter with a value that cannot be.
    public static func invalid(_ parameter: String, _ message: String) -> APIError {
        APIError(status: 400, code: "invalid_value", message: message, parameter: parameter)
    }

    public static func unsupported(_ parameter: String, _ message: String) -> APIError {
        APIError(status: 400, code: "unsupported_parameter", message: message, parameter: parameter)
    }

    public var description: String { "\(message) [\(code)]" }

    /// `{"error": {…}}`.
    public var json: JSON {
        [
            "error": [
                "message": .string(message), "type": .string(type),
                "param": parameter.map { .string($0) } ?? .null, "code": .string(code),
            ]
        ]
    }
}
