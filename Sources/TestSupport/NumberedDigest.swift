package import Adapters

extension AdapterDigest {
    /// A digest for tests that need many.
    package static func numbered(_ number: Int) -> AdapterDigest {
        let digits = String(number, radix: 16)
        let text = String(repeating: "0", count: 64 - digits.count) + digits
        guard let digest = AdapterDigest(text) else {
            preconditionFailure("64 digits are a digest.")
        }
        return digest
    }
}
