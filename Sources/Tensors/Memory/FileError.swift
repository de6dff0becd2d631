internal import Glibc

/// A file that could not be opened, read or written.
package struct FileError: Error, CustomStringConvertible {
    package let path: String
    package let systemError: Int32

    package var isDiskFull: Bool { systemError == ENOSPC || systemError == EDQUOT }

    package var description: String {
        let reason = unsafe strerror(systemError).map { unsafe String(cString: $0) }
        return "cannot use \(path): \(reason ?? "error \(systemError)")"
    }
}
