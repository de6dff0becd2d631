import AdapterStore
import Testing

/// What is remembered of names that could not be had, and for how long.
struct RecentFailuresTests {
    private struct Broken: Error, Equatable {
        var number: Int
    }

    private static func number(
        of name: String, in failures: RecentFailures, at seconds: Int
    ) -> Int? {
        (failures.error(of: name, at: .seconds(seconds)) as? Broken)?.number
    }

    @Test func oneIsRememberedForAWhile() {
        var failures = RecentFailures(lifetime: .seconds(10), limit: 4)
        #expect(Self.number(of: "a", in: failures, at: 0) == nil)
        failures.note(Broken(number: 1), of: "a", at: .seconds(5))
        #expect(Self.number(of: "a", in: failures, at: 5) == 1)
        #expect(Self.number(of: "a", in: failures, at: 14) == 1)
        #expect(Self.number(of: "b", in: failures, at: 14) == nil)
        #expect(Self.number(of: "a", in: failures, at: 15) == nil)
        failures.note(Broken(number: 2), of: "a", at: .seconds(15))
        #expect(Self.number(of: "a", in: failures, at: 24) == 2)
    }

    @Test func noMoreThanTheLimitAreRemembered() {
        var failures = RecentFailures(lifetime: .seconds(1000), limit: 4)
        for number in 0..<10 {
            failures.note(Broken(number: number), of: "\(number)", at: .seconds(number))
            #expect(failures.count == min(number + 1, 4))
        }
        for number in 0..<10 {
            let found = Self.number(of: "\(number)", in: failures, at: 10)
            #expect(found == (number < 6 ? nil : number))
        }
    }

    @Test func thoseThatAreOverGoFirst() {
        var failures = RecentFailures(lifetime: .seconds(10), limit: 2)
        failures.note(Broken(number: 1), of: "a", at: .seconds(0))
        failures.note(Broken(number: 2), of: "b", at: .seconds(1))
        failures.note(Broken(number: 3), of: "c", at: .seconds(20))
        #expect(failures.count == 1)
        // A name that is there needs no room.
        failures.note(Broken(number: 4), of: "d", at: .seconds(21))
        failures.note(Broken(number: 5), of: "d", at: .seconds(22))
        #expect(Self.number(of: "c", in: failures, at: 22) == 3)
        #expect(Self.number(of: "d", in: failures, at: 22) == 5)
    }

    @Test func nothingIsRememberedWithoutRoom() {
        var failures = RecentFailures(lifetime: .seconds(10), limit: 0)
        failures.note(Broken(number: 1), of: "a", at: .zero)
        #expect(failures.count == 0)
    }
}
