/// GPT-2's alphabet: every byte as one printable character, so that byte sequences can be written
/// as strings in vocabularies (https://github.com/openai/gpt-2/blob/master/src/encoder.py).
enum ByteAlphabet {
    static let scalars: [Unicode.Scalar] = {
        var scalars: [Unicode.Scalar] = []
        var next: UInt32 = 256
        for byte in 0..<UInt32(256) {
            let isPrintable = 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || 0xAE...0xFF ~= byte
            scalars.append(Unicode.Scalar(isPrintable ? byte : next) ?? " ")
            if !isPrintable { next += 1 }
        }
        return scalars
    }()

    private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
        uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

    /// The bytes that a vocabulary entry stands for; nil when it has a character outside the
    /// alphabet.
    static func bytes(of token: String) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(token.utf8.count)
        for scalar in token.unicodeScalars {
            guard let byte = bytes[scalar] else { return nil }
            result.append(byte)
        }
        return result
    }
}
