internal import JSONTree

/// What the Hub tells about a repository at a revision.
struct HubListing {
    /// Of the commit that the revision names now.
    let commit: String
    private let paths: [String]
    private let location: HubLocation

    /// Reads the answer of `api/models/OWNER/NAME/revision/REVISION`.
    ///
    /// - Throws: `SourceError` with `malformed_answer`.
    init(_ bytes: [UInt8], of location: HubLocation) throws(SourceError) {
        let json: JSON
        do {
            json = try JSON(parsing: bytes, limits: JSON.Limits(depth: 32, nameByteCount: 1024))
        } catch {
            throw SourceError(.malformedAnswer, "the Hub's answer about \(location) is \(error)")
        }
        guard let commit = json["sha"]?.stringValue, commit.isHexadecimal(count: 40),
            let siblings = json["siblings"]?.arrayValue
        else {
            throw SourceError(
                .malformedAnswer, "the Hub's answer about \(location) has no commit or no files")
        }
        self.commit = commit
        self.location = location
        paths = siblings.compactMap { $0["rfilename"]?.stringValue }
            .filter { PlainText.components($0[...])?.isEmpty == false }
    }

    /// The files of the location's adapter, with their paths in the repository.
    ///
    /// - Throws: `SourceError`: `not_found` or `pickle_refused`.
    func files(isFile: Bool) throws(SourceError) -> [(part: AdapterPart, path: String)] {
        if isFile {
            guard paths.contains(location.path) else {
                throw SourceError(.notFound, "\(location) does not exist at commit \(commit)")
            }
            return [(.gguf, location.path)]
        }
        let prefix = location.components.isEmpty ? "" : location.path + "/"
        let names = paths.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
            .filter { !$0.contains("/") }
        return try AdapterPart.choose(among: names, in: location.description)
            .map { ($0.part, prefix + $0.name) }
    }
}
