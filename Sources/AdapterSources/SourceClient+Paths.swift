internal import Foundation
internal import Tensors

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
        var files: [(part: AdapterPart, path: String)] = []
        var localPath = place
        for (part, path) in chosen {
            let file = try resolved(path)
            files.append((part, file))
            if part == .gguf { localPath = file }
        }
        return PinnedSource(
            source: source, revision: try AdapterSource.revision(of: files), localPath: localPath,
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

    private func attributes(of path: String) throws(SourceError) -> [FileAttributeKey: Any] {
        do {
            return try FileManager.default.attributesOfItem(atPath: path)
        } catch {
            throw SourceError(.notFound, "\(path) does not exist or cannot be read")
        }
    }
}

extension AdapterSource {
    /// Whether a path has the files of a revision, found out by looking at those alone: `pin` finds out
    /// more, for a hundred times as long, and whether they may be read.
    ///
    /// - Returns: false also where only `pin` can tell.
    package func isUnchanged(since revision: String) -> Bool {
        guard case .path(let path) = self else { return false }
        guard !isFile else {
            return (try? AdapterSource.revision(of: [(.gguf, path)])) == revision
        }
        var files: [(part: AdapterPart, path: String)] = []
        let isOfMLX = FileVersion(of: path + "/" + AdapterPart.weights.fileName) == nil
        for part in [.configuration, isOfMLX ? .mlx : .weights] + AdapterPart.texts {
            let file = path + "/" + part.fileName
            if AdapterPart.texts.contains(part), FileVersion(of: file) == nil { continue }
            files.append((part, file))
        }
        return (try? AdapterSource.revision(of: files)) == revision
    }

    /// Size, date and number of regular files: these change when they are written or replaced.
    fileprivate static func revision(
        of files: [(part: AdapterPart, path: String)]
    ) throws(SourceError) -> String {
        var versions: [String] = []
        for (part, path) in files {
            guard let version = FileVersion(of: path) else {
                throw SourceError(.notFound, "\(path) does not exist or cannot be read")
            }
            guard version.isRegular else {
                throw SourceError(.notFound, "\(path) is not a regular file")
            }
            versions.append("\(part.fileName) \(version)")
        }
        return versions.joined(separator: ", ")
    }
}
