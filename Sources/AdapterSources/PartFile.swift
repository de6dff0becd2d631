internal import Foundation
internal import NIOCore

/// A file on its way to disk: `NAME.part`, and `NAME.part.etag` with what its bytes belong to, until it
/// is whole and becomes `NAME`.
///
/// The folder is private to the caller, so nobody else writes to these names.
struct PartFile {
    private let path: String
    private let handle: FileHandle
    private let continuation: String?
    private(set) var byteCount: Int

    private var partPath: String { path + ".part" }
    private var tagPath: String { path + ".part.etag" }

    /// Opens what an earlier try has left, or an empty file when there is nothing or it belongs to
    /// something else.
    ///
    /// - Parameter continuation: what the bytes belong to; nil when that is not known.
    /// - Throws: `SourceError` with `unwritable_file`.
    init(_ name: String, in folder: String, continuation: String?) throws(SourceError) {
        path = folder + "/" + name
        self.continuation = continuation
        let partPath = path + ".part"
        let left = try? String(contentsOfFile: path + ".part.etag", encoding: .utf8)
        let isContinued = continuation != nil && left == continuation
        if !isContinued || !FileManager.default.fileExists(atPath: partPath) {
            let isCreated = FileManager.default.createFile(
                atPath: partPath, contents: nil, attributes: [.posixPermissions: 0o600])
            guard isCreated else {
                throw SourceError(.unwritableFile, "\(partPath) cannot be created")
            }
        }
        do {
            handle = try FileHandle(forUpdating: URL(fileURLWithPath: partPath))
            byteCount = Int(try handle.seekToEnd())
        } catch {
            throw SourceError(.unwritableFile, "\(partPath) cannot be opened: \(error)")
        }
        if !isContinued { try restart() }
    }

    /// Forgets all bytes.
    mutating func restart() throws(SourceError) {
        byteCount = 0
        try writing { handle in
            try handle.truncate(atOffset: 0)
            try handle.seek(toOffset: 0)
        }
        do {
            if let continuation {
                try continuation.write(toFile: tagPath, atomically: true, encoding: .utf8)
            } else if FileManager.default.fileExists(atPath: tagPath) {
                try FileManager.default.removeItem(atPath: tagPath)
            }
        } catch {
            throw SourceError(.unwritableFile, "\(tagPath) cannot be written: \(error)")
        }
    }

    mutating func append(_ buffer: ByteBuffer) throws(SourceError) {
        try writing { handle in try handle.write(contentsOf: Data(buffer.readableBytesView)) }
        byteCount += buffer.readableBytes
    }

    /// Makes the bytes durable, checks them as they lie on disk, and gives the file its name.
    ///
    /// - Throws: `SourceError` with `checksum_mismatch`, after which nothing is left of the file.
    func finish(checking checksum: Checksum?) async throws(SourceError) {
        try writing { handle in try handle.synchronize() }
        if let checksum,
            try await !checksum.matches(fileAt: partPath, byteCount: byteCount)
        {
            discard()
            throw SourceError(
                .checksumMismatch,
                "what came for \(path) does not have the checksum that its server promised; it was "
                    + "damaged on the way or replaced. Try again.")
        }
        do {
            if FileManager.default.fileExists(atPath: path) {
                try FileManager.default.removeItem(atPath: path)
            }
            try FileManager.default.moveItem(atPath: partPath, toPath: path)
        } catch {
            throw SourceError(.unwritableFile, "\(path) cannot be written: \(error)")
        }
        try? FileManager.default.removeItem(atPath: tagPath)
    }

    /// Leaves nothing for a later try to continue.
    func discard() {
        try? FileManager.default.removeItem(atPath: tagPath)
        try? FileManager.default.removeItem(atPath: partPath)
    }

    private func writing(_ body: (FileHandle) throws -> Void) throws(SourceError) {
        do {
            try body(handle)
        } catch {
            throw SourceError(.unwritableFile, "\(partPath) cannot be written: \(error)")
        }
    }
}
