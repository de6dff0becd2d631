/// Makes verified files of the text of a source.
///
/// `pin` finds out which exact revision a source has now; `fetch` brings that revision's files and
/// nothing else. Both are safe to call from many tasks; two that fetch into one folder are not.
package struct SourceClient: Sendable {
    let transport: SourceTransport

    var policy: SourcePolicy { transport.policy }

    /// - Throws: `SourceError` with `invalid_policy`.
    package init(
        policy: SourcePolicy = SourcePolicy(), surroundings: Surroundings = .system
    ) throws(SourceError) {
        try policy.validate()
        transport = SourceTransport(policy: policy, surroundings: surroundings)
    }

    /// Finds the exact revision of a source and the files it has there.
    ///
    /// - Throws: `SourceError`; cancellation is one too.
    package func pin(_ source: AdapterSource) async throws(SourceError) -> PinnedSource {
        let deadline = ContinuousClock.now + policy.totalTimeout
        switch source {
        case .path(let path):
            return try pinned(source, path: path)
        case .hub(let location):
            return try await pinned(source, location, in: hub(), until: deadline)
        case .s3(let location):
            let access = try s3()
            return try await pinned(source, .s3(access), until: deadline) { name in
                let key = (location.components + [name].compactMap { $0 }).joined(separator: "/")
                return access.address(bucket: location.bucket, key: key)
            }
        case .web(let address):
            return try await pinned(source, .web, until: deadline) { name in
                name.map { address.appending($0) } ?? address
            }
        case .mix:
            throw SourceError(.malformedSource, "A mix is made of adapters and has no files.")
        }
    }

    /// Brings the files of a pinned source into a folder, under the names of `AdapterPart`.
    ///
    /// A file counts as there only when it is whole, durable and has the checksum its server promised;
    /// until then it has another name. What an earlier call left unfinished is continued.
    ///
    /// - Parameters:
    ///   - pinned: from `pin`, and not a path, which is read in place.
    ///   - folder: exists, and belongs to the caller alone.
    ///   - progress: called often, in order.
    /// - Throws: `SourceError`; cancellation is one too.
    package func fetch(
        _ pinned: PinnedSource, into folder: String,
        progress: @escaping @Sendable (FetchProgress) -> Void = { _ in }
    ) async throws(SourceError) {
        precondition(pinned.localPath == nil, "A path is read in place, not fetched.")
        let service = try service(of: pinned.source)
        let deadline = ContinuousClock.now + policy.totalTimeout
        if let total = pinned.byteCount, total > policy.byteLimit {
            throw SourceError(
                .tooLarge,
                "\(pinned.source) has \(total) bytes; the limit is \(policy.byteLimit) bytes")
        }
        let isAdapter = pinned.files.contains { $0.name == AdapterPart.configuration.fileName }
        var done = 0
        for file in pinned.files {
            let before = done
            var limit = policy.byteLimit - done
            if isAdapter {
                limit = min(limit, policy.byteLimit(of: AdapterPart(rawValue: file.name)))
            }
            let download = Download(
                transport: transport, service: service, file: file, folder: folder,
                byteLimit: limit, deadline: deadline
            ) { fileDone, fileTotal in
                progress(
                    FetchProgress(
                        name: file.name, fileDone: fileDone, fileTotal: fileTotal,
                        done: before + fileDone, total: pinned.byteCount))
            }
            done += try await download.run()
        }
    }

    private func service(of source: AdapterSource) throws(SourceError) -> RemoteService {
        switch source {
        case .path, .web, .mix: .web
        case .hub: .hub(try hub())
        case .s3: .s3(try s3())
        }
    }

    func hub() throws(SourceError) -> HubAccess {
        guard let access = policy.hub else {
            throw SourceError(.sourceNotAllowed, "sources on the Hub are turned off")
        }
        return access
    }

    private func s3() throws(SourceError) -> S3Access {
        guard let access = policy.s3 else {
            throw SourceError(
                .sourceNotAllowed,
                "sources in S3 are turned off: configure a region, and "
                    + "credentials unless the bucket is public")
        }
        return access
    }
}

/// How far a fetch has come, in bytes.
package struct FetchProgress: Hashable, Sendable {
    /// The file that is coming.
    package let name: String
    package let fileDone: Int
    /// Nil when the server does not tell.
    package let fileTotal: Int?
    /// Of all files together.
    package let done: Int
    package let total: Int?
}
