internal import Foundation

/// Where an adapter comes from.
///
/// The description is canonical: it reads back as the same source, and equal sources have equal
/// descriptions. Whether a source may be used is the policy's question, not the parser's.
package enum AdapterSource: Hashable, Sendable, CustomStringConvertible {
    /// An absolute path of a folder or of a `.gguf` file, without `.` and `..`.
    case path(String)
    case hub(HubLocation)
    case s3(S3Location)
    /// The folder, ending in `/`, or the `.gguf` file at a URL.
    case web(WebAddress)
    /// The sum of adapters that are served already.
    case mix(MixRecipe)

    /// Reads `hf:OWNER/NAME[/FOLDER][@REVISION]`, `s3://BUCKET/PREFIX`, an `https` or `http` URL,
    /// `mix:NAME=SCALE,NAME=SCALE`, or a path, which is taken from `workingFolder`, or else from the process's own, when it is not
    /// absolute.
    ///
    /// - Throws: `SourceError` with `malformed_source`.
    package init(_ text: String, workingFolder: String? = nil) throws(SourceError) {
        guard !text.isEmpty, text.utf8.count <= 4096,
            !text.unicodeScalars.contains(where: PlainText.isControl)
        else {
            throw SourceError(
                .malformedSource,
                "A source is a path, hf:OWNER/NAME, s3://BUCKET/PREFIX or https://HOST/PATH of at "
                    + "most 4096 bytes without control characters.")
        }
        if let place = AdapterSource.rest(of: text, after: "hf:") {
            self = .hub(try HubLocation(place))
        } else if let parts = AdapterSource.rest(of: text, after: "mix:") {
            self = .mix(try MixRecipe(parts))
        } else if let place = AdapterSource.rest(of: text, after: "s3://") {
            self = .s3(try S3Location(place))
        } else if AdapterSource.rest(of: text.lowercased(), after: "https://") != nil
            || AdapterSource.rest(of: text.lowercased(), after: "http://") != nil
        {
            self = .web(try AdapterSource.folderOrFile(WebAddress(text)))
        } else if let mark = text.firstRange(of: "://") {
            throw SourceError(
                .malformedSource,
                "\(text[..<mark.upperBound]) is no kind of source: write a path, hf:OWNER/NAME, "
                    + "s3://BUCKET/PREFIX or https://HOST/PATH.")
        } else {
            let folder = workingFolder ?? FileManager.default.currentDirectoryPath
            self = .path(AdapterSource.standardized(text, in: folder))
        }
    }

    package var description: String {
        switch self {
        case .path(let path): path
        case .hub(let location): location.description
        case .s3(let location): location.description
        case .web(let address): address.description
        case .mix(let recipe): recipe.description
        }
    }

    /// Who answers for it: a host, or one of the services that have several; nil for this machine.
    package var host: String? {
        switch self {
        case .path, .mix: nil
        case .hub: "hub"
        case .s3: "s3"
        case .web(let address): address.host
        }
    }

    /// Whether the source names one GGUF file instead of a folder.
    var isFile: Bool {
        switch self {
        case .mix: false
        case .path(let path): path.hasSuffix(".gguf")
        case .hub(let location): location.components.last?.hasSuffix(".gguf") ?? false
        case .s3(let location): location.components.last?.hasSuffix(".gguf") ?? false
        case .web(let address): address.path.hasSuffix(".gguf")
        }
    }

    private static func rest(of text: String, after prefix: String) -> Substring? {
        text.hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil
    }

    private static func folderOrFile(_ address: WebAddress) -> WebAddress {
        if address.path.hasSuffix("/") || address.path.hasSuffix(".gguf") { return address }
        return WebAddress(
            scheme: address.scheme, host: address.host, port: address.port, path: address.path + "/"
        )
    }

    /// The absolute path, taken apart by its text alone: links are resolved when the policy is asked.
    private static func standardized(_ path: String, in workingFolder: String) -> String {
        var components: [Substring] = []
        let absolute = path.hasPrefix("/") ? path : workingFolder + "/" + path
        for component in absolute.split(separator: "/") where component != "." {
            if component == ".." {
                _ = components.popLast()
            } else {
                components.append(component)
            }
        }
        return "/" + components.joined(separator: "/")
    }
}
