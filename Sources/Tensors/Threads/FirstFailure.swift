internal import Synchronization

/// The first error of several threads.
package final class FirstFailure<Failure: Error>: Sendable {
    private let first = Mutex<Failure?>(nil)

    package init() {}

    package var error: Failure? { first.withLock { $0 } }

    package var happened: Bool { first.withLock { $0 != nil } }

    package func record(_ error: Failure) {
        first.withLock { if $0 == nil { $0 = error } }
    }
}
