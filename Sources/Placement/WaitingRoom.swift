internal import DequeModule

/// Requests that wait because no replica can answer: bounded in number and bytes, in all and for each
/// tenant, and let go one by one, in turn among tenants and their adapters.
///
/// A plain value: whoever owns it does the waiting.
package struct WaitingRoom: Sendable {
    package struct Limits: Sendable, Equatable {
        package var count = 1000
        package var byteCount = 256 << 20
        /// Of one tenant.
        package var tenantCount = 250

        package init() {}
    }

    package struct Guest: Sendable {
        package var tenant: String
        /// The adapter, as routers know it; empty for the base.
        package var key: String
        /// Of the request's body.
        package var byteCount: Int
        /// When it is told that nobody came.
        package var deadline: Double

        package init(tenant: String, key: String, byteCount: Int, deadline: Double) {
            self.tenant = tenant
            self.key = key
            self.byteCount = byteCount
            self.deadline = deadline
        }
    }

    package typealias ID = Int

    private struct Line: Hashable {
        var tenant: String
        var key: String
    }

    package let limits: Limits
    private var guests: [ID: Guest] = [:]
    private var lines: [Line: Deque<ID>] = [:]
    /// Lines with somebody in them; the first is next.
    private var turns = Deque<Line>()
    private var tenants: [String: Int] = [:]
    private var lastID = 0
    package private(set) var byteCount = 0

    package init(limits: Limits = Limits()) { self.limits = limits }

    package var count: Int { guests.count }

    /// Requests for each adapter.
    package var countByKey: [String: Int] {
        var counts: [String: Int] = [:]
        for guest in guests.values { counts[guest.key, default: 0] += 1 }
        return counts
    }

    /// When the first of them has waited enough.
    package var firstDeadline: Double? { guests.values.lazy.map(\.deadline).min() }

    /// - Returns: nil when there is no room.
    package mutating func admit(_ guest: Guest) -> ID? {
        guard guests.count < limits.count, tenants[guest.tenant, default: 0] < limits.tenantCount,
            guest.byteCount <= limits.byteCount - byteCount
        else { return nil }
        lastID += 1
        guests[lastID] = guest
        tenants[guest.tenant, default: 0] += 1
        byteCount += guest.byteCount
        let line = Line(tenant: guest.tenant, key: guest.key)
        if lines[line] == nil { turns.append(line) }
        lines[line, default: []].append(lastID)
        return lastID
    }

    /// Forgets a request, whose client has left or whose time is over.
    package mutating func leave(_ id: ID) {
        guard let guest = guests[id] else { return }
        let line = Line(tenant: guest.tenant, key: guest.key)
        lines[line]?.removeAll { $0 == id }
        if lines[line]?.isEmpty == true {
            lines[line] = nil
            turns.removeAll { $0 == line }
        }
        remove(id, guest)
    }

    /// Lets the next one go.
    package mutating func next() -> (id: ID, guest: Guest)? {
        guard let line = turns.popFirst(), let id = lines[line]?.popFirst(), let guest = guests[id]
        else { return nil }
        if lines[line]?.isEmpty == true {
            lines[line] = nil
        } else {
            turns.append(line)
        }
        remove(id, guest)
        return (id, guest)
    }

    /// Takes one back that `next` let go and that cannot go yet: it is the first of its line again.
    package mutating func restore(_ id: ID, _ guest: Guest) {
        guests[id] = guest
        tenants[guest.tenant, default: 0] += 1
        byteCount += guest.byteCount
        let line = Line(tenant: guest.tenant, key: guest.key)
        if lines[line] == nil { turns.prepend(line) }
        lines[line, default: []].prepend(id)
    }

    /// Those whose time is over, who leave.
    package mutating func expire(at now: Double) -> [ID] {
        let late = guests.filter { $1.deadline <= now }.map(\.key).sorted()
        for id in late { leave(id) }
        return late
    }

    private mutating func remove(_ id: ID, _ guest: Guest) {
        guests[id] = nil
        byteCount -= guest.byteCount
        tenants[guest.tenant, default: 1] -= 1
        if tenants[guest.tenant] == 0 { tenants[guest.tenant] = nil }
    }
}
