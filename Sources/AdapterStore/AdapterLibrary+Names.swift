package import Adapters
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

    /// The first names that stand for an adapter, in order.
    package func names(of digest: AdapterDigest) -> [String] {
        Array(state.withLock { $0.names.names(of: digest) }.sorted().prefix(10))
    }

    /// The adapter whose digest begins so, of those that are known or kept.
    ///
    /// - Throws: `LibraryError` with `adapter_not_found` when there is none or more than one, and with
    ///   `invalid_value` for what begins no digest.
    package func digest(beginning text: String) throws(LibraryError) -> AdapterDigest {
        if let digest = AdapterDigest(text) { return digest }
        let isHexadecimal = text.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
        guard isHexadecimal, text.utf8.count >= 6, text.utf8.count < 64 else {
            throw LibraryError(
                .invalidName, "A digest has 64 hexadecimal digits; its first 6 or more will do.")
        }
        var all = Set(disk.withLock { $0?.digests ?? [] })
        all.formUnion(state.withLock { Array($0.adapters.keys) })
        let found = all.filter { $0.description.hasPrefix(text) }
        guard found.count == 1, let digest = found.first else {
            throw LibraryError(
                .notFound,
                found.isEmpty
                    ? "No adapter with a digest that begins with \(text) is kept here any more."
                    : "\(found.count) digests begin with \(text): give more of it.")
        }
        return digest
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
