internal import Generation
internal import Grammar
internal import ModelFiles

/// Why something cannot be done.
public struct MartletError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Stable across releases: `unsupported_field`, `context_length_exceeded`, … as docs/api.md and docs/adapters.md list them,
    /// and `cache_too_small` of ``LanguageModel/Configuration``.
    public let code: String
    public let message: String

    public var description: String { "\(message) [\(code)]" }

    init(_ code: String, _ message: String) {
        self.code = code
        self.message = message
    }

    private init(_ error: any Error) {
        switch error {
        case let error as MartletError: self = error
        case let error as GenerationError: self.init(error.code.name, error.message)
        case let error as GrammarError: self.init(error.code.rawValue, error.description)
        case let error as ModelFileError: self.init(error.code.description, error.message)
        default: self.init("model_failed", "\(error)")
        }
    }

    /// Refuses a number that is out of bounds; nil is none.
    static func check<Value: Comparable>(
        _ value: Value?, _ range: ClosedRange<Value>, _ name: String
    ) throws(MartletError) {
        guard let value, !range.contains(value) else { return }
        throw MartletError(
            "invalid_value",
            "\(name) is \(value); it must be between \(range.lowerBound) and \(range.upperBound)."
        )
    }

    /// Runs what may fail in many ways.
    static func wrapping<Value>(_ work: () async throws -> Value) async throws -> Value {
        do {
            return try await work()
        } catch let error as CancellationError {
            throw error
        } catch {
            throw MartletError(error)
        }
    }
}
