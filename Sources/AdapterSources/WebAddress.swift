/// An `https` or `http` URL as requests need it: without user info, without fragment, the host in
/// lower case.
package struct WebAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Scheme: String, Sendable {
        case https, http

        var port: Int { self == .https ? 443 : 80 }
    }

    package let scheme: Scheme
    /// A name, or an address without brackets.
    package let host: String
    package let port: Int
    /// Percent-encoded, from the first `/` on.
    package let path: String
    /// Percent-encoded, without the `?`.
    let query: String?

    init(scheme: Scheme, host: String, port: Int? = nil, path: String = "/", query: String? = nil) {
        self.scheme = scheme
        self.host = host
        self.port = port ?? scheme.port
        self.path = path
        self.query = query
    }

    /// Reads a URL that a person wrote: no query, no fragment, and a path without empty, `.` or `..`
    /// components.
    ///
    /// - Throws: `SourceError` with `malformed_source`.
    package init(_ text: String) throws(SourceError) {
        func refused(_ reason: String) -> SourceError {
            SourceError(.malformedSource, "\"\(text)\" is no URL of a source: \(reason)")
        }
        guard !text.utf8.contains(where: { $0 == 0x3F || $0 == 0x23 }) else {
            throw refused("it must have no query and no fragment")
        }
        guard let address = WebAddress(lenient: text) else {
            throw refused("write https://HOST/PATH, without user name, spaces or odd characters")
        }
        var components = address.path.dropFirst().split(
            separator: "/", omittingEmptySubsequences: false)
        if components.last?.isEmpty == true { components.removeLast() }
        guard components.allSatisfy(WebAddress.isPlainComponent) else {
            throw refused("its path must have no empty component, no . or .. and no escaped one")
        }
        self = address
    }

    /// Reads the `Location` of a redirect, which may be relative and may have a query.
    ///
    /// - Returns: nil for what is no URL with one of our schemes.
    init?(location: String, from base: WebAddress) {
        let text = String(location.prefix { $0 != "#" })
        if text.hasPrefix("//") {
            self.init(lenient: base.scheme.rawValue + ":" + text)
        } else if text.hasPrefix("/") {
            self.init(lenient: base.origin + text)
        } else if text.contains("://") {
            self.init(lenient: text)
        } else {
            let folder = String(
                base.path.prefix(upTo: base.path.lastIndex(of: "/") ?? base.path.endIndex))
            self.init(lenient: base.origin + folder + "/" + text)
        }
    }

    private init?(lenient text: String) {
        guard text.utf8.allSatisfy(WebAddress.isURLByte), text.utf8.count <= 8192,
            let separator = text.firstRange(of: "://"),
            let scheme = Scheme(rawValue: text[..<separator.lowerBound].lowercased())
        else { return nil }
        let rest = text[separator.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard let (host, port) = WebAddress.authority(authority) else { return nil }
        let target = rest[authority.endIndex...]
        let path = target.prefix { $0 != "?" }
        guard WebAddress.escapesAreWhole(target), !target.contains(where: { "[]".contains($0) })
        else { return nil }
        self.init(
            scheme: scheme, host: host, port: port, path: path.isEmpty ? "/" : String(path),
            query: path.endIndex < target.endIndex
                ? String(target[target.index(after: path.endIndex)...]) : nil)
    }

    /// Scheme, host and port: what an answer must share with a request to be trusted like it.
    var origin: String { "\(scheme.rawValue)://\(authority)" }

    /// The host as a `Host` header has it: brackets around IPv6, the port when it is unusual.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == scheme.port ? name : "\(name):\(port)"
    }

    package var description: String { origin + path + (query.map { "?" + $0 } ?? "") }

    /// The address without the query, which may hold a signature.
    var withoutQuery: String { origin + path }

    /// The address of a file below this one, whose name is percent-encoded here.
    func appending(_ relative: String) -> WebAddress {
        appending(escaped: PlainText.percentEncoded(relative, keepingSlashes: true))
    }

    func appending(escaped relative: String) -> WebAddress {
        let folder = path.hasSuffix("/") ? path : path + "/"
        return WebAddress(scheme: scheme, host: host, port: port, path: folder + relative)
    }
}

extension WebAddress {
    /// The bytes of RFC 3986 without those of fragments.
    private static func isURLByte(_ byte: UInt8) -> Bool {
        PlainText.isUnreserved(byte) || "%:/?[]@!$&'()*+,;=".utf8.contains(byte)
    }

    private static func escapesAreWhole(_ text: Substring) -> Bool {
        text.split(separator: "%", omittingEmptySubsequences: false).dropFirst().allSatisfy {
            let digits = $0.prefix(2)
            return digits.count == 2 && digits.allSatisfy(\.isHexDigit)
        }
    }

    /// A component that no server reads as a step up, a separator or a control character.
    private static func isPlainComponent(_ text: Substring) -> Bool {
        guard !text.isEmpty, text != ".", text != ".." else { return false }
        return text.split(separator: "%", omittingEmptySubsequences: false).dropFirst().allSatisfy {
            guard let byte = UInt8($0.prefix(2), radix: 16) else { return false }
            return byte >= 0x20 && byte != 0x7F && !"./\\%".utf8.contains(byte)
        }
    }

    /// Host and port of `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`.
    private static func authority(_ text: Substring) -> (host: String, port: Int?)? {
        let host: Substring
        let rest: Substring
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
            guard host.contains(":"), NetworkAddress(String(host)) != nil else { return nil }
        } else {
            host = text.prefix { $0 != ":" }
            rest = text[host.endIndex...]
            guard isHostName(host) else { return nil }
        }
        if rest.isEmpty { return (host.lowercased(), nil) }
        let digits = rest.dropFirst()
        guard rest.hasPrefix(":"), (1...5).contains(digits.count),
            digits.allSatisfy({ $0.isASCII && $0.isNumber }), let port = Int(digits),
            (1...65535).contains(port)
        else { return nil }
        return (host.lowercased(), port)
    }

    /// Labels of letters, digits, `-` and `_`, joined by single dots.
    static func isHostName(_ text: Substring) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count)
                && label.utf8.allSatisfy {
                    PlainText.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F
                }
        }
    }
}
