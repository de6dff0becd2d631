internal import Foundation
internal import Synchronization
internal import Tensors

/// Where sources are read when there is no disk tier: a folder of this process's own in the system's
/// temporary one, made when it is needed.
///
/// It is locked as long as the process lives, so that a later one can tell what a kill left behind.
package final class TemporaryStaging: Sendable {
    private struct Place: Sendable {
        let folder: String
        let lock: FolderLock
    }

    private static let prefix = "martlet-staging-"

    private let parent: String
    private let place = Mutex<Place?>(nil)
    private let isClosed = Mutex(false)

    /// - Parameter parent: exists.
    package init(in parent: String) {
        self.parent = parent.hasSuffix("/") ? String(parent.dropLast()) : parent
    }

    deinit { remove() }

    /// A new folder for the files of one source.
    ///
    /// - Throws: `LibraryError`, also after `close`.
    package func makeFolder() throws(LibraryError) -> String {
        let folder = try place.withLock { place throws(LibraryError) -> String in
            guard !isClosed.withLock({ $0 }) else {
                throw LibraryError(.diskFailed, "the server is stopping")
            }
            let here: Place
            if let place {
                here = place
            } else {
                here = try makePlace()
                place = here
            }
            return "\(here.folder)/\(UUID().uuidString)"
        }
        try TemporaryStaging.make(folder)
        return folder
    }

    private func makePlace() throws(LibraryError) -> Place {
        // Whoever looks for what was left behind may hold the lock of a folder that is just being made,
        // or have removed it.
        for _ in 1...10 {
            let folder = "\(parent)/\(TemporaryStaging.prefix)\(UUID().uuidString)"
            try TemporaryStaging.make(folder)
            if let lock = try? FolderLock(folder: folder),
                FileManager.default.fileExists(atPath: folder + "/lock")
            {
                return Place(folder: folder, lock: lock)
            }
            try? FileManager.default.removeItem(atPath: folder)
        }
        throw LibraryError(.diskFailed, "\(parent) has no place for the files of sources")
    }

    /// Makes a folder that nobody else may look into.
    static func make(_ folder: String) throws(LibraryError) {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
        } catch {
            throw LibraryError(.diskFailed, "\(folder) cannot be made: \(error)")
        }
    }

    /// Leaves nothing behind, even while somebody still writes to a folder.
    package func remove() {
        place.withLock { place in
            if let place { TemporaryStaging.remove(place.folder) }
            place = nil
        }
    }

    /// Leaves nothing behind, and makes no folder any more.
    package func close() {
        isClosed.withLock { $0 = true }
        remove()
    }

    /// The lock goes last: with it, a later process finds what could not be removed.
    private static func remove(_ folder: String) {
        let files = FileManager.default
        for _ in 1...10 {
            let names = (try? files.contentsOfDirectory(atPath: folder)) ?? []
            guard names != ["lock"] else { break }
            for name in names where name != "lock" {
                try? files.removeItem(atPath: "\(folder)/\(name)")
            }
        }
        guard (try? files.contentsOfDirectory(atPath: folder)) == ["lock"] else { return }
        try? files.removeItem(atPath: folder)
    }

    /// Removes what processes of the same user have left behind that live no more.
    package func removeLeftovers() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names where name.hasPrefix(TemporaryStaging.prefix) {
            let folder = "\(parent)/\(name)"
            if let lock = FolderLock(leftBehind: folder) {
                withExtendedLifetime(lock) { TemporaryStaging.remove(folder) }
            } else if isForgotten(folder) {
                try? FileManager.default.removeItem(atPath: folder)
            }
        }
    }

    /// Whether a folder of this user has had no lock for an hour: nobody is just making it.
    private func isForgotten(_ folder: String) -> Bool {
        guard !FileManager.default.fileExists(atPath: folder + "/lock"),
            let facts = try? FileManager.default.attributesOfItem(atPath: folder),
            facts[.type] as? FileAttributeType == .typeDirectory,
            facts[.ownerAccountID] as? Int == Int(geteuid()),
            let date = facts[.modificationDate] as? Date
        else { return false }
        return date < Date(timeIntervalSinceNow: -3600)
    }
}
