internal import AdapterStore
internal import Adapters
internal import Crypto
internal import Engine
internal import Generation
internal import OpenAIWire
internal import Tenants

/// Who finds in the cache what others have computed: a prompt that is found answers sooner, and so tells that somebody asked it.
package enum PrefixSharing: String, Sendable, CaseIterable {
    /// Requests with one key.
    case key
    /// Requests for one adapter, whoever asks; those for the base as `key`.
    case adapter
    /// Everybody.
    case all

    /// - Parameter salt: a request's own; only requests with the same one share.
    func scope(
        salt: String?, of holder: KeyHolder?, for model: ModelRegistry.Model
    ) -> PrefixScope? {
        // What stands before an invocation is the base's.
        let isAdapters = model.lease.map { $0.adapter.shape.invocation.isEmpty } ?? false
        let isShared = self == .all || self == .adapter && isAdapters
        let owner = isShared ? nil : holder?.name
        guard salt != nil || owner != nil else { return nil }
        var hash = SHA256()
        for part in [owner, salt] {
            // By length, so that no two pairs are one text.
            hash.update(data: Array("\(part?.utf8.count ?? -1):\(part ?? "")".utf8))
        }
        return PrefixScope(hash: hash.finalize())
    }
}

extension APIContext {
    /// Whose a request is in the engine.
    ///
    /// - Parameter priority: what the request asks for.
    /// - Throws: `APIError` when that is more urgent than its key may.
    func flow(_ priority: Int?) throws(APIError) -> Flow {
        guard let tenant else { return Flow(priority: priority ?? 0) }
        let terms = tenant.terms
        if let priority, priority < terms.priority {
            throw .invalid(
                "priority",
                "priority is \(priority); with this key it may be \(terms.priority) or more, which is less urgent."
            )
        }
        return Flow(
            owner: tenant.name, weight: terms.weight, priority: priority ?? terms.priority)
    }
}
