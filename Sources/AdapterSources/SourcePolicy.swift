/// What sources may do: where they may lead, how much they may bring, how long they may take.
///
/// The defaults let paths and the Hub in, and no other host. Sources come from people who may name
/// adapters, answers from servers that may be anybody's; the policy is the operator's.
package struct SourcePolicy: Hashable, Sendable {
    /// Folders that paths must lie in once links are resolved; empty for any.
    package var allowedRoots: [String] = []
    /// Hosts of `https` sources, and hosts that these may redirect to. The endpoints of the Hub and
    /// of S3 need no entry.
    package var allowedHosts: [HostPattern] = []
    /// Hosts that may be on this machine or in its private network. No host may be at a link-local
    /// or metadata address.
    package var localHosts: [HostPattern] = []
    package var allowsPlainHTTP = false
    /// Nil refuses sources on the Hub.
    package var hub: HubAccess? = HubAccess()
    /// Nil refuses sources in S3.
    package var s3: S3Access?

    /// Bytes of all files of a source together.
    package var byteLimit = 8 << 30
    /// Bytes of `adapter_config.json`, and of each file beside it but for weights and `tokenizer.json`.
    package var configurationByteLimit = 4 << 20
    /// Bytes of `tokenizer.json`.
    package var tokenizerByteLimit = 64 << 20

    func byteLimit(of part: AdapterPart?) -> Int {
        switch part {
        case .configuration, .template, .tokenizer, .generation: configurationByteLimit
        case .tokens: tokenizerByteLimit
        case .weights, .gguf, .mlx, nil: byteLimit
        }
    }

    package var redirectLimit = 5
    package var retries = RetrySchedule()
    package var connectTimeout = Duration.seconds(10)
    /// How long a server may be silent.
    package var idleTimeout = Duration.seconds(30)
    /// How long pinning a source, or fetching one, may take in all.
    package var totalTimeout = Duration.seconds(3600)

    package init() {}

    /// - Throws: `SourceError` with `invalid_policy`.
    func validate() throws(SourceError) {
        func require(_ condition: Bool, _ reason: String) throws(SourceError) {
            guard condition else { throw SourceError(.invalidPolicy, reason) }
        }
        try require(byteLimit > 0 && configurationByteLimit > 0, "byte limits must be positive")
        try require((0...20).contains(redirectLimit), "the redirect limit must be 0 to 20")
        try require((0...20).contains(retries.limit), "the limit of retries must be 0 to 20")
        try require(
            connectTimeout > .zero && idleTimeout > .zero && totalTimeout > .zero,
            "timeouts must be positive")
        try require(
            allowedRoots.allSatisfy { $0.hasPrefix("/") }, "allowed roots must be absolute paths")
        try require(
            hub?.token.map { SourcePolicy.isHeaderText($0.value) } ?? true,
            "the Hub's token must be visible ASCII without spaces")
        guard let s3 else { return }
        try require(
            WebAddress.isHostName(s3.region[...]) && !s3.region.contains("."),
            "the S3 region must be a name like us-east-1")
        try require(
            s3.endpoint.map { $0.path == "/" } ?? true, "the S3 endpoint must have no path")
        let keys = [s3.credentials?.accessKey, s3.credentials?.sessionToken?.value].compactMap {
            $0
        }
        try require(
            keys.allSatisfy(SourcePolicy.isHeaderText),
            "the S3 access key and session token must be visible ASCII without spaces")
    }

    /// Why an address may not be asked for a source of this kind; nil when it may.
    func refusal(of address: WebAddress, for service: RemoteService) -> String? {
        guard address.scheme == .https || allowsPlainHTTP else {
            return
                "\(address.origin) is not https, and plain http is not allowed; the server's --plain-http-sources allows it"
        }
        let isAllowed =
            service.isEndpoint(address)
            || (allowedHosts + service.contentHosts).contains { $0.matches(address.host) }
        return isAllowed
            ? nil
            : "\(address.host) is not among the hosts that adapters may come from; the server's --source-host \(address.host) allows it"
    }

    /// - Throws: `SourceError` with `private_address` for an address that `host` may not be at.
    func check(_ address: NetworkAddress, of host: String) throws(SourceError) {
        switch address.reach {
        case .global: return
        case .local:
            if localHosts.contains(where: { $0.matches(host) }) { return }
            throw SourceError(
                .privateAddress,
                "\(host) is at \(address), which is on this machine or in its private network; "
                    + "only hosts that the operator lists as local may be")
        case .special:
            throw SourceError(
                .privateAddress, "\(host) is at \(address), where no source may be")
        }
    }

    private static func isHeaderText(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

/// When a failed request is tried again: after exponentially growing pauses with jitter.
package struct RetrySchedule: Hashable, Sendable {
    /// Tries after the first.
    package var limit = 4
    package var firstPause = Duration.milliseconds(500)
    package var longestPause = Duration.seconds(60)

    package init() {}

    /// - Parameters:
    ///   - failures: how many tries have failed, at least 1.
    ///   - jitter: 0 up to 1; the pause is between its half and the whole.
    ///   - retryAfter: what the server asked for; no pause is shorter.
    /// - Returns: nil when there is to be no other try: there were enough, or the server asks for more
    ///   patience than there is.
    package func pause(after failures: Int, jitter: Double, retryAfter: Duration?) -> Duration? {
        guard failures <= limit, retryAfter ?? .zero <= longestPause else { return nil }
        let grown = firstPause * (1 << min(failures - 1, 30))
        let pause = min(grown, longestPause) * (0.5 + 0.5 * jitter)
        return max(pause, retryAfter ?? .zero)
    }
}
