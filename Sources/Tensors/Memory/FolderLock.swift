internal import Glibc

/// Holds a folder for this process, as long as the object lives. The system lets go of it when the
/// process ends, however that happens.
package final class FolderLock: Sendable {
    private let descriptor: Int32

    /// - Returns: nil when another process holds the folder.
    /// - Throws: `FileError` when there can be no lock file in it.
    package init?(folder: String) throws(FileError) {
        let path = folder + "/lock"
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw FileError(path: path, systemError: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            close(descriptor)
            if reason == EWOULDBLOCK { return nil }
            throw FileError(path: path, systemError: reason)
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}
