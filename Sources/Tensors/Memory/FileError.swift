internal import Glibc

/// A file that could not be opened, read or written.
package struct FileError: Error, CustomStringConvertible {
    package let path: String
    package let systemError: Int32

    package init(path: String, systemError: Int32) {
        self.path = path
        self.systemError = systemError
    }

    package var isDiskFull: Bool { systemError == ENOSPC || systemError == EDQUOT }

    package var isTooLarge: Bool { systemError == EFBIG }

    package var isMissing: Bool { systemError == ENOENT }

    /// Whether another try would fail the same way: the path leads to nothing that can be read.
    package var isOfTheFile: Bool {
        [ENOENT, ENODATA, ENOTDIR, ELOOP, EINVAL, EFBIG, EISDIR, ENAMETOOLONG].contains(systemError)
    }

    package var description: String {
        let reason = unsafe strerror(systemError).map { unsafe String(cString: $0) }
        return "cannot use \(path): \(reason ?? "error \(systemError)")"
    }
}
