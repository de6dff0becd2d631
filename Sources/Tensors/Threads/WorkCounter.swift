internal import Synchronization

/// Hands out the numbers 0, 1, 2, … to the members of a team, each once: for pieces of unequal size.
package struct WorkCounter: ~Copyable, Sendable {
    private let next = Atomic<Int>(0)

    package init() {}

    /// The next number, or nil once `count` are taken.
    package borrowing func take(below count: Int) -> Int? {
        let value = next.add(1, ordering: .relaxed).oldValue
        return value < count ? value : nil
    }

    package borrowing func reset() { next.store(0, ordering: .relaxed) }
}
