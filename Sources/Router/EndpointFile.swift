internal import Foundation
internal import JSONTree

/// The file that tells Envoy which replicas there are: its endpoint discovery service, as a file in a
/// watched folder. Written beside its place and renamed, because Envoy looks when a name moves.
package struct EndpointFile: Sendable {
    private let path: String
    /// Of the cluster in Envoy's configuration.
    private let cluster: String

    package init(path: String, cluster: String = "pool") {
        self.path = path
        self.cluster = cluster
    }

    /// - Parameter endpoints: `ip:port`.
    /// - Throws: when it cannot be written.
    package func write(_ endpoints: [String], version: Int) throws {
        let text = json(endpoints, version: version).text()
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent,
            withIntermediateDirectories: true)
        let temporary = "\(path).\(ProcessInfo.processInfo.processIdentifier).new"
        try Data(text.utf8).write(to: URL(fileURLWithPath: temporary))
        guard unsafe rename(temporary, path) == 0 else {
            throw DiscoveryError("\(temporary) cannot be renamed to \(path)")
        }
    }

    func json(_ endpoints: [String], version: Int) -> JSON {
        let hosts = endpoints.compactMap { try? Discovery.address($0) }.map { address -> JSON in
            [
                "endpoint": [
                    "address": [
                        "socket_address": [
                            "address": .string(address.host), "port_value": .integer(address.port),
                        ]
                    ]
                ]
            ]
        }
        return [
            "version_info": .string("\(version)"),
            "resources": [
                [
                    "@type":
                        "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                    "cluster_name": .string(cluster),
                    "endpoints": [["lb_endpoints": .array(hosts)]],
                ]
            ],
        ]
    }
}
