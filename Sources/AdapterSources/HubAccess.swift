/// How the Hugging Face Hub, or a mirror of it, is reached.
package struct HubAccess: Hashable, Sendable {
    package var endpoint = WebAddress(scheme: .https, host: "huggingface.co")
    /// Sent to the endpoint alone, never to where it redirects.
    package var token: Secret?
    /// Hosts besides the endpoint's that its redirects may lead to: where it keeps large files.
    package var contentHosts = [
        HostPattern(name: "hf.co", matchesBelow: true),
        HostPattern(name: "huggingface.co", matchesBelow: true),
    ]

    package init() {}

    func metadataAddress(_ location: HubLocation) -> WebAddress {
        let revision = PlainText.percentEncoded(location.revision)
        return endpoint.appending("api/models/\(location.owner)/\(location.name)/revision")
            .appending(escaped: revision)
    }

    func fileAddress(_ location: HubLocation, commit: String, path: String) -> WebAddress {
        endpoint.appending("\(location.owner)/\(location.name)/resolve/\(commit)/\(path)")
    }
}
