internal import Glibc

/// What signals do before somebody handles them.
package enum ProcessSignals {
    /// Has a crash end the process at once. Otherwise Swift's runtime would keep it, with its port, for
    /// the minutes that writing a backtrace takes, and a supervisor's restart would find the port taken.
    /// Whoever sets SWIFT_BACKTRACE wants the backtrace.
    package static func crashAtOnce() {
        guard unsafe getenv("SWIFT_BACKTRACE") == nil else { return }
        for number in [SIGQUIT, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP] {
            _ = signal(number, SIG_DFL)
        }
    }

    /// Has SIGHUP wait for whoever comes to handle it, instead of ending a server that still loads.
    package static func ignoreHangUp() { _ = signal(SIGHUP, SIG_IGN) }
}
