import Foundation
import Glibc
import Tensors
import TestSupport
import Testing

/// Files that are read and written whole, and the checksum over what is read.
struct BinaryFileTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A piece is 262144 bytes; a checksum takes 32 at a time.
    static let counts = [
        0, 1, 31, 32, 33, 262_143, 262_144, 262_145, 262_176, 524_287, 524_288, 524_289, 1_000_003,
    ]

    static func bytes(_ count: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: UInt64(count))
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    // MARK: Files of others

    /// Whatever becomes of a file that was copied or whose head was: reading it ends no process.
    @Test(arguments: [100, 5000, Int.max])
    func aFileThatIsCutShortIsReadAsItWas(headCount: Int) throws {
        let bytes = Self.bytes(20_000)
        let path = try folder.write(bytes, to: "shrinking")
        let file = try MappedFile(headOf: path, byteLimit: 1 << 20) { _ in headCount }
        try resize(path, 10)
        let count = min(headCount, bytes.count)
        #expect(file.bytes(in: 0..<count) == Array(bytes[..<count]))
        #expect(file.byteCount == bytes.count)
        #expect(file.bytes(in: count..<bytes.count)?.allSatisfy { $0 == 0 } == true)
        #expect(try BinaryFile.contents(of: path) == Array(bytes[..<10]))
        #expect(try BinaryFile.head(of: path, count: 100) == Array(bytes[..<10]))
        #expect(try BinaryFile.head(of: path, count: 4) == Array(bytes[..<4]))
    }

    @Test func aSparseFileOfAnySizeIsRefusedBeforeItIsRead() throws {
        let path = try folder.write([], to: "sparse")
        try resize(path, 1 << 40)
        let limit = 1 << 30
        #expect(throws: FileError.self) { try BinaryFile.contents(of: path, byteLimit: limit) }
        #expect(throws: FileError.self) {
            try MappedFile(headOf: path, byteLimit: limit) { _ in .max }
        }
        #expect(try BinaryFile.head(of: path, count: 8) == Array(repeating: 0, count: 8))
    }

    private func resize(_ path: String, _ byteCount: UInt64) throws {
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.truncate(atOffset: byteCount)
    }

    // MARK: Checksums

    @Test func theChecksumIsThePortableOne() {
        for count in Array(0...200) + Self.counts {
            let bytes = Self.bytes(count)
            let checksum = Checksum(of: bytes)
            #expect(checksum == Checksum(portablyOf: bytes), "\(count) bytes")
            #expect(checksum.words.last == UInt64(count))
        }
    }

    /// RFC 3720, B.4, has the CRC-32C of four messages of 32 bytes, each of which goes into a lane
    /// of its own here. The standard begins with a register of ones and inverts what comes out; a
    /// checksum begins with zeroes and does not. The first is the same as inverting a message's
    /// first four bytes, the second is done to what is expected.
    @Test func eachLaneIsTheStandardsSum() {
        let messages: [[UInt8]] = [
            Array(repeating: 0, count: 32), Array(repeating: 0xFF, count: 32), Array(0..<32),
            Array((0..<32).reversed()),
        ]
        let expected: [UInt64] = [0x8A91_36AA, 0x62A8_AB43, 0x46DD_794E, 0x113F_DB5C]
        let lanes = messages.map { message in message.prefix(4).map { ~$0 } + message.dropFirst(4) }
        let bytes = stride(from: 0, to: 32, by: 8).flatMap { start in
            lanes.flatMap { $0[start..<start + 8] }
        }
        let sums = expected.map { $0 ^ 0xFFFF_FFFF }
        let words = [sums[0] | sums[1] << 32, sums[2] | sums[3] << 32, 128]
        #expect(Checksum(of: bytes).words == words)
        #expect(Checksum(portablyOf: bytes).words == words)
    }

    /// Constants by Python, a byte at a time, for "12345678" and for "9" and seven zeroes:
    /// `for b in data: c ^= b; for _ in range(8): c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)`
    /// from c = 0. From c = 0xFFFFFFFF and inverted it gives the known 0xE3069283 for "123456789".
    @Test func aRestIsFilledUpWithZeroes() {
        let expected: [UInt64] = [0x8271_15D0_ECAF_3210, 0, 9]
        #expect(Checksum(of: Array("123456789".utf8)).words == expected)
        #expect(Checksum(of: Array(repeating: 0, count: 100)).words == [0, 0, 100])
    }

    // MARK: Reading and writing

    @Test(arguments: counts)
    func whatIsWrittenIsRead(_ count: Int) throws {
        let bytes = Self.bytes(count)
        let path = folder.path("file")
        let created = try BinaryFile(creating: path)
        try created.write(bytes)
        try created.synchronize()
        let file = try BinaryFile(reading: path)
        #expect(file.byteCount == count)
        let buffer = Buffer(byteCount: count)
        let checksum = try file.read(at: 0, into: buffer)
        #expect(checksum == Checksum(of: bytes) && checksum == Checksum(of: buffer))
        let copy = try BinaryFile(creating: folder.path("copy"))
        try copy.write(buffer)
        for name in ["file", "copy"] {
            let isSame = try Self.whole(folder.path(name)) == bytes
            #expect(isSame, "\(name)")
        }
    }

    static func whole(_ path: String) throws -> [UInt8] {
        let file = try BinaryFile(reading: path)
        return try file.bytes(at: 0, count: file.byteCount)
    }

    @Test func writesAppendAndReadsBeginAnywhere() throws {
        let bytes = Self.bytes(300_000)
        let created = try BinaryFile(creating: folder.path("file"))
        for range in [0..<1, 1..<1, 1..<270_000, 270_000..<300_000] {
            try created.write(Array(bytes[range]))
        }
        let file = try BinaryFile(reading: folder.path("file"))
        for (offset, count) in [(0, 0), (0, 7), (13, 270_001), (299_999, 1), (300_000, 0)] {
            let expected = Array(bytes[offset..<offset + count])
            let isSame = try file.bytes(at: offset, count: count) == expected
            let checksum = try file.read(at: offset, into: Buffer(byteCount: count))
            #expect(isSame && checksum == Checksum(of: expected), "\(count) at \(offset)")
        }
    }

    @Test(arguments: [(0, 101), (1, 100), (100, 1), (5000, 1), (0, 262_145)])
    func readingBeyondTheEndFails(_ offset: Int, _ count: Int) throws {
        let path = try folder.write(Self.bytes(100), to: "file")
        #expect(throws: FileError.self) {
            try BinaryFile(reading: path).bytes(at: offset, count: count)
        }
        #expect(throws: FileError.self) {
            try BinaryFile(reading: path).read(at: offset, into: Buffer(byteCount: count))
        }
    }

    // MARK: Names

    @Test func onlyNewFilesAreCreatedForTheirOwnerAlone() throws {
        let path = try folder.write("mine", to: "file")
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("link"), withDestinationPath: folder.path("nowhere"))
        for name in ["file", "link"] {
            let error = #expect(throws: FileError.self) {
                _ = try BinaryFile(creating: folder.path(name))
            }
            #expect(error?.systemError == EEXIST && error?.isDiskFull == false)
        }
        #expect(try Self.whole(path) == Array("mine".utf8))
        #expect(!FileManager.default.fileExists(atPath: folder.path("nowhere")))
        _ = try BinaryFile(creating: folder.path("new"))
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.path("new"))
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    }

    @Test func onlyRegularFilesAreRead() throws {
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("link"), withDestinationPath: try folder.write("x", to: "file"))
        // The folder comes last: its error must not be that of the call before.
        for (name, code) in [("link", ELOOP), ("gone", ENOENT), ("", EINVAL)] {
            let path = folder.path(name)
            let error = #expect(throws: FileError.self) { _ = try BinaryFile(reading: path) }
            #expect(error?.systemError == code, "\(name)")
            #expect(error?.path == path && error?.description.contains(path) == true)
        }
    }

    @Test func aRenamedFileReplacesAnother() throws {
        try folder.write("old", to: "target")
        let path = try folder.write("new", to: "file")
        try BinaryFile.rename(path, to: folder.path("target"))
        #expect(try Self.whole(folder.path("target")) == Array("new".utf8))
        #expect(throws: FileError.self) {
            try BinaryFile.rename(path, to: folder.path("target"))
        }
        BinaryFile.remove(path)
        BinaryFile.remove(folder.path("target"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("target")))
        try BinaryFile.synchronize(folder: folder.url.path)
        #expect(throws: FileError.self) {
            try BinaryFile.synchronize(folder: folder.path("gone"))
        }
    }

    @Test(arguments: [0, 1, 262_144, 262_145, 600_000])
    func aCopyIsWholeOrRefused(_ count: Int) throws {
        let bytes = Self.bytes(count)
        let path = try folder.write(bytes, to: "file")
        let target = folder.path("copy")
        try BinaryFile.copy(path, to: target, byteLimit: count)
        let isSame = try Self.whole(target) == bytes
        #expect(isSame)
        let taken = #expect(throws: FileError.self) {
            try BinaryFile.copy(path, to: target, byteLimit: count)
        }
        #expect(taken?.systemError == EEXIST)
        guard count > 0 else { return }
        let large = #expect(throws: FileError.self) {
            try BinaryFile.copy(path, to: folder.path("short"), byteLimit: count - 1)
        }
        #expect(large?.systemError == EFBIG)
    }
}
