internal import Crypto
internal import JSONTree
package import ModelFiles
internal import Synchronization
package import Tensors

/// What a base model is, as far as an adapter's pack depends on it: shapes, and every byte of every
/// tensor. DoRA's norms are of the base's weights, and so are the changes of biases, so a pack that is
/// right for one fine-tune of a checkpoint is wrong for the next. What a pack says of tokens depends on the base's tokenizer.
package struct BaseFingerprint: Hashable, Sendable {
    /// Of shapes and tensors: four of them.
    let words: [UInt64]
    /// Never 0.
    let tokenizer: UInt64

    /// Hexadecimal, 16 digits, for the name of a folder.
    package var short: String { BaseFingerprint.digits(words[0]) }

    /// Reads every tensor.
    package init(of base: Checkpoint, team: WorkerTeam = WorkerTeam(memberCount: 1)) {
        let tensors = base.storedTensors
        let digests = Mutex(Array(repeating: [UInt8](), count: tensors.count))
        team.run { member in
            team.spread(tensors.count, for: member) { index in
                var hash = TextHash()
                hash.add(tensors[index].name, tensors[index])
                let bytes = hash.bytes
                digests.withLock { $0[index] = bytes }
            }
        }
        var hash = TextHash()
        hash.add(BaseFingerprint.shape(of: base.configuration))
        for digest in digests.withLock({ $0 }) { hash.add(digest) }
        words = hash.bytes.littleEndianWords
        var texts = TextHash()
        texts.add(base.tokenizer)
        tokenizer = max(1, texts.bytes.littleEndianWords[0])
    }

    /// Reads every tensor, unless an earlier process has and wrote in `folder` what it found. That
    /// counts as long as the files are the same ones by their numbers, sizes and dates.
    ///
    /// - Parameters:
    ///   - folder: of this process's user. It need not exist; a full disk costs only the memory.
    ///   - now: seconds since 1970.
    ///   - willRead: called before the tensors are read.
    package init(
        of base: Checkpoint, rememberedIn folder: String, now: Int, team: WorkerTeam,
        willRead: () -> Void = {}
    ) {
        let versions = base.fileVersions
        var key = TextHash()
        key.add(BaseFingerprint.shape(of: base.configuration))
        for version in versions { key.add("\(version)") }
        // What the configuration says of quantized weights is in none of these files.
        for tensor in base.storedTensors { tensor.packed.map { key.add($0.layout) } }
        let name = key.bytes.littleEndianWords.map(BaseFingerprint.digits).joined()
        let path = "\(folder)/\(name).base"
        if let known = BaseFingerprint.remembered(in: path) {
            self = known
            return
        }
        willRead()
        self.init(of: base, team: team)
        // Dates of files tell only what was written at another time.
        guard versions.allSatisfy({ $0.isOlder(than: now - 2) }) else { return }
        let partial = path + ".part"
        BinaryFile.remove(partial)
        do {
            let file = try BinaryFile(creating: partial)
            let all = words + [tokenizer]
            try file.write((all + Checksum(of: all.littleEndianBytes).words).littleEndianBytes)
            try file.synchronize()
            try BinaryFile.rename(partial, to: path)
        } catch {
            BinaryFile.remove(partial)
        }
    }

    private init(words: [UInt64], tokenizer: UInt64) {
        self.words = words
        self.tokenizer = tokenizer
    }

    private static func remembered(in path: String) -> BaseFingerprint? {
        guard let file = try? BinaryFile(reading: path), file.byteCount == 8 * 8,
            let bytes = try? file.bytes(at: 0, count: file.byteCount)
        else { return nil }
        let words = bytes.littleEndianWords
        let isWhole = Checksum(of: Array(words[..<5]).littleEndianBytes).words == Array(words[5...])
        return isWhole ? Self(words: Array(words[..<4]), tokenizer: words[4]) : nil
    }

    private static func shape(of c: ModelConfiguration) -> String {
        "\(c.family.name) \(c.layerCount) \(c.headCount) \(c.keyValueHeadCount) \(c.headDimension)"
    }

    private static func digits(_ word: UInt64) -> String {
        let text = String(word, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}

extension TextHash {
    /// All that makes tokens of texts.
    fileprivate mutating func add(_ source: Checkpoint.TokenizerSource) {
        switch source {
        case .absent: add("absent")
        case .huggingFace(let tokenizer, _): add(tokenizer.text())
        case .gguf(let metadata):
            for (name, value) in metadata.sorted(by: { $0.key < $1.key })
            where name.hasPrefix("tokenizer.ggml.") {
                add(name)
                add(value)
            }
        }
    }

    private mutating func add(_ value: GGUFValue) {
        guard let list = value.array else { return add("\(value)") }
        add("\(list.count)")
        for element in list { element.string.map { add($0) } ?? add("\(element)") }
    }
}
