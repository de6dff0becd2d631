package import ModelFiles
internal import Tensors

/// What an adapter changes and how wide its changes are: all that decides where its numbers lie.
package struct AdapterShape: Sendable, Equatable {
    /// One module's low-rank change.
    package struct Part: Sendable, Equatable {
        /// 0 for a projection whose bias alone is changed.
        package var rank: Int
        package var scale: Float
        /// DoRA's gains.
        package var hasGain: Bool
        package var hasBias: Bool
    }

    package let parts: [AdapterFile.Target: Part]
    /// Weights and norms that the adapter has whole, in the order of the model.
    package let replaced: [Checkpoint.Role]
    /// Whether the embedding that it has whole is its head as well.
    package let tiesReplaced: Bool
    /// Tokens whose rows of the embedding or the head it has, in the order of its rows.
    package let tokens: [AdapterFile.Target: [Int32]]
    /// See `AdapterFile.invocation`.
    package let invocation: [Int32]
    /// Classes of a classifier; 0 for another adapter.
    package let classCount: Int
    /// Tokens that it knows: the base's, or those of its own tables.
    package let vocabularySize: Int
    /// Whether that is not the base's.
    package let hasOwnVocabulary: Bool

    package init(_ file: AdapterFile, base: ModelConfiguration) {
        var parts = file.deltas.mapValues {
            Part(
                rank: $0.rank, scale: $0.scale, hasGain: $0.magnitude != nil,
                hasBias: $0.bias != nil)
        }
        for case .bias(let layer, let projection) in file.replaced.keys {
            let target = AdapterFile.Target.projection(layer: layer, projection)
            parts[target, default: Part(rank: 0, scale: 1, hasGain: false, hasBias: true)].hasBias =
                true
        }
        self.parts = parts
        tiesReplaced = file.hasOneTable
        let isTied = tiesReplaced
        replaced = AdapterShape.replaceable(base).filter {
            file.replaced[$0] != nil && !(isTied && $0 == .head)
        }
        tokens = file.tokenRows.mapValues(\.tokens)
        invocation = file.invocation
        classCount = file.scores?.rowCount ?? 0
        vocabularySize = file.vocabularySize ?? base.vocabularySize
        hasOwnVocabulary = vocabularySize != base.vocabularySize
    }

    /// Low-rank changes alone.
    init(mixed parts: [AdapterFile.Target: Part], base: ModelConfiguration) {
        self.parts = parts
        replaced = []
        tiesReplaced = false
        tokens = [:]
        invocation = []
        classCount = 0
        vocabularySize = base.vocabularySize
        hasOwnVocabulary = false
    }

    /// The largest rank.
    package var rank: Int { parts.values.map(\.rank).max() ?? 0 }

    package var targets: [AdapterFile.Target] { parts.keys.sorted() }

    /// How many of the multiplications by weights that a row costs, head included, are the adapter's: 0 to 1.
    ///
    /// - Complexity: of the modules that it changes.
    package func share(on base: ModelConfiguration) -> Double {
        var own = 0
        var ofExperts = 0
        for (target, part) in parts where target != .embedding {
            let count = part.rank * (base.inputCount(of: target) + base.outputCount(of: target))
            if case .expert = target { ofExperts += count } else { own += count }
        }
        if let experts = base.departures.experts {
            own += ofExperts / experts.count * experts.perToken
        }
        // In the base's place, but after it.
        for case .weight(let layer, let projection) in replaced {
            own += base.shape(of: .weight(layer: layer, projection))?.reduce(1, *) ?? 0
        }
        if replaced.contains(.head) { own += base.vocabularySize * base.hiddenSize }
        let all =
            base.layerCount * base.layerWeightCount + base.vocabularySize * base.hiddenSize + own
        return Double(own) / Double(all)
    }

    /// Whether anything is in the base's place.
    var hasOwnWeights: Bool {
        !replaced.isEmpty || !tokens.isEmpty || parts[.embedding] != nil || classCount > 0
    }

    private static func replaceable(_ base: ModelConfiguration) -> [Checkpoint.Role] {
        base.roles.filter {
            if case .bias = $0 { return false }
            return base.shape(of: $0) != nil
        }
    }
}

extension AdapterFile {
    /// Whether embedding and head are replaced by one and the same tensor.
    var hasOneTable: Bool {
        guard let embedding = replaced[.embedding], let head = replaced[.head] else { return false }
        return embedding.file === head.file && embedding.byteRange == head.byteRange
    }
}

// MARK: As words of a file

extension AdapterShape {
    private static let gain: UInt64 = 1 << 32
    private static let bias: UInt64 = 1 << 33
    private static let isChanged: UInt64 = 1 << 34

    /// Two words for each module: rank and flags, and the scale. Then lists, the count of each before
    /// it: places of what is replaced, the embedding's tokens, the head's, those that invoke. Then whether
    /// tables are one, a classifier's classes, and the vocabulary's size.
    func words(for base: ModelConfiguration) -> [UInt64] {
        var words = AdapterFile.Target.all(for: base).flatMap { target -> [UInt64] in
            guard let part = parts[target] else { return [0, 0] }
            let flags =
                (part.hasGain ? AdapterShape.gain : 0) | (part.hasBias ? AdapterShape.bias : 0)
            return [
                UInt64(part.rank) | flags | AdapterShape.isChanged, UInt64(part.scale.bitPattern),
            ]
        }
        let places = AdapterShape.replaceable(base)
        var lists = [replaced.compactMap(places.firstIndex).map { UInt64($0) }]
        for target in [AdapterFile.Target.embedding, .head] {
            lists.append((tokens[target] ?? []).map { UInt64($0) })
        }
        lists.append(invocation.map { UInt64($0) })
        for list in lists { words += [UInt64(list.count)] + list }
        words.append(tiesReplaced ? 1 : 0)
        if classCount > 0 || hasOwnVocabulary { words.append(UInt64(classCount)) }
        return hasOwnVocabulary ? words + [UInt64(vocabularySize)] : words
    }

    static func wordLimit(for base: ModelConfiguration, _ limits: AdapterLimits) -> Int {
        2 * AdapterFile.Target.all(for: base).count + replaceable(base).count
            + 2 * (base.vocabularySize + limits.tokens) + limits.invocation + 7
    }

    /// Reads what `words` wrote; nil when it did not write that.
    init?(words: ArraySlice<UInt64>, base: ModelConfiguration, limits: AdapterLimits) {
        let targets = AdapterFile.Target.all(for: base)
        guard words.count >= 2 * targets.count else { return nil }
        var parts: [AdapterFile.Target: Part] = [:]
        for (index, target) in targets.enumerated() {
            let first = words[words.startIndex + 2 * index]
            let scale = words[words.startIndex + 2 * index + 1]
            if first == 0, scale == 0 { continue }
            let rank = first & (AdapterShape.gain - 1)
            let flags = first - rank
            guard rank <= limits.rank, let bits = UInt32(exactly: scale),
                flags & AdapterShape.isChanged != 0, flags < AdapterShape.isChanged << 1,
                rank > 0 || flags & AdapterShape.bias != 0
            else { return nil }
            parts[target] = Part(
                rank: Int(rank), scale: Float(bitPattern: bits),
                hasGain: first & AdapterShape.gain != 0, hasBias: first & AdapterShape.bias != 0)
        }
        var rest = words.dropFirst(2 * targets.count)
        func list(below bound: Int, limit: Int) -> [Int]? {
            guard let count = rest.popFirst(), count <= limit, rest.count >= count else {
                return nil
            }
            let list = rest.prefix(Int(count)).compactMap { Int(exactly: $0) }
            rest = rest.dropFirst(Int(count))
            return list.count == count && list.allSatisfy { $0 < bound } ? list : nil
        }
        let places = AdapterShape.replaceable(base)
        let vocabulary = base.vocabularySize + limits.tokens
        guard let replaced = list(below: places.count, limit: places.count),
            replaced == Set(replaced).sorted(),
            let embedding = list(below: vocabulary, limit: vocabulary),
            let head = list(below: vocabulary, limit: vocabulary),
            let invocation = list(below: vocabulary, limit: limits.invocation),
            Set(embedding).count == embedding.count, Set(head).count == head.count,
            let isTied = rest.popFirst(), isTied <= 1, rest.count <= 2,
            let classes = Int(exactly: rest.popFirst() ?? 0), classes <= 4096,
            isTied == 0 || replaced.contains(0),
            let size = Int(exactly: rest.popFirst() ?? UInt64(base.vocabularySize)),
            (1...vocabulary).contains(size), invocation.isEmpty || size == base.vocabularySize,
            [embedding, head, invocation].allSatisfy({ $0.allSatisfy { $0 < size } })
        else { return nil }
        self.parts = parts
        self.replaced = replaced.map { places[$0] }
        tiesReplaced = isTied == 1
        tokens = [AdapterFile.Target.embedding: embedding, .head: head]
            .filter { !$1.isEmpty }.mapValues { $0.map(Int32.init) }
        self.invocation = invocation.map(Int32.init)
        classCount = classes
        vocabularySize = size
        hasOwnVocabulary = size != base.vocabularySize
        // Nothing else has rows for them.
        guard
            hasRows(of: .embedding, beyond: base),
            classes > 0 || hasRows(of: .head, beyond: base)
        else { return nil }
    }

    /// Whether a table of the adapter's has a row for each token that the base lacks.
    private func hasRows(
        of target: AdapterFile.Target, beyond base: ModelConfiguration
    ) -> Bool {
        guard vocabularySize > base.vocabularySize, !replaced.contains(target.role),
            !(target == .head && tiesReplaced)
        else { return true }
        let own = Set(tokens[target] ?? [])
        return (base.vocabularySize..<vocabularySize).allSatisfy { own.contains(Int32($0)) }
    }
}
