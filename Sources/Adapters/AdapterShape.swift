package import ModelFiles

/// What an adapter changes and how wide its changes are: all that decides where its numbers lie.
package struct AdapterShape: Sendable, Equatable {
    /// One projection's change.
    package struct Part: Sendable, Equatable {
        package var rank: Int
        package var scale: Float
        /// DoRA's gains.
        package var hasGain: Bool
        package var hasBias: Bool
    }

    package let parts: [AdapterFile.Target: Part]

    package init(_ file: AdapterFile) {
        parts = file.deltas.mapValues {
            Part(
                rank: $0.rank, scale: $0.scale, hasGain: $0.magnitude != nil,
                hasBias: $0.bias != nil)
        }
    }

    /// The largest rank.
    package var rank: Int { parts.values.map(\.rank).max() ?? 0 }

    package var targets: [AdapterFile.Target] { parts.keys.sorted() }

    // MARK: As words of a file

    /// Two words for each projection of each layer: rank and flags, and the scale.
    func words(for base: ModelConfiguration) -> [UInt64] {
        AdapterShape.targets(of: base).flatMap { target -> [UInt64] in
            guard let part = parts[target] else { return [0, 0] }
            let flags =
                (part.hasGain ? AdapterShape.gain : 0) | (part.hasBias ? AdapterShape.bias : 0)
            return [UInt64(part.rank) | flags, UInt64(part.scale.bitPattern)]
        }
    }

    /// Reads what `words` wrote; nil when it did not write that.
    init?(words: ArraySlice<UInt64>, base: ModelConfiguration, limits: AdapterLimits) {
        let targets = AdapterShape.targets(of: base)
        guard words.count == 2 * targets.count else { return nil }
        var parts: [AdapterFile.Target: Part] = [:]
        for (index, target) in targets.enumerated() {
            let first = words[words.startIndex + 2 * index]
            let scale = words[words.startIndex + 2 * index + 1]
            if first == 0, scale == 0 { continue }
            let rank = first & ~(AdapterShape.gain | AdapterShape.bias)
            guard rank > 0, rank <= limits.rank, let bits = UInt32(exactly: scale) else {
                return nil
            }
            parts[target] = Part(
                rank: Int(rank), scale: Float(bitPattern: bits),
                hasGain: first & AdapterShape.gain != 0, hasBias: first & AdapterShape.bias != 0)
        }
        self.parts = parts
    }

    static func wordCount(for base: ModelConfiguration) -> Int { 2 * targets(of: base).count }

    private static let gain: UInt64 = 1 << 32
    private static let bias: UInt64 = 1 << 33

    private static func targets(of base: ModelConfiguration) -> [AdapterFile.Target] {
        (0..<base.layerCount).flatMap { layer in
            Projection.allCases.map { AdapterFile.Target(layer: layer, projection: $0) }
        }
    }
}
