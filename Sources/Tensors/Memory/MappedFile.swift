internal import CMartletKernels
internal import Glibc

/// A regular file, mapped read-only, or a copy of how one begins.
///
/// Reads are checked against the size at opening. A file that another process cuts short while it
/// is mapped ends this process with a bus error, as with every mapping: so only files are mapped that
/// are our own, or the base's (SECURITY.md says who may write to model folders).
@safe package final class MappedFile: @unchecked Sendable {
    // Safety: the mapping is read-only, constant, and lives as long as the object.
    private let base: UnsafeRawPointer?
    package let byteCount: Int
    package let path: String
    /// When it was opened.
    package let version: FileVersion

    /// - Throws: `FileError` when the path cannot be opened, is not a regular file or cannot
    ///   be mapped.
    package convenience init(path: String) throws(FileError) {
        let (descriptor, status) = try BinaryFile.openRegular(path)
        defer { close(descriptor) }
        try self.init(descriptor, status, path, isMapped: true)
    }

    /// - Parameter isMapped: otherwise the memory is zeros, and nobody else's.
    private init(
        _ descriptor: Int32, _ status: stat, _ path: String, isMapped: Bool
    ) throws(FileError) {
        byteCount = Int(status.st_size)
        version = FileVersion(status)
        self.path = path
        guard byteCount > 0 else {
            unsafe base = nil
            return
        }
        let address =
            isMapped
            ? unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
            : unsafe mmap(
                nil, byteCount, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard unsafe address != MAP_FAILED, let address = unsafe address else {
            throw FileError(path: path, systemError: errno)
        }
        unsafe base = UnsafeRawPointer(address)
    }

    /// Reads how a file begins; the rest is zeros here, which take no memory. What becomes of the file
    /// afterwards does not matter.
    ///
    /// - Parameters:
    ///   - byteLimit: bytes of the whole file at most.
    ///   - count: how many bytes are wanted, by the first eight as a little-endian integer.
    /// - Throws: `FileError`, with EFBIG for a file that is too large.
    package convenience init(
        headOf path: String, byteLimit: Int, count: (_ firstWord: UInt64) -> Int
    ) throws(FileError) {
        let (descriptor, status) = try BinaryFile.openRegular(path)
        defer { close(descriptor) }
        guard status.st_size <= byteLimit else { throw FileError(path: path, systemError: EFBIG) }
        try self.init(descriptor, status, path, isMapped: false)
        guard let base = unsafe base else { return }
        let target = unsafe UnsafeMutableRawPointer(mutating: base)
        let first = min(8, byteCount)
        unsafe try BinaryFile.read(descriptor, path, at: 0, count: first, into: target)
        let wanted = min(byteCount, count(integer(at: 0) ?? 0))
        guard wanted > first else { return }
        unsafe try BinaryFile.read(
            descriptor, path, at: first, count: wanted - first, into: target + first)
    }

    deinit {
        if let base = unsafe base {
            unsafe munmap(UnsafeMutableRawPointer(mutating: base), byteCount)
        }
    }

    /// Copies bytes out.
    ///
    /// - Returns: nil when the range is not inside the file.
    package func bytes(in range: Range<Int>) -> [UInt8]? {
        guard contains(range), let base = unsafe base else { return range.isEmpty ? [] : nil }
        return unsafe Array(
            UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    /// A little-endian integer.
    ///
    /// - Returns: nil when it does not lie inside the file.
    package func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Value.Type = Value.self
    ) -> Value? {
        guard offset >= 0, offset <= byteCount - MemoryLayout<Value>.size, let base = unsafe base
        else { return nil }
        return Value(
            littleEndian: unsafe base.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// Tells the kernel that the pages are not needed for now; they are read again on next use.
    package func releasePages() {
        if let base = unsafe base {
            unsafe _ = madvise(UnsafeMutableRawPointer(mutating: base), byteCount, MADV_DONTNEED)
        }
    }

    /// Reads the whole file in order, as fast as the disk gives it; returns when it is in memory.
    package func readAll() {
        guard let base = unsafe base else { return }
        for start in Swift.stride(from: 0, to: byteCount, by: MappedFile.readAheadByteCount) {
            let count = min(MappedFile.readAheadByteCount, byteCount - start)
            unsafe _ = madvise(
                UnsafeMutableRawPointer(mutating: base) + start, count, MADV_POPULATE_READ)
        }
    }

    private static let readAheadByteCount = 4 << 20

    func contains(_ range: Range<Int>) -> Bool {
        range.lowerBound >= 0 && range.upperBound <= byteCount
    }

    func pointer(at offset: Int) -> UnsafePointer<UInt8>? {
        guard let base = unsafe base else { return nil }
        return unsafe (base + offset).assumingMemoryBound(to: UInt8.self)
    }
}
