internal import Synchronization

/// Work that is shared by all who ask for the same, and that ends when all of them have gone.
final class Flight<Value: Sendable>: Sendable {
    private enum Waiters {
        case some(Int)
        case abandoned
    }

    let work: Task<Value, any Error>
    /// Whether nobody waited for it when it began.
    let isBackground: Bool
    private let waiters = Mutex(Waiters.some(0))

    init(_ work: Task<Value, any Error>) {
        self.work = work
        isBackground = ClimbThrottle.isBackground
    }

    /// Counts one who waits, until `leave`.
    ///
    /// - Returns: false when the work was given up: it ends soon, and can be begun again then.
    func join() -> Bool {
        waiters.withLock { waiters in
            guard case .some(let count) = waiters else { return false }
            waiters = .some(count + 1)
            return true
        }
    }

    /// - Parameter givesUp: whether whoever leaves has no use for the value any more.
    func leave(givesUp: Bool) {
        let isAbandoned = waiters.withLock { waiters in
            guard case .some(let count) = waiters else { return false }
            waiters = count == 1 && givesUp ? .abandoned : .some(count - 1)
            return count == 1 && givesUp
        }
        if isAbandoned { work.cancel() }
    }
}
