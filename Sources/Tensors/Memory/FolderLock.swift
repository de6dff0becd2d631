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

    /// Takes over a folder that a process of this user has left behind.
    ///
    /// - Returns: nil when that process lives, and for everything else.
    package init?(leftBehind folder: String) {
        var status = stat()
        guard unsafe lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            status.st_uid == geteuid()
        else { return nil }
        let descriptor = unsafe open(folder + "/lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}
