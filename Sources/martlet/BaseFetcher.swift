import AdapterSources
import ArgumentParser
import Foundation
import Logging

/// Brings a base model from the Hub into a cache of our own, once for each commit.
///
///     ROOT/models/OWNER--NAME/COMMIT    the files; whole when there is a file `complete`
///     ROOT/models/OWNER--NAME/refs      which commit a revision was, for when the Hub is not asked
struct BaseFetcher {
    private let location: HubLocation
    private let folder: String
    private let isOffline: Bool
    private let client: SourceClient

    /// - Parameters:
    ///   - root: of the cache.
    ///   - policy: how the Hub is reached; its limits are an adapter's.
    init(_ location: HubLocation, root: String, policy: SourcePolicy) throws {
        self.location = location
        folder = "\(root)/models/\(location.owner)--\(location.name)"
        let offline = ProcessInfo.processInfo.environment["HF_HUB_OFFLINE"] ?? ""
        isOffline = ["1", "true", "yes", "on"].contains(offline.lowercased())
        var policy = policy
        policy.byteLimit = 4 << 40
        policy.totalTimeout = .seconds(24 * 3600)
        if let endpoint = policy.hub?.endpoint, endpoint != HubAccess().endpoint {
            // A mirror that the operator names may be anywhere.
            policy.allowsPlainHTTP = policy.allowsPlainHTTP || endpoint.scheme == .http
            policy.allowedHosts.append(try HostPattern(endpoint.host))
            policy.localHosts.append(try HostPattern(endpoint.host))
        }
        client = try SourceClient(policy: policy)
    }

    /// - Returns: the model's folder or GGUF file.
    /// - Throws: `SourceError`, and whatever keeps the cache from being written.
    func fetch(_ progress: Progress, _ logger: Logger?) async throws -> String {
        let pinned: PinnedSource
        do {
            guard !isOffline else {
                throw SourceError(.unreachable, "HF_HUB_OFFLINE says not to ask the Hub")
            }
            pinned = try await client.pinBase(location)
        } catch let error as SourceError
            where [.unreachable, .unavailable, .timeout].contains(error.code)
        {
            // What was fetched before is as good as it was.
            guard let known else { throw Self.failure(location, error) }
            logger?.warning(
                "the Hub was not reached: the model is the one that was fetched before",
                metadata: ["model": .string(location.description), "reason": "\(error)"])
            return known
        } catch let error as SourceError {
            throw Self.failure(location, error)
        }
        let place = "\(folder)/\(pinned.revision)"
        if !isComplete(place, pinned) {
            try await fetch(pinned, into: place, progress, logger)
        }
        try write(pinned.revision, to: refPath)
        return path(in: place)
    }

    private func fetch(
        _ pinned: PinnedSource, into place: String, _ progress: Progress, _ logger: Logger?
    ) async throws {
        for file in pinned.files {
            let parent = URL(fileURLWithPath: "\(place)/\(file.name)").deletingLastPathComponent()
            try FileManager.default.createDirectory(
                at: parent, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
        }
        logger?.info(
            "fetching the model",
            metadata: [
                "model": .string(location.description), "commit": .string(pinned.revision),
                "size": .string(pinned.byteCount.map { ByteCount.text($0) } ?? "unknown"),
                "to": .string(place),
            ])
        let bar = ProgressBox(progress)
        let name = location.description
        // Whole files are not fetched again, and a part of one is continued.
        let missing = pinned.files.filter { !isWhole($0, in: place) }
        try await client.fetch(pinned.only(missing), into: place) { step in
            let share = step.total.map { Double(step.done) / Double(max(1, $0)) }
            bar.show("fetching \(name) \(step.name)", share)
        }
        progress.finish()
        try write(pinned.files.map(\.name).joined(separator: "\n"), to: place + "/complete")
    }

    private func isWhole(_ file: RemoteFile, in place: String) -> Bool {
        let size = try? FileManager.default.attributesOfItem(atPath: "\(place)/\(file.name)")[.size]
        return file.byteCount != nil && size as? Int == file.byteCount
    }

    private func isComplete(_ place: String, _ pinned: PinnedSource) -> Bool {
        let names = (try? String(contentsOfFile: place + "/complete", encoding: .utf8)) ?? ""
        let known = Set(names.split(separator: "\n").map(String.init))
        return !known.isEmpty && pinned.files.allSatisfy { known.contains($0.name) }
    }

    /// Of an earlier start; nil when there is none.
    private var known: String? {
        guard let commit = try? String(contentsOfFile: refPath, encoding: .utf8),
            commit.isHexadecimal(count: 40),
            FileManager.default.fileExists(atPath: "\(folder)/\(commit)/complete")
        else { return nil }
        let path = path(in: "\(folder)/\(commit)")
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }

    private var refPath: String {
        let text = location.description.dropFirst("hf:\(location.repository)".count)
        return "\(folder)/refs/\(text.isEmpty ? "main" : text.replacing("/", with: "--"))"
    }

    /// Of one GGUF file among several, that file.
    private func path(in place: String) -> String {
        location.ggufName.map { "\(place)/\($0)" } ?? place
    }

    private func write(_ text: String, to path: String) throws {
        try FileManager.default.createDirectory(
            at: URL(fileURLWithPath: path).deletingLastPathComponent(),
            withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    private static func failure(_ location: HubLocation, _ error: SourceError) -> BaseFetchError {
        BaseFetchError(
            description: """
                the model \(location) could not be fetched: \(error.message)
                Fetch it where the Hub can be reached and give its folder:
                  hf download \(location.repository) --local-dir FOLDER
                  martlet serve --model FOLDER
                """)
    }
}

extension HubAccess {
    /// As the Hub's own tools read the environment.
    init(_ environment: [String: String]) throws {
        self.init()
        if let endpoint = environment["HF_ENDPOINT"] { self.endpoint = try WebAddress(endpoint) }
        token = environment["HF_TOKEN"].map { Secret($0) }
    }
}

struct BaseFetchError: Error, CustomStringConvertible {
    let description: String
}

/// Hands progress from the transfer's tasks to the terminal, one at a time.
private final class ProgressBox: @unchecked Sendable {
    // Safety: `progress` is touched only while `lock` is held.
    private let lock = NSLock()
    private let progress: Progress

    init(_ progress: Progress) { self.progress = progress }

    func show(_ what: String, _ share: Double?) {
        lock.withLock { progress.show(what, share) }
    }
}
