internal import CMartletKernels
internal import Glibc

/// A regular file of our own that is read or written whole: memory goes to and from it without copies.
package final class BinaryFile {
    private let descriptor: Int32
    private let path: String
    /// When it was opened for reading.
    package let byteCount: Int

    /// Opens a file for reading. A symbolic link is refused.
    ///
    /// - Throws: `FileError`.
    package init(reading path: String) throws(FileError) {
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileError(path: path, systemError: errno) }
        self.path = path
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw FileError(path: path, systemError: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw FileError(path: path, systemError: EINVAL)
        }
        byteCount = Int(status.st_size)
    }

    /// Creates a file that must not exist yet, readable by its owner alone.
    ///
    /// - Throws: `FileError`.
    package init(creating path: String) throws(FileError) {
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError(path: path, systemError: errno) }
        self.path = path
        byteCount = 0
    }

    /// Opens a file to add to its end, or makes it, readable by its owner alone. What is written at once stands together, also
    /// beside other processes.
    ///
    /// - Throws: `FileError`.
    package init(appendingTo path: String) throws(FileError) {
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError(path: path, systemError: errno) }
        self.path = path
        byteCount = 0
    }

    deinit { close(descriptor) }

    /// Reads `buffer.byteCount` bytes from an offset on into a buffer, and their checksum.
    ///
    /// - Parameter pace: called between pieces of a quarter of a mebibyte.
    /// - Throws: `FileError`, also when the file ends before.
    package func read(
        at offset: Int, into buffer: Buffer, pace: () -> Void = {}
    ) throws(FileError) -> Checksum {
        var checksum = Checksum()
        var done = 0
        while done < buffer.byteCount {
            let count = min(BinaryFile.pieceByteCount, buffer.byteCount - done)
            unsafe try read(at: offset + done, count: count, into: buffer.base + done)
            unsafe checksum.add(UnsafeRawBufferPointer(start: buffer.base + done, count: count))
            done += count
            pace()
        }
        return checksum
    }

    /// Some bytes as an array.
    ///
    /// - Throws: `FileError`, also when the file ends before.
    package func bytes(at offset: Int, count: Int) throws(FileError) -> [UInt8] {
        let buffer = Buffer(byteCount: count)
        unsafe try read(at: offset, count: count, into: buffer.base)
        return unsafe Array(UnsafeRawBufferPointer(start: buffer.base, count: count))
    }

    /// Appends bytes.
    ///
    /// - Throws: `FileError`.
    package func write(_ bytes: [UInt8]) throws(FileError) {
        let buffer = Buffer(byteCount: bytes.count)
        unsafe UnsafeMutableRawBufferPointer(start: buffer.base, count: bytes.count)
            .copyBytes(from: bytes)
        try write(buffer)
    }

    /// Appends a buffer.
    ///
    /// - Throws: `FileError`.
    package func write(_ buffer: Buffer) throws(FileError) {
        try write(buffer, count: buffer.byteCount)
    }

    private func write(_ buffer: Buffer, count total: Int) throws(FileError) {
        var done = 0
        while done < total {
            let count = unsafe Glibc.write(
                descriptor, buffer.base + done, min(BinaryFile.pieceByteCount, total - done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw FileError(path: path, systemError: errno) }
            done += count
        }
    }

    /// Returns once everything written is on the disk.
    ///
    /// - Throws: `FileError`.
    package func synchronize() throws(FileError) {
        guard fsync(descriptor) == 0 else { throw FileError(path: path, systemError: errno) }
    }

    /// Makes a folder's entries durable: names that were added, replaced or removed.
    ///
    /// - Throws: `FileError`.
    package static func synchronize(folder: String) throws(FileError) {
        let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: folder, systemError: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw FileError(path: folder, systemError: errno) }
    }

    /// Copies a file that may change meanwhile to one that must not exist yet.
    ///
    /// - Throws: `FileError`, with EFBIG when it is larger than `byteLimit`.
    package static func copy(
        _ path: String, to target: String, byteLimit: Int
    ) throws(FileError) {
        let (source, status) = try openRegular(path)
        defer { close(source) }
        // A sparse file may be larger than any disk.
        guard status.st_size <= byteLimit else { throw FileError(path: path, systemError: EFBIG) }
        let file = try BinaryFile(creating: target)
        let buffer = Buffer(byteCount: pieceByteCount)
        var done = 0
        while true {
            let count = unsafe Glibc.read(source, buffer.base, buffer.byteCount)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FileError(path: path, systemError: errno) }
            if count == 0 { return }
            done += count
            guard done <= byteLimit else { throw FileError(path: path, systemError: EFBIG) }
            try file.write(buffer, count: count)
        }
    }

    /// A whole file, which may change meanwhile.
    ///
    /// - Throws: `FileError`, with EFBIG when it is larger than `byteLimit`, also when it ends before the
    ///   size that it had.
    package static func contents(
        of path: String, byteLimit: Int = .max
    ) throws(FileError) -> [UInt8] {
        let (descriptor, status) = try openRegular(path)
        defer { close(descriptor) }
        guard status.st_size <= byteLimit else { throw FileError(path: path, systemError: EFBIG) }
        let buffer = Buffer(byteCount: Int(status.st_size))
        unsafe try read(descriptor, path, at: 0, count: buffer.byteCount, into: buffer.base)
        return unsafe Array(
            UnsafeRawBufferPointer(start: buffer.base, count: Int(status.st_size)))
    }

    /// The first bytes of a file; fewer where it is shorter.
    ///
    /// - Throws: `FileError`.
    package static func head(of path: String, count: Int) throws(FileError) -> [UInt8] {
        let (descriptor, status) = try openRegular(path)
        defer { close(descriptor) }
        let buffer = Buffer(byteCount: min(count, Int(status.st_size)))
        unsafe try read(descriptor, path, at: 0, count: buffer.byteCount, into: buffer.base)
        return unsafe Array(UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount))
    }

    /// Opens a regular file for reading, through links. Whoever calls this closes it.
    static func openRegular(
        _ path: String
    ) throws(FileError) -> (descriptor: Int32, status: stat) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileError(path: path, systemError: errno) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw FileError(path: path, systemError: EINVAL)
        }
        return (descriptor, status)
    }

    /// Gives a file another name in its folder, durably, in place of any file of that name.
    ///
    /// - Throws: `FileError`. The file may have its new name then, though a crash may undo it.
    package static func rename(_ path: String, to target: String) throws(FileError) {
        guard unsafe Glibc.rename(path, target) == 0 else {
            throw FileError(path: target, systemError: errno)
        }
        let folder = target.split(separator: "/").dropLast().joined(separator: "/")
        let isAbsolute = target.hasPrefix("/")
        try synchronize(folder: isAbsolute ? "/" + folder : folder.isEmpty ? "." : folder)
    }

    /// Removes a file if there is one.
    package static func remove(_ path: String) { unsafe _ = unlink(path) }

    /// Small enough to be checked while it is in the cache, large enough to be read at full speed. A
    /// multiple of what a checksum adds at a time.
    private static let pieceByteCount = 1 << 18

    private func read(
        at offset: Int, count: Int, into target: UnsafeMutableRawPointer
    ) throws(FileError) {
        unsafe try BinaryFile.read(descriptor, path, at: offset, count: count, into: target)
    }

    static func read(
        _ descriptor: Int32, _ path: String, at offset: Int, count: Int,
        into target: UnsafeMutableRawPointer
    ) throws(FileError) {
        var done = 0
        while done < count {
            let got = unsafe pread(descriptor, target + done, count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else {
                throw FileError(path: path, systemError: got == 0 ? ENODATA : errno)
            }
            done += got
        }
    }
}
