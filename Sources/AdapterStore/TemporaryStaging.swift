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

    /// - Parameter parent: exists.
    package init(in parent: String) {
        self.parent = parent.hasSuffix("/") ? String(parent.dropLast()) : parent
    }

    deinit { remove() }

    /// A new folder for the files of one source.
    ///
    /// - Throws: `LibraryError`.
    package func makeFolder() throws(LibraryError) -> String {
        let folder = try place.withLock { place throws(LibraryError) -> String in
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

    /// Leaves nothing behind.
    package func remove() {
        place.withLock { place in
            if let place { try? FileManager.default.removeItem(atPath: place.folder) }
            place = nil
        }
    }

    /// Removes what processes of the same user have left behind that live no more.
    package func removeLeftovers() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        for name in names where name.hasPrefix(TemporaryStaging.prefix) {
            let folder = "\(parent)/\(name)"
            guard let lock = FolderLock(leftBehind: folder) else { continue }
            withExtendedLifetime(lock) {
                _ = try? FileManager.default.removeItem(atPath: folder)
            }
        }
    }
}
