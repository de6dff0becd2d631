internal import Crypto
internal import JSONTree
package import ModelFiles
internal import Tensors

/// What an adapter is, whatever it is called: SHA-256 over its normalized configuration and its
/// tensors' names, types, shapes and bytes.
public struct AdapterDigest: Hashable, Sendable, CustomStringConvertible {
    /// 32 of them.
    private let bytes: [UInt8]

    /// Hexadecimal, 64 digits.
    public var description: String { AdapterDigest.text(bytes[...]) }

    /// The first twelve digits, for people.
    public var short: String { AdapterDigest.text(bytes.prefix(6)) }

    private static let digits = Array("0123456789abcdef".utf8)

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(2 * bytes.count)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 0xF)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// - Parameter pace: called between pieces of the work.
    package init(of adapter: AdapterFile, pace: () -> Void = {}) {
        var hash = TextHash()
        hash.add(adapter.normalizedConfiguration.text())
        for (target, delta) in adapter.deltas.sorted(by: { $0.key < $1.key }) {
            let parts = [
                ("a", delta.a), ("b", delta.b), ("bias", delta.bias),
                ("magnitude", delta.magnitude),
            ]
            for case (let part, let tensor?) in parts {
                pace()
                hash.add("\(target.moduleName).\(part)", tensor)
            }
        }
        for (role, tensor) in adapter.replaced.sorted(by: { $0.key.name < $1.key.name }) {
            hash.add("replaced \(role.name)", tensor)
        }
        for (target, rows) in adapter.tokenRows.sorted(by: { $0.key < $1.key }) {
            for piece in rows.pieces { hash.add("tokens of \(target.moduleName)", piece) }
        }
        if let scores = adapter.scores { hash.add("scores", scores) }
        bytes = hash.bytes
    }

    /// Of a sum of adapters, in this order.
    init(mix parts: [(digest: AdapterDigest, scale: Float)]) {
        var hash = TextHash()
        hash.add("mix")
        for part in parts {
            hash.add(part.digest.description)
            hash.add("\(part.scale.bitPattern)")
        }
        bytes = hash.bytes
    }

    /// Reads `description` back.
    package init?(_ text: String) {
        guard text.utf8.count == 64 else { return nil }
        var values: [UInt8] = []
        values.reserveCapacity(64)
        for digit in text.utf8 {
            switch digit {
            case 0x30...0x39: values.append(digit - 0x30)
            case 0x61...0x66: values.append(digit - 0x61 + 10)
            default: return nil
            }
        }
        bytes = stride(from: 0, to: 64, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }

    /// Four of them.
    var words: [UInt64] { bytes.littleEndianWords }

    init(words: some Collection<UInt64>) {
        precondition(words.count == 4, "A digest has 32 bytes.")
        bytes = words.littleEndianBytes
    }
}

extension Collection<UInt8> {
    /// Eight bytes to a word; a last word that is not whole is left out.
    var littleEndianWords: [UInt64] {
        var words: [UInt64] = []
        var rest = self[...]
        while rest.count >= 8 {
            words.append(
                rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) })
            rest = rest.dropFirst(8)
        }
        return words
    }
}

extension Collection<UInt64> {
    var littleEndianBytes: [UInt8] {
        flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }
}
