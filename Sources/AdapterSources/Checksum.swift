internal import Crypto
internal import Foundation

/// What a file's bytes must hash to, in lower-case hexadecimal digits.
package enum Checksum: Hashable, Sendable, CustomStringConvertible {
    case sha256(String)
    /// SHA-1 over `blob SIZE`, a zero byte and the content: how Git names it.
    case gitBlob(String)
    case md5(String)

    package var description: String {
        switch self {
        case .sha256(let digits): "sha256:" + digits
        case .gitBlob(let digits): "git-blob:" + digits
        case .md5(let digits): "md5:" + digits
        }
    }

    /// Reads what the Hub calls a file: the SHA-256 of a large one, Git's name of a small one.
    init?(hubTag tag: EntityTag) {
        if tag.value.isHexadecimal(count: 64) {
            self = .sha256(tag.value)
        } else if tag.value.isHexadecimal(count: 40) {
            self = .gitBlob(tag.value)
        } else {
            return nil
        }
    }

    /// Reads what S3 tells about an object: a SHA-256 over the whole of it, or a tag that is its MD5,
    /// which it is unless the object came in several parts or is encrypted with a key of KMS or the
    /// client's.
    init?(s3 answer: SourceAnswer) {
        if let text = answer.header("x-amz-checksum-sha256"),
            answer.header("x-amz-checksum-type") != "COMPOSITE",
            let bytes = Data(base64Encoded: text), bytes.count == 32
        {
            self = .sha256(bytes.hexadecimal)
            return
        }
        let encryption = answer.header("x-amz-server-side-encryption") ?? "AES256"
        guard let tag = answer.tag, tag.value.isHexadecimal(count: 32), encryption == "AES256",
            answer.header("x-amz-server-side-encryption-customer-algorithm") == nil
        else { return nil }
        self = .md5(tag.value)
    }

    /// Whether a file is what this is the checksum of.
    ///
    /// - Throws: `SourceError` with `unreadable_file`.
    func matches(fileAt path: String, byteCount: Int) async throws(SourceError) -> Bool {
        switch self {
        case .sha256(let digits):
            return try await Checksum.hash(path, with: SHA256()) == digits
        case .gitBlob(let digits):
            var hash = Insecure.SHA1()
            hash.update(data: Array("blob \(byteCount)\0".utf8))
            return try await Checksum.hash(path, with: hash) == digits
        case .md5(let digits):
            return try await Checksum.hash(path, with: Insecure.MD5()) == digits
        }
    }

    /// Reads in pieces, and lets others run between them.
    private static func hash(
        _ path: String, with start: some HashFunction
    ) async throws(SourceError) -> String {
        var hash = start
        do {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? file.close() }
            while let piece = try file.read(upToCount: 1 << 20), !piece.isEmpty {
                hash.update(data: piece)
                await Task.yield()
            }
        } catch {
            throw SourceError(.unreadableFile, "\(path) cannot be read back: \(error)")
        }
        return hash.finalize().hexadecimal
    }
}
