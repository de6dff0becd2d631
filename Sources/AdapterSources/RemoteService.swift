internal import Foundation
internal import NIOHTTP1

/// The kind of server a source's files come from: where it may lead, and what proves to it who asks.
enum RemoteService: Sendable {
    case hub(HubAccess)
    case s3(S3Access)
    case web

    /// Whether the operator's configuration itself names the server.
    func isEndpoint(_ address: WebAddress) -> Bool {
        switch self {
        case .hub(let access): return address.origin == access.endpoint.origin
        case .s3(let access):
            if let endpoint = access.endpoint { return address.origin == endpoint.origin }
            let host = "s3.\(access.region).amazonaws.com"
            return address.host == host || address.host.hasSuffix("." + host)
        case .web: return false
        }
    }

    /// Hosts the files may be redirected to besides the policy's.
    var contentHosts: [HostPattern] {
        if case .hub(let access) = self { access.contentHosts } else { [] }
    }

    /// Whether the tag of an answer is that of the file: the Hub's content servers have their own.
    var answersWithFileTags: Bool {
        if case .hub = self { false } else { true }
    }

    /// Adds what proves who asks. Only the endpoint itself is told.
    func authorize(
        _ headers: inout HTTPHeaders, method: HTTPMethod, address: WebAddress, at date: Date
    ) {
        guard isEndpoint(address) else { return }
        switch self {
        case .hub(let access):
            guard let token = access.token else { return }
            headers.replaceOrAdd(name: "Authorization", value: "Bearer \(token.value)")
        case .s3(let access):
            // Some answers carry a checksum only when asked; it must be signed like all x-amz headers.
            let signed = [("x-amz-checksum-mode", "ENABLED")]
            guard let credentials = access.credentials else {
                headers.add(contentsOf: signed)
                return
            }
            let signer = S3Signer(credentials: credentials, region: access.region)
            for (name, value) in signer.headers(
                method: method.rawValue, host: address.authority, path: address.path,
                headers: signed, at: date)
            {
                headers.replaceOrAdd(name: name, value: value)
            }
        case .web: return
        }
    }
}
