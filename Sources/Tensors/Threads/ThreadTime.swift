internal import Glibc

/// The time that a thread has computed; what it has waited does not count.
package enum ThreadTime {
    /// Of the calling thread, since it began.
    package static var now: Duration {
        var time = timespec()
        guard unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0 else { return .zero }
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
