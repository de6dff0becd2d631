internal import Foundation

extension SourceClient {
    /// Pins a path: what is there, and that all of it lies in an allowed root once links are resolved.
    ///
    /// Whoever may write to the folder may still change it afterwards; roots are for folders whose
    /// writers are trusted not to.
    func pinned(_ source: AdapterSource, path: String) throws(SourceError) -> PinnedSource {
        let place = try resolved(path)
        let chosen: [(part: AdapterPart, path: String)]
        if try attributes(of: place)[.type] as? FileAttributeType == .typeDirectory {
            let names: [String]
            do {
                names = try FileManager.default.contentsOfDirectory(atPath: place)
            } catch {
                throw SourceError(.unreadableFile, "\(path) cannot be listed: \(error)")
            }
            chosen = try AdapterPart.choose(among: names, in: path).map {
                ($0.part, place + "/" + $0.name)
            }
        } else {
            guard source.isFile else {
                throw SourceError(.notFound, "\(path) is neither a folder nor a .gguf file")
            }
            chosen = [(.gguf, place)]
        }
        var versions: [String] = []
        var localPath = place
        for (part, path) in chosen {
            let file = try resolved(path)
            let version = try version(of: file)
            versions.append("\(part.fileName) \(version)")
            if part == .gguf { localPath = file }
        }
        return PinnedSource(
            source: source, revision: versions.joined(separator: ", "), localPath: localPath,
            files: [])
    }

    private func resolved(_ path: String) throws(SourceError) -> String {
        func resolve(_ path: String) -> String {
            URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        }
        let place = resolve(path)
        let isAllowed =
            policy.allowedRoots.isEmpty
            || policy.allowedRoots.map(resolve).contains { root in
                place == root || place.hasPrefix(root == "/" ? root : root + "/")
            }
        guard isAllowed else {
            throw SourceError(
                .sourceNotAllowed,
                "\(path) is not in a folder that adapters may be read from (links are resolved first)"
            )
        }
        return place
    }

    /// Size, date and number of a regular file: these change when it is written or replaced.
    private func version(of path: String) throws(SourceError) -> String {
        let attributes = try attributes(of: path)
        guard attributes[.type] as? FileAttributeType == .typeRegular else {
            throw SourceError(.notFound, "\(path) is not a regular file")
        }
        let date = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
        func text(_ key: FileAttributeKey) -> String { attributes[key].map { "\($0)" } ?? "" }
        return "\(text(.size)) \(date) \(text(.systemFileNumber))"
    }

    private func attributes(of path: String) throws(SourceError) -> [FileAttributeKey: Any] {
        do {
            return try FileManager.default.attributesOfItem(atPath: path)
        } catch {
            throw SourceError(.notFound, "\(path) does not exist or cannot be read")
        }
    }
}
