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
        case tooManyRequests
        /// The device gives none.
        case noEmbeddings
        /// The first token would come too late by so many seconds.
        case tooLate(seconds: Int)
        case shuttingDown
        case modelFailed
        /// What the answer must be could not be followed to its end.
        case constraintFailed
        case deviceLost
    }

    package var code: Code
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
