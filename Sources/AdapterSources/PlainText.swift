/// The characters that names in sources may have.
enum PlainText {
    static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte)
    }

    /// Letters, digits and the four marks that no URL escapes.
    static func isUnreserved(_ byte: UInt8) -> Bool {
        isLetterOrDigit(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F || byte == 0x7E
    }

    static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
    }

    /// Whether a component of a remote path is printable ASCII without what means something else in
    /// URLs or revisions, and leads nowhere but down.
    static func isComponent(_ text: Substring) -> Bool {
        !text.isEmpty && text != "." && text != ".."
            && text.utf8.allSatisfy { byte in
                (0x20...0x7E).contains(byte) && !"/\\?#%@\"<>".utf8.contains(byte)
            }
    }

    /// The components of a remote path, which neither begins nor ends with a slash; none of empty text.
    ///
    /// - Returns: nil when one of them is not allowed.
    static func components(_ text: Substring) -> [String]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.allSatisfy(isComponent) ? parts.map(String.init) : nil
    }

    /// Percent-encoded as RFC 3986 has it, in upper case: everything but unreserved characters.
    static func percentEncoded(_ text: String, keepingSlashes: Bool = false) -> String {
        var result = ""
        for byte in text.utf8 {
            if isUnreserved(byte) || (keepingSlashes && byte == 0x2F) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += "%" + [byte].hexadecimal.uppercased()
            }
        }
        return result
    }
}
