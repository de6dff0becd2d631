internal import Synchronization

/// Hands out the numbers 0, 1, 2, …, each once, to whichever thread asks.
final class WorkCounter: Sendable {
    private let next = Atomic<Int>(0)
    // Counters of different threads should not share a cache line.
    private let padding = (UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0), UInt64(0))

    /// The next number, or nil once `count` are taken.
    func take(below count: Int) -> Int? {
        guard next.load(ordering: .relaxed) < count else { return nil }
        let value = next.add(1, ordering: .relaxed).oldValue
        return value < count ? value : nil
    }

    func reset() { next.store(0, ordering: .relaxed) }
}
