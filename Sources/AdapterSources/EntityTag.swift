/// What a server calls one version of a file, as RFC 9110 has it in `ETag`.
package struct EntityTag: Hashable, Sendable, CustomStringConvertible {
    /// Without quotes.
    package let value: String
    /// Whether equal tags promise equal meaning only, not equal bytes.
    package let isWeak: Bool

    /// Reads `"tag"` and `W/"tag"`, and a bare one, which some servers send.
    package init?(_ header: String) {
        isWeak = header.hasPrefix("W/")
        var text = header.dropFirst(isWeak ? 2 : 0)
        if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") {
            text = text.dropFirst().dropLast()
        }
        guard !text.isEmpty, text.utf8.count <= 512,
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 })
        else { return nil }
        value = String(text)
    }

    package var description: String { isWeak ? "W/\"\(value)\"" : "\"\(value)\"" }
}
