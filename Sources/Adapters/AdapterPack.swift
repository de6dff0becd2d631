internal import JSONTree
package import ModelFiles
package import Tensors

/// A device adapter as a file of its own: a header, then its memory as it is, so that bringing it
/// back is one read. A pack is for one base and one format.
///
/// The header is little-endian words: magic, version (of this file and of the panels), format, bytes
/// of memory; the base's fingerprint and the adapter's digest (4 each); the memory's checksum (3); the
/// bytes of the base's name; the bytes of the adapter's text as JSON; the words of the shape; the base's tokenizer
/// where the adapter's files say which tokens it has, else 0; the shape; the name and the text, each padded to words; the header's checksum (3). The memory begins at the next
/// multiple of 4096.
package enum AdapterPack {
    private static let magic: UInt64 = 0x314B_4341_504C_544D
    private static let version: UInt64 = 5
    private static let fixedCount = 19
    private static let nameLimit = 1 << 10

    /// Writes an adapter durably: under another name first, which then becomes `path`.
    ///
    /// - Throws: `FileError`. Nothing is left under the other name then.
    package static func write(
        _ adapter: DeviceAdapter, base: Checkpoint, fingerprint: BaseFingerprint, to path: String
    ) throws(FileError) {
        let partial = path + ".part"
        BinaryFile.remove(partial)
        do {
            let file = try BinaryFile(creating: partial)
            try file.write(header(of: adapter, base: base, fingerprint))
            try file.write(adapter.memory)
            try file.synchronize()
            try BinaryFile.rename(partial, to: path)
        } catch {
            BinaryFile.remove(partial)
            throw error
        }
    }

    /// Reads a pack back and checks every byte of it.
    ///
    /// - Parameter pace: called between pieces of the work.
    /// - Throws: `PackError`, also when the file cannot be read.
    package static func read(
        _ path: String, digest: AdapterDigest, base: Checkpoint, fingerprint: BaseFingerprint,
        format: WeightFormat, pace: () -> Void = {}
    ) throws(PackError) -> DeviceAdapter {
        do {
            let file = try BinaryFile(reading: path)
            guard let counts = try counts(in: file, path, base: base),
                counts.memoryOffset <= file.byteCount,
                let header = Header(
                    try file.bytes(at: 0, count: counts.memoryOffset), counts, base: base),
                header.fingerprint == fingerprint.words, header.digest == digest.words,
                header.format == format
            else {
                throw PackError(path, "has a damaged header, or one of another base or adapter")
            }
            let isTokenized = header.tokenizer != 0
            guard !isTokenized || header.tokenizer == fingerprint.tokenizer else {
                throw PackError(path, "was made with another tokenizer of the base", .foreign)
            }
            let layout = AdapterLayout(header.shape, base: base.configuration, format: format)
            guard layout.byteCount == header.memoryByteCount,
                file.byteCount == counts.memoryOffset + layout.byteCount
            else { throw PackError(path, "has another length than its header says") }
            let memory = Buffer(byteCount: layout.byteCount)
            guard
                try file.read(at: counts.memoryOffset, into: memory, pace: pace).words
                    == header.checksum
            else {
                throw PackError(path, "is damaged: its checksum does not fit")
            }
            return DeviceAdapter(
                digest: digest, shape: header.shape, text: header.text,
                isTokenized: isTokenized, baseModelName: header.baseModelName,
                table: layout.table(in: memory),
                expertTable: layout.expertTable(in: memory),
                own: layout.ownWeights(in: memory), memory: memory)
        } catch let error as PackError {
            throw error
        } catch let error as FileError {
            let kind: PackError.Kind =
                error.isMissing ? .missing : error.isOfTheFile ? .damaged : .unreadable
            throw PackError(path, "cannot be read: \(error)", kind)
        } catch {
            throw PackError(path, "cannot be read: \(error)", .unreadable)
        }
    }

    /// Bytes of a pack on the disk.
    package static func byteCount(of adapter: DeviceAdapter, base: Checkpoint) -> Int {
        Counts(
            shape: adapter.shape.words(for: base.configuration).count,
            text: adapter.text?.json.text().utf8.count ?? 0
        ).memoryOffset + adapter.byteCount
    }

    /// What a header has no fixed number of.
    private struct Counts {
        /// Words.
        var shape: Int
        /// Bytes.
        var text: Int

        var textStart: Int { (fixedCount + shape) * 8 + nameLimit }
        /// Of all that the header's checksum is of.
        var end: Int { textStart + text.roundedUp(toMultipleOf: 8) }
        var memoryOffset: Int { (end + 3 * 8).roundedUp(toMultipleOf: 4096) }
    }

    /// What a file says it holds; nil when that cannot be.
    ///
    /// - Throws: `PackError` for a pack of another version, which is as good as none.
    private static func counts(
        in file: BinaryFile, _ path: String, base: Checkpoint
    ) throws -> Counts? {
        guard file.byteCount >= fixedCount * 8 else { return nil }
        let words = try file.bytes(at: 0, count: fixedCount * 8).littleEndianWords
        guard words[0] != magic || (1..<version).contains(words[1]) == false else {
            throw PackError(path, "is of version \(words[1])", .missing)
        }
        guard let shape = Int(exactly: words[17]), let text = Int(exactly: words[16]),
            shape <= AdapterShape.wordLimit(for: base.configuration, AdapterLimits()),
            text <= AdapterText.jsonByteLimit
        else { return nil }
        return Counts(shape: shape, text: text)
    }

    private static func header(
        of adapter: DeviceAdapter, base: Checkpoint, _ fingerprint: BaseFingerprint
    ) -> [UInt8] {
        // Cut between characters, should it be that long.
        var name: [UInt8] = []
        for character in adapter.baseModelName ?? ""
        where name.count + character.utf8.count <= nameLimit { name += Array(character.utf8) }
        var words: [UInt64] = [
            magic, version, adapter.table.format.packCode, UInt64(adapter.byteCount),
        ]
        words += fingerprint.words + adapter.digest.words
        words += Checksum(of: adapter.memory).words
        let shape = adapter.shape.words(for: base.configuration)
        let text = (adapter.text?.json.text()).map { Array($0.utf8) } ?? []
        let counts = Counts(shape: shape.count, text: text.count)
        words += [UInt64(name.count), UInt64(text.count), UInt64(shape.count)]
        words += [adapter.isTokenized ? fingerprint.tokenizer : 0] + shape
        name += Array(repeating: 0, count: nameLimit - name.count)
        var bytes = words.littleEndianBytes + name + text
        bytes += Array(repeating: 0, count: counts.end - bytes.count)
        bytes += Checksum(of: bytes).words.littleEndianBytes
        return bytes + Array(repeating: 0, count: counts.memoryOffset - bytes.count)
    }

    /// What a pack says of itself.
    private struct Header {
        var format: WeightFormat
        var memoryByteCount: Int
        var fingerprint: [UInt64]
        var digest: [UInt64]
        var checksum: [UInt64]
        var tokenizer: UInt64
        var shape: AdapterShape
        var text: AdapterText?
        var baseModelName: String?

        /// - Returns: nil when it is not a header, or not one for this base.
        init?(_ bytes: [UInt8], _ counts: Counts, base: Checkpoint) {
            let words = bytes.littleEndianWords
            let shapeEnd = fixedCount + counts.shape
            let end = counts.end / 8
            guard words.count >= end + 3,
                Checksum(of: Array(bytes[..<counts.end])).words == Array(words[end..<end + 3]),
                words[(end + 3)...].allSatisfy({ $0 == 0 }),
                words[0] == magic, words[1] == version, words[16] == counts.text,
                words[17] == counts.shape,
                let format = WeightFormat.allCases.first(where: { $0.packCode == words[2] }),
                let memoryByteCount = Int(exactly: words[3]), words[15] <= nameLimit,
                let shape = AdapterShape(
                    words: words[fixedCount..<shapeEnd], base: base.configuration,
                    limits: AdapterLimits())
            else { return nil }
            self.format = format
            self.memoryByteCount = memoryByteCount
            fingerprint = Array(words[4..<8])
            digest = Array(words[8..<12])
            checksum = Array(words[12..<15])
            tokenizer = words[18]
            self.shape = shape
            let name = bytes[shapeEnd * 8..<shapeEnd * 8 + Int(words[15])]
            baseModelName = name.isEmpty ? nil : String(decoding: name, as: UTF8.self)
            guard counts.text > 0 else { return }
            guard
                let json = try? JSON(
                    parsing: Array(bytes[counts.textStart..<counts.textStart + counts.text])),
                let text = AdapterText(json, vocabularySize: shape.vocabularySize)
            else { return nil }
            self.text = text
        }
    }
}

/// A pack that cannot be used.
package struct PackError: Error, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Its bytes are not what they should be.
        case damaged
        case missing
        /// Nothing is wrong with it, but the base has another tokenizer now.
        case foreign
        /// The system could not read it now; nothing is said about its bytes.
        case unreadable
    }

    package let path: String
    package let reason: String
    package let kind: Kind

    init(_ path: String, _ reason: String, _ kind: Kind = .damaged) {
        self.path = path
        self.reason = reason
        self.kind = kind
    }

    package var description: String { "the pack \(path) \(reason)" }
}

extension WeightFormat {
    fileprivate var packCode: UInt64 {
        switch self {
        case .f32: 1
        case .bf16: 2
        case .q8: 3
        case .q4: 4
        }
    }
}
