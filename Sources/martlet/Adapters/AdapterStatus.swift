package import JSONTree

/// A name on a server and what the server knows of it.
package struct AdapterStatus: Sendable {
    package let name: String
    package let source: String
    package let revision: String
    /// Nil until somebody has asked for it.
    package let digest: String?
    package let tier: String
    package let isPinned: Bool
    /// Why it cannot be served.
    package let fault: String?
    package let rank: Int?
    package let moduleCount: Int?
    package let byteCount: Int?
    package let leaseCount: Int
    package let hitCount: Int
    package let loadCount: Int
    /// Seconds since 1970; 0 for never.
    package let lastUse: Int
    package let created: Int
    package let updated: Int

    /// Reads an entry of `/admin/adapters`; nil for what is none.
    package init?(_ json: JSON) {
        guard let name = json["name"]?.stringValue, let tier = json["tier"]?.stringValue else {
            return nil
        }
        self.name = name
        self.tier = tier
        source = json["source"]?.stringValue ?? ""
        revision = json["revision"]?.stringValue ?? ""
        digest = json["digest"]?.stringValue
        isPinned = json["pinned"]?.boolValue ?? false
        fault = json["fault"]?.stringValue
        rank = json["rank"]?.integerValue
        moduleCount = json["modules"]?.integerValue
        byteCount = json["bytes"]?.integerValue
        leaseCount = json["leases"]?.integerValue ?? 0
        hitCount = json["hits"]?.integerValue ?? 0
        loadCount = json["loads"]?.integerValue ?? 0
        lastUse = json["last_use"]?.integerValue ?? 0
        created = json["created"]?.integerValue ?? 0
        updated = json["updated"]?.integerValue ?? 0
    }

    package var size: String { byteCount.map { ByteCount.text($0) } ?? "-" }

    /// The code that a fault's message ends with.
    package var faultCode: String? {
        guard let fault else { return nil }
        guard fault.hasSuffix("]"), let start = fault.lastIndex(of: "[") else { return "refused" }
        return String(fault[fault.index(after: start)...].dropLast())
    }

    /// Where it is, in a line.
    package var line: String {
        let parts = [
            tier, byteCount == nil ? nil : size, isPinned ? "pinned" : nil,
            digest.map { "digest \($0)" },
        ]
        return name + ": " + parts.compactMap { $0 }.joined(separator: ", ")
    }
}

/// How full a server's tiers are.
package struct TiersStatus: Sendable {
    package struct Tier: Sendable {
        package let name: String
        package let adapterCount: Int
        package let byteCount: Int
        /// Bytes; 0 when the tier is turned off.
        package let budget: Int
    }

    package let tiers: [Tier]
    /// Requests that wait for room.
    package let waitingCount: Int
    package let thrashing: Double

    /// Reads `/admin/tiers`.
    package init(_ json: JSON) {
        tiers = (json.objectValue?.members ?? []).compactMap { name, value in
            guard let budget = value["budget"]?.integerValue else { return nil }
            return Tier(
                name: name, adapterCount: value["adapters"]?.integerValue ?? 0,
                byteCount: value["bytes"]?.integerValue ?? 0, budget: budget)
        }
        waitingCount = json["waiting"]?.integerValue ?? 0
        thrashing = json["thrashing"]?.doubleValue ?? 0
    }
}
