/// Rendezvous hashing: every router orders the replicas for an adapter in the same way without talking,
/// and a replica that joins or leaves moves its own share of the adapters only (Thaler and Ravishankar,
/// 1998, https://doi.org/10.1109/90.663936).
package struct Rendezvous: Sendable, Hashable {
    /// Of a name, by its bytes: the same in every process.
    private let hash: UInt64

    package init(_ name: String) {
        var bytes = ByteHash()
        for byte in name.utf8 { bytes.add(byte) }
        hash = Rendezvous.mixed(bytes.value)
    }

    /// How much an adapter wants to be on a replica; the greatest goes first.
    package func weight(on replica: Rendezvous) -> UInt64 {
        Rendezvous.mixed(hash ^ (replica.hash &* 0x9E37_79B9_7F4A_7C15))
    }

    /// The finalizer of splitmix64: every bit of the input changes half of the output's.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var x = value
        x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
        x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
        return x ^ (x >> 31)
    }
}

/// FNV-1a: a hash of bytes that is the same in every process.
struct ByteHash {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ byte: UInt8) {
        value ^= UInt64(byte)
        value &*= 0x100_0000_01B3
    }
}
