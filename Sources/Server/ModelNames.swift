internal import AdapterSources
internal import AdapterStore
internal import Generation
internal import Logging
internal import OpenAIWire
internal import Tenants

extension ModelRegistry {
    /// - Throws: as `check(_:)`, or when the adapters cannot be added up on the model.
    func check(_ name: String, mixing mix: [ScaledAdapter]?, in scope: ModelScope) throws {
        guard let mix else { return try check(name, in: scope) }
        try check(name, mixing: mix.map(\.name), in: scope)
    }

    /// What a request names. Where an operator's adapter comes from is none of a tenant's business.
    func model(
        _ name: String, mixing mix: [ScaledAdapter]? = nil, _ context: APIContext
    ) async throws -> Model {
        let scope = context.scope
        guard let mix else {
            return try await answering(name, context) { try await model(name, in: scope) }
        }
        let names = mix.map(\.name).joined(separator: " + ")
        return try await answering(names, context) {
            try check(name, mixing: mix, in: scope)
            return try await model(mixing: mix.map { ($0.name, $0.scale) })
        }
    }

    private func answering(
        _ name: String, _ context: APIContext, _ work: () async throws -> Model
    ) async throws -> Model {
        do {
            return try await work()
        } catch let error as CancellationError {
            throw error
        } catch {
            var answer = APIError(error)
            if answer.parameter != nil { answer.parameter = "model" }
            // The name is served; that its files are not there is the server's trouble, and may pass.
            if let error = error as? SourceError, error.code == .notFound,
                !library.isJustInTime(name)
            {
                answer.status = 503
                answer.type = "server_error"
                answer.retryAfter = 5
            }
            let isSecret = !context.isOperator && !library.isJustInTime(name)
            if isSecret, APIError.namesPlaces(error) {
                context.logger.error("adapter not read", metadata: ["error": .string("\(error)")])
                answer.message =
                    "The adapter \"\(name)\" cannot be read. The server's log says why."
            }
            throw answer
        }
    }
}
