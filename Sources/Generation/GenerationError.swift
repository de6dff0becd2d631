/// Why a request is not generated.
package struct GenerationError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case modelNotFound(near: [String])
        /// A mix names something that it cannot be a mix of.
        case notTheBase
        case contextLengthExceeded
        case invalidToken
        case emptyPrompt
        case noChatTemplate
        case templateRefused
        case templateFailed
        /// The template has no place for this parameter.
        case notShown(String)
        case adapterTooLarge
        case adapterIsClassifier
        case unsupportedVocabulary
        case tooManyRequests
        /// The first token would come too late by so many seconds.
        case tooLate(seconds: Int)
        case shuttingDown
        case modelFailed
        /// What the answer must be could not be followed to its end.
        case constraintFailed
        case deviceLost

        /// What clients may compare; stable across releases.
        package var name: String {
            switch self {
            case .modelNotFound: "model_not_found"
            case .notTheBase: "invalid_value"
            case .contextLengthExceeded: "context_length_exceeded"
            case .invalidToken: "invalid_token"
            case .emptyPrompt: "empty_prompt"
            case .noChatTemplate: "no_chat_template"
            case .templateRefused, .templateFailed: "chat_template_error"
            case .notShown: "unsupported_parameter"
            case .adapterTooLarge: "adapter_too_large"
            case .adapterIsClassifier: "adapter_is_a_classifier"
            case .unsupportedVocabulary: "unsupported_vocabulary"
            case .tooManyRequests: "queue_full"
            case .tooLate: "queue_delay_exceeded"
            case .shuttingDown: "shutting_down"
            case .modelFailed: "model_failed"
            case .constraintFailed: "grammar_too_complex"
            case .deviceLost: "device_lost"
            }
        }
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
