internal import Crypto
internal import JSONTree
package import ModelFiles
internal import Tensors

/// What an adapter is, whatever it is called: SHA-256 over its normalized configuration and its
/// tensors' names, types, shapes and bytes.
public struct AdapterDigest: Hashable, Sendable, CustomStringConvertible {
    private let bytes: [UInt8]

    /// Hexadecimal, 64 digits.
    public var description: String {
        bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// The first twelve digits, for people.
    public var short: String { String(description.prefix(12)) }

    package init(of adapter: AdapterFile) {
        var hash = SHA256()
        func add(_ text: String) { hash.update(data: Array("\(text.utf8.count):\(text)".utf8)) }
        add(adapter.normalizedConfiguration.text())
        for (target, delta) in adapter.deltas.sorted(by: { $0.key < $1.key }) {
            let parts = [
                ("a", delta.a), ("b", delta.b), ("bias", delta.bias),
                ("magnitude", delta.magnitude),
            ]
            for case (let part, let tensor?) in parts {
                add(
                    "\(target.moduleName).\(part) \(tensor.type.rawValue) \(tensor.shape) \(tensor.rowOrder)"
                )
                hash.update(data: tensor.file.bytes(in: tensor.byteRange) ?? [])
            }
        }
        bytes = Array(hash.finalize())
    }
}
