/// A host, or with `*.` before it all hosts below it.
package struct HostPattern: Hashable, Sendable, CustomStringConvertible {
    /// In lower case, without `*.`.
    private let name: String
    private let matchesBelow: Bool

    /// Reads `hub.example.com`, `*.example.com` or an address.
    ///
    /// - Throws: `SourceError` with `invalid_policy`.
    package init(_ text: String) throws(SourceError) {
        let isWild = text.hasPrefix("*.")
        let name = text.dropFirst(isWild ? 2 : 0)
        guard WebAddress.isHostName(name) || (!isWild && NetworkAddress(text) != nil) else {
            throw SourceError(
                .invalidPolicy,
                "\"\(text)\" is no host: write hub.example.com, *.example.com or an address")
        }
        self.init(name: name.lowercased(), matchesBelow: isWild)
    }

    init(name: String, matchesBelow: Bool = false) {
        self.name = name
        self.matchesBelow = matchesBelow
    }

    /// - Parameter host: in lower case.
    package func matches(_ host: String) -> Bool {
        matchesBelow ? host.hasSuffix("." + name) : host == name
    }

    package var description: String { matchesBelow ? "*." + name : name }
}
