/// A source at one exact revision: what is fetched from it is these files or nothing.
package struct PinnedSource: Hashable, Sendable {
    package let source: AdapterSource
    /// What to store and compare: it differs when the source has changed since. A commit on the Hub,
    /// tags or dates of the files elsewhere; empty when a server tells neither, and then only the
    /// digest of what is fetched can say.
    package let revision: String
    /// Where a path leads once links are resolved; read in place. Nil for all other sources.
    package let localPath: String?
    /// What `fetch` brings, in this order; none for a path.
    package let files: [RemoteFile]

    /// The same with some of its files.
    package func only(_ files: [RemoteFile]) -> PinnedSource {
        PinnedSource(source: source, revision: revision, localPath: localPath, files: files)
    }

    /// Bytes of all files, where the servers have told.
    package var byteCount: Int? {
        let counts = files.compactMap(\.byteCount)
        return counts.count == files.count ? counts.reduce(0, +) : nil
    }
}

/// A file on a server, as it was when it was pinned.
package struct RemoteFile: Hashable, Sendable {
    /// What it is called here.
    package let name: String
    package let address: WebAddress
    package internal(set) var byteCount: Int?
    package internal(set) var tag: EntityTag?
    /// `Last-Modified`, as the server writes it.
    var modified: String?
    package internal(set) var checksum: Checksum?

    /// The tag, or else date and size; nil when there is neither.
    var validator: String? {
        tag?.description ?? modified.map { "\($0) \(byteCount ?? 0)" }
    }

    /// What must be the same for a file that was fetched in part to be continued.
    var continuation: String? {
        if let checksum { return checksum.description }
        guard let tag, !tag.isWeak else { return nil }
        return tag.description
    }
}
