import Placement
import Testing

struct WaitingRoomTests {
    static func guest(
        _ tenant: String, _ key: String = "a", bytes: Int = 10, until deadline: Double = 100
    ) -> WaitingRoom.Guest {
        WaitingRoom.Guest(tenant: tenant, key: key, byteCount: bytes, deadline: deadline)
    }

    @Test func itIsBoundedInNumberBytesAndByTenant() {
        var limits = WaitingRoom.Limits()
        limits.count = 5
        limits.byteCount = 100
        limits.tenantCount = 3
        var room = WaitingRoom(limits: limits)
        #expect(
            (0..<4).map { _ in room.admit(Self.guest("red")) != nil } == [true, true, true, false])
        #expect(room.admit(Self.guest("blue", bytes: 71)) == nil)
        let blue = room.admit(Self.guest("blue", bytes: 70))
        #expect(blue != nil && room.byteCount == 100)
        #expect(room.admit(Self.guest("green", bytes: 1)) == nil)
        room.leave(blue ?? 0)
        #expect(room.admit(Self.guest("green")) != nil && room.admit(Self.guest("green")) != nil)
        #expect(room.admit(Self.guest("blue", bytes: 0)) == nil, "five are there")
    }

    @Test func tenantsAndAdaptersTakeTurns() {
        var room = WaitingRoom()
        for _ in 0..<4 { _ = room.admit(Self.guest("red", "a")) }
        _ = room.admit(Self.guest("red", "b"))
        _ = room.admit(Self.guest("blue", "a"))
        var order: [String] = []
        while let (_, guest) = room.next() { order.append("\(guest.tenant) \(guest.key)") }
        #expect(order == ["red a", "red b", "blue a", "red a", "red a", "red a"])
        #expect(room.count == 0 && room.byteCount == 0 && room.countByKey.isEmpty)
    }

    @Test func whoWaitedEnoughLeaves() {
        var room = WaitingRoom()
        let early = room.admit(Self.guest("red", until: 10))
        let late = room.admit(Self.guest("red", until: 20))
        #expect(room.firstDeadline == 10)
        #expect(room.expire(at: 10) == [early])
        room.leave(early ?? 0)
        #expect(room.next()?.id == late)
        #expect(room.next() == nil)
    }
}
