/// An IP address, and what may be expected at it.
package struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// Whom an address leads to, by the IANA special-purpose registries
    /// (https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 counterpart).
    package enum Reach: Sendable {
        /// A host of the public Internet.
        case global
        /// This machine or its private network.
        case local
        /// Nothing that serves adapters: link-local and cloud metadata addresses, multicast,
        /// unspecified, reserved and documentation blocks, tunnels.
        case special
    }

    /// Four or sixteen bytes in network order.
    let bytes: [UInt8]

    /// Reads `a.b.c.d` in decimal without leading zeros, or an IPv6 address without scope.
    package init?(_ text: String) {
        guard let bytes = NetworkAddress.four(text[...]) ?? NetworkAddress.sixteen(text) else {
            return nil
        }
        self.bytes = bytes
    }

    package var description: String {
        if bytes.count == 4 { return bytes.map { String($0) }.joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2).map { index in
            String(UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1]), radix: 16)
        }.joined(separator: ":")
    }

    package var reach: Reach {
        if let embedded { return embedded.reach }
        if bytes.count == 16 {
            if isIn(Block.specialIPv6) { return .special }
            if isIn(Block.localIPv6) { return .local }
            return isIn(Block.globalIPv6) ? .global : .special
        }
        if isIn(Block.specialIPv4) { return .special }
        return isIn(Block.localIPv4) ? .local : .global
    }

    /// The IPv4 address that a mapped or NAT64 address stands for.
    private var embedded: NetworkAddress? {
        guard isIn(Block.embedding) else { return nil }
        return NetworkAddress(bytes: Array(bytes.suffix(4)))
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func isIn(_ blocks: [Block]) -> Bool { blocks.contains { $0.contains(bytes) } }
}

extension NetworkAddress {
    private static func four(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let byte = UInt8(part),
                part.utf8.count == 1 || !part.hasPrefix("0")
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    private static func sixteen(_ text: String) -> [UInt8]? {
        guard let gap = text.firstRange(of: "::") else {
            guard let bytes = groups(text[...]), bytes.count == 16 else { return nil }
            return bytes
        }
        guard let head = groups(text[..<gap.lowerBound]),
            let tail = groups(text[gap.upperBound...]),
            head.count + tail.count <= 14
        else { return nil }
        return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    /// Groups of up to four digits, the last of which may be an IPv4 address; no bytes for empty text.
    private static func groups(_ text: Substring) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, let last = four(part) {
                bytes += last
            } else {
                guard (1...4).contains(part.utf8.count), part.allSatisfy(\.isHexDigit),
                    let value = UInt16(part, radix: 16)
                else { return nil }
                bytes += [UInt8(value >> 8), UInt8(value & 0xFF)]
            }
        }
        return bytes
    }
}

/// All addresses that begin with the same bits.
private struct Block {
    let prefix: [UInt8]
    let bitCount: Int

    init(_ prefix: [UInt8], _ bitCount: Int) {
        self.prefix = prefix
        self.bitCount = bitCount
    }

    func contains(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= prefix.count else { return false }
        return zip(prefix, bytes).enumerated().allSatisfy { index, pair in
            let bits = min(8, bitCount - 8 * index)
            let mask = UInt8(truncatingIfNeeded: 0xFF << (8 - bits))
            return pair.0 & mask == pair.1 & mask
        }
    }

    static let localIPv4 = [
        Block([10], 8), Block([100, 64], 10), Block([127], 8), Block([172, 16], 12),
        Block([192, 168], 16),
    ]

    /// Besides the registry: the metadata services of Azure and Alibaba Cloud, which are in blocks
    /// that would be contacted otherwise.
    static let specialIPv4 = [
        Block([0], 8), Block([169, 254], 16), Block([192, 0, 0], 24), Block([192, 0, 2], 24),
        Block([192, 88, 99], 24), Block([198, 18], 15), Block([198, 51, 100], 24),
        Block([203, 0, 113], 24), Block([224], 3), Block([168, 63, 129, 16], 32),
        Block([100, 100, 100, 200], 32),
    ]

    static let localIPv6 = [
        Block([UInt8](repeating: 0, count: 15) + [1], 128), Block([0xFC], 7),
    ]

    static let globalIPv6 = [Block([0x20], 3)]

    /// IETF protocols and Teredo, documentation, 6to4, and the metadata services of AWS and Google.
    static let specialIPv6 = [
        Block([0x20, 0x01, 0x00], 23), Block([0x20, 0x01, 0x0D, 0xB8], 32),
        Block([0x20, 0x02], 16),
        Block([0x3F, 0xFF, 0x00], 20),
        Block([0xFD, 0x00, 0x0E, 0xC2] + [UInt8](repeating: 0, count: 10) + [0x02, 0x54], 128),
        Block([0xFD, 0x20, 0x00, 0xCE] + [UInt8](repeating: 0, count: 10) + [0x02, 0x54], 128),
    ]

    /// `::ffff:0:0/96` and `64:ff9b::/96`.
    static let embedding = [
        Block([UInt8](repeating: 0, count: 10) + [0xFF, 0xFF], 96),
        Block([0x00, 0x64, 0xFF, 0x9B] + [UInt8](repeating: 0, count: 8), 96),
    ]
}
