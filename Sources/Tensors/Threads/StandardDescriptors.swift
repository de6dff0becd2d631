internal import Glibc

/// The three descriptors that every process starts with.
package enum StandardDescriptors {
    /// Makes writing to standard output and standard error harmless, whatever became of their readers:
    /// a broken pipe is an error of that write and not the end of the process, and a descriptor that was
    /// closed leads nowhere instead of into the next file that is opened. Call it first of all.
    package static func secure() {
        _ = signal(SIGPIPE, SIG_IGN)
        // The lowest free descriptor is the one that is missing.
        while true {
            let descriptor = unsafe open("/dev/null", O_RDWR)
            guard (0...2).contains(descriptor) else {
                if descriptor > 2 { close(descriptor) }
                return
            }
        }
    }
}
