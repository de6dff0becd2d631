internal import NIOHTTP1

extension SourceClient {
    /// What the Hub may say about a repository; one with many thousands of files fits. Read, it takes
    /// some sixteen times as much memory.
    private static let listingByteLimit = 4 << 20

    /// Pins a place on the Hub: the commit its revision names, and the adapter's files there.
    func pinned(
        _ source: AdapterSource, _ location: HubLocation, in access: HubAccess,
        until deadline: ContinuousClock.Instant
    ) async throws(SourceError) -> PinnedSource {
        try await pinned(source, location, in: access, until: deadline) {
            (listing) throws(SourceError) in
            try listing.files(isFile: source.isFile).map { ($0.part.fileName, $0.path) }
        }
    }

    /// Pins a base model on the Hub: the commit its revision names, and the files that a model is
    /// loaded from.
    ///
    /// - Throws: `SourceError`; cancellation is one too.
    package func pinBase(_ location: HubLocation) async throws(SourceError) -> PinnedSource {
        try await pinned(
            .hub(location), location, in: hub(), until: ContinuousClock.now + policy.totalTimeout
        ) { (listing) throws(SourceError) in try listing.baseFiles() }
    }

    /// - Parameter choose: the files that are wanted, by their names here and their paths there.
    private func pinned(
        _ source: AdapterSource, _ location: HubLocation, in access: HubAccess,
        until deadline: ContinuousClock.Instant,
        choose: (HubListing) throws(SourceError) -> [(name: String, path: String)]
    ) async throws(SourceError) -> PinnedSource {
        let service = RemoteService.hub(access)
        let request = SourceRequest(
            address: access.metadataAddress(location), service: service)
        let listing = try await ask(request, until: deadline) {
            (answer: SourceAnswer) async throws(SourceError) -> HubListing in
            guard answer.status == 200 else { throw answer.failure }
            return try HubListing(
                try await answer.body(limit: SourceClient.listingByteLimit, until: deadline),
                of: location)
        }
        var files: [RemoteFile] = []
        for (name, path) in try choose(listing) {
            let address = access.fileAddress(location, commit: listing.commit, path: path)
            guard
                let file = try await probe(
                    name, at: address, of: service, commit: listing.commit, until: deadline)
            else { throw SourceError(.notFound, "\(address) does not exist") }
            files.append(file)
        }
        return PinnedSource(
            source: source, revision: listing.commit, localPath: nil, files: files)
    }

    /// Pins files that can only be asked for one by one.
    ///
    /// - Parameter address: of a file in the source, or with nil of the source itself.
    func pinned(
        _ source: AdapterSource, _ service: RemoteService, until deadline: ContinuousClock.Instant,
        address: (String?) -> WebAddress
    ) async throws(SourceError) -> PinnedSource {
        var files: [RemoteFile] = []
        if source.isFile {
            files = [
                try await existing(
                    AdapterPart.gguf.fileName, at: address(nil), of: service, until: deadline)
            ]
        } else {
            let place = address(AdapterPart.weights.fileName)
            var found = try await probe(
                AdapterPart.weights.fileName, at: place, of: service, until: deadline)
            if found == nil {
                found = try await probe(
                    AdapterPart.mlx.fileName, at: address(AdapterPart.mlx.fileName), of: service,
                    until: deadline)
            }
            if let weights = found {
                let configuration = try await existing(
                    AdapterPart.configuration.fileName,
                    at: address(AdapterPart.configuration.fileName), of: service,
                    until: deadline)
                files = [configuration, weights]
                for part in AdapterPart.texts {
                    if let file = try await optional(
                        part.fileName, at: address(part.fileName), of: service, until: deadline)
                    {
                        files.append(file)
                    }
                }
            } else {
                let pickle = try await probe(
                    AdapterPart.weights.fileName, at: address(AdapterPart.pickleName), of: service,
                    until: deadline)
                throw pickle == nil
                    ? SourceError(.notFound, "\(place) does not exist")
                    : AdapterPart.pickleRefused(source.description)
            }
        }
        let validators = files.compactMap(\.validator)
        return PinnedSource(
            source: source,
            revision: validators.count == files.count ? validators.joined(separator: ", ") : "",
            localPath: nil, files: files)
    }

    /// A file that need not be there. S3 says of what is not there that it is forbidden, to those who may not list.
    private func optional(
        _ name: String, at address: WebAddress, of service: RemoteService,
        until deadline: ContinuousClock.Instant
    ) async throws(SourceError) -> RemoteFile? {
        do {
            return try await probe(name, at: address, of: service, until: deadline)
        } catch {
            if case .s3 = service, error.code == .unauthorized { return nil }
            throw error
        }
    }

    private func existing(
        _ name: String, at address: WebAddress, of service: RemoteService,
        until deadline: ContinuousClock.Instant
    ) async throws(SourceError) -> RemoteFile {
        guard let file = try await probe(name, at: address, of: service, until: deadline) else {
            throw SourceError(.notFound, "\(address) does not exist")
        }
        return file
    }

    /// Asks for size and tag of a file without its bytes.
    ///
    /// - Parameter commit: what the Hub must answer from.
    /// - Returns: nil when the file does not exist.
    private func probe(
        _ name: String, at address: WebAddress, of service: RemoteService,
        commit: String? = nil, until deadline: ContinuousClock.Instant
    ) async throws(SourceError) -> RemoteFile? {
        var request = SourceRequest(method: .HEAD, address: address, service: service)
        // Only the Hub itself knows a large file by its hash; whom it redirects to does not.
        if case .hub = service { request.stopsAtOtherOrigins = true }
        while true {
            let method = request.method
            let found = try await ask(request, until: deadline) {
                (answer: SourceAnswer) async throws(SourceError) -> Probe in
                if method == .HEAD, [405, 501].contains(answer.status) { return .headUnknown }
                if [404, 410].contains(answer.status) { return .missing }
                return .file(try RemoteFile(name, at: address, of: service, commit, answer))
            }
            switch found {
            case .file(let file): return file
            case .missing: return nil
            // The body is left unread: its connection closes with the answer.
            case .headUnknown: request.method = .GET
            }
        }
    }

    private func ask<Value>(
        _ request: SourceRequest, until deadline: ContinuousClock.Instant,
        _ read: (SourceAnswer) async throws(SourceError) -> Value
    ) async throws(SourceError) -> Value {
        try await transport.retrying(until: deadline) { () async throws(SourceError) -> Value in
            try await transport.send(request, until: deadline, read)
        }
    }
}

private enum Probe {
    case file(RemoteFile)
    case missing
    case headUnknown
}

extension RemoteFile {
    /// Reads a file's size, tag and checksum from the head of an answer.
    fileprivate init(
        _ name: String, at address: WebAddress, of service: RemoteService, _ commit: String?,
        _ answer: SourceAnswer
    ) throws(SourceError) {
        self.init(name: name, address: address)
        guard case .hub = service else {
            guard answer.status == 200 else { throw answer.failure }
            byteCount = answer.byteCount("Content-Length")
            tag = answer.tag
            modified = answer.header("Last-Modified")
            if case .s3 = service { checksum = Checksum(s3: answer) }
            return
        }
        guard (200...399).contains(answer.status) else { throw answer.failure }
        if let said = answer.header("X-Repo-Commit"), let commit, said != commit {
            throw SourceError(
                .changedMeanwhile, "\(address) is answered from commit \(said); try again")
        }
        let linked = answer.header("X-Linked-Etag").flatMap { EntityTag($0) }
        byteCount = answer.byteCount("X-Linked-Size")
        if answer.status == 200 { byteCount = byteCount ?? answer.byteCount("Content-Length") }
        tag = linked ?? answer.tag
        checksum = tag.flatMap { Checksum(hubTag: $0) }
    }
}
