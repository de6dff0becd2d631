internal import Adapters
internal import Catalog
internal import Foundation
internal import Synchronization

/// Names that requests gave: nobody takes them back, so they go when others need the room, or when
/// they have been idle for long.
extension AdapterLibrary {
    /// Takes back a client's name when it has as many as it may, or anybody's when all names are taken.
    /// In a change only.
    ///
    /// - Parameter client: nil for an operator.
    /// - Throws: `CatalogError`.
    func makeRoomForName(of client: String?) throws {
        let (own, all, count) = state.withLock { state in
            (
                client.flatMap { state.names.namesOfClients[$0] } ?? [],
                state.names.namesOfClients, state.names.count
            )
        }
        if own.count >= configuration.namesPerClient {
            try takeBack(own)
        } else if count >= configuration.adapterLimit {
            try takeBack(Set(all.values.joined()))
        }
    }

    /// Takes back the one that has been idle longest, if there is one.
    private func takeBack(_ names: Set<String>) throws {
        let view = state.withLock { $0.view }
        let idle = names.compactMap { name in idleSince(name, view).map { (name, $0) } }
        guard let (name, _) = idle.min(by: { ($0.1, $0.0) < ($1.1, $1.0) }) else { return }
        try removeNow(name)
        events.send(.removed(name))
    }

    /// Takes back names that requests gave and that nobody has used for long.
    ///
    /// - Parameter now: seconds since 1970.
    /// - Throws: `CatalogError`.
    package func takeBackIdleNames(now: Double = Date().timeIntervalSince1970) async throws {
        let view = state.withLock { $0.view }
        let oldest = now - configuration.nameLifetime
        for name in view.names.namesOfClients.values.joined() {
            guard let since = idleSince(name, view), since < oldest else { continue }
            // Somebody may have changed it meanwhile; then it is used.
            let isGone = try await change {
                let view = self.state.withLock { $0.view }
                guard self.idleSince(name, view) == since else { return false }
                try self.removeNow(name)
                return true
            }
            if isGone { events.send(.removed(name)) }
        }
        publish()
    }

    /// Seconds since 1970; nil for a name that is in use or stays.
    private func idleSince(_ name: String, _ view: LibraryView) -> Double? {
        guard let entry = view.entry(name), entry.alias.client != nil, !entry.alias.keepsItsPack,
            entry.leaseCount == 0
        else { return nil }
        return max(entry.record?.lastUse ?? 0, entry.alias.updated)
    }
}
