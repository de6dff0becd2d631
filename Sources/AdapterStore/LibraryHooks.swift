/// Where tests reach into a library: the clock, and what the disk tier does with files.
package struct LibraryHooks: Sendable {
    /// The clock of whatever waits: requests, and climbs that nobody waits for.
    package var now: @Sendable () -> ContinuousClock.Instant = { .now }
    package var sleep: @Sendable (_ until: ContinuousClock.Instant) async throws -> Void = {
        try await ContinuousClock().sleep(until: $0)
    }
    /// Has a pack written, on whatever thread: after it, the pack is at `path`, or this throws.
    package var write: @Sendable (_ path: String, _ write: () throws -> Void) throws -> Void = {
        _, write in try write()
    }
    /// Called on the thread that is about to read a pack.
    package var willRead: @Sendable (_ path: String) -> Void = { _ in }

    package init() {}
}
