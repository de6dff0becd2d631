internal import Glibc

/// Which file lies at a path, and since when it is as it is: enough to see that it was written or
/// replaced.
package struct FileVersion: Equatable, Sendable, CustomStringConvertible {
    private let device: UInt64
    private let number: UInt64
    package let byteCount: Int
    package let isRegular: Bool
    private let seconds: Int
    private let nanoseconds: Int
    /// Of its owner, name and mode too, which whoever writes to a file cannot set back.
    private let changeSeconds: Int
    private let changeNanoseconds: Int

    /// - Returns: nil when there is none.
    package init?(of path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        number = UInt64(status.st_ino)
        byteCount = Int(status.st_size)
        isRegular = status.st_mode & S_IFMT == S_IFREG
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
        changeSeconds = status.st_ctim.tv_sec
        changeNanoseconds = status.st_ctim.tv_nsec
    }

    /// Whether nothing was written since a second since 1970.
    package func isOlder(than second: Int) -> Bool { max(seconds, changeSeconds) < second }

    /// Size, dates and number: the same after a restart, when devices may have changed places.
    package var description: String {
        "\(byteCount) \(seconds) \(nanoseconds) \(changeSeconds) \(changeNanoseconds) \(number)"
    }
}
