import Foundation

/// Who is where, how big, how hot, as text.
package enum AdapterTable {
    package enum Order: String, Sendable, CaseIterable {
        case hits, name, size, tier
    }

    /// - Parameter now: seconds since 1970.
    package static func text(_ adapters: [AdapterStatus], by order: Order, now: Int) -> String {
        var table = TextTable([
            "name", "tier", "rank", "size", "hits", "loads", "leases", "last use", "pinned",
            "digest", "fault",
        ])
        for adapter in adapters.sorted(by: order.puts(_:above:)) {
            table.add([
                adapter.name, adapter.tier, adapter.rank.map { "\($0)" } ?? "-", adapter.size,
                "\(adapter.hitCount)", "\(adapter.loadCount)", "\(adapter.leaseCount)",
                age(of: adapter.lastUse, now: now), adapter.isPinned ? "yes" : "-",
                adapter.digest.map { String($0.prefix(12)) } ?? "-", adapter.faultCode ?? "-",
            ])
        }
        return table.columns(left: ["name", "tier", "pinned", "digest", "fault"])
    }

    /// A line for each tier, and how it goes between them.
    package static func text(_ status: TiersStatus) -> String {
        var table = TextTable(["tier", "adapters", "size", "budget", "full"])
        for tier in status.tiers {
            table.add([
                tier.name, "\(tier.adapterCount)", ByteCount.text(tier.byteCount),
                tier.budget == 0 ? "off" : ByteCount.text(tier.budget),
                tier.budget == 0 ? "-" : "\(tier.byteCount * 100 / tier.budget) %",
            ])
        }
        return table.columns(left: ["tier"])
            + "\nwaiting for room: \(status.waitingCount), thrashing: "
            + String(format: "%.2f", status.thrashing)
    }

    /// 12s ago.
    static func age(of time: Int, now: Int) -> String {
        guard time > 0 else { return "never" }
        let seconds = max(0, now - time)
        switch seconds {
        case ..<60: return "\(seconds)s ago"
        case ..<3600: return "\(seconds / 60)m ago"
        case ..<86_400: return "\(seconds / 3600)h ago"
        default: return "\(seconds / 86_400)d ago"
        }
    }
}

extension AdapterTable.Order {
    /// Tiers from the farthest to the nearest.
    private static let tiers = ["source", "disk", "host", "device"]

    /// Whether an adapter stands above another: the hotter, larger or nearer one does.
    fileprivate func puts(_ a: AdapterStatus, above b: AdapterStatus) -> Bool {
        func place(_ adapter: AdapterStatus) -> Int {
            AdapterTable.Order.tiers.firstIndex(of: adapter.tier) ?? AdapterTable.Order.tiers.count
        }
        return switch self {
        case .hits: (b.hitCount, b.lastUse, a.name) < (a.hitCount, a.lastUse, b.name)
        case .name: a.name < b.name
        case .size: (b.byteCount ?? 0, a.name) < (a.byteCount ?? 0, b.name)
        case .tier: (place(b), b.hitCount, a.name) < (place(a), a.hitCount, b.name)
        }
    }
}
