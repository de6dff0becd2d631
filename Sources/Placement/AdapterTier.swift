/// Where a replica has an adapter, from far to near.
package enum AdapterTier: UInt8, Sendable, CaseIterable, Comparable {
    /// It would have to be fetched.
    case source
    case disk
    case host
    case device

    package static func < (a: AdapterTier, b: AdapterTier) -> Bool { a.rawValue < b.rawValue }

    /// As messages and headers have it.
    package var name: String {
        switch self {
        case .source: "source"
        case .disk: "disk"
        case .host: "host"
        case .device: "device"
        }
    }

    package init?(name: String) {
        guard let tier = AdapterTier.allCases.first(where: { $0.name == name }) else { return nil }
        self = tier
    }
}
