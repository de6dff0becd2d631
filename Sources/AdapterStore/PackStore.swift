package import Adapters
internal import Foundation
package import ModelFiles
package import Tensors

/// The disk tier: one pack for each adapter in a folder of this process's own, under a quota of bytes.
///
///     FOLDER/lock          held while the process lives
///     FOLDER/catalog       the catalog's database
///     FOLDER/packs         DIGEST.pack
///     FOLDER/staging       sources while they are read; emptied at every start
///     FOLDER/quarantine    packs that were found damaged
///
/// Not thread-safe: the library calls it from one thread at a time, but for `read`.
package final class PackStore {
    package let folder: String
    package let quota: Int
    private let base: Checkpoint
    private let fingerprint: BaseFingerprint
    private let format: WeightFormat
    private let lock: FolderLock
    private var packs: [AdapterDigest: Pack] = [:]
    package private(set) var byteCount = 0
    private var clock = 0

    private struct Pack {
        var byteCount: Int
        var lastUse: Int
    }

    /// Takes the folder, and throws away what an earlier process left unfinished.
    ///
    /// - Throws: `LibraryError`: `cache_in_use` when another process has it, `cache_unusable`.
    package init(
        folder: String, quota: Int, base: Checkpoint, fingerprint: BaseFingerprint,
        format: WeightFormat
    ) throws(LibraryError) {
        self.folder = folder
        self.quota = quota
        self.base = base
        self.fingerprint = fingerprint
        self.format = format
        do {
            for name in ["", "/packs", "/staging", "/quarantine"] {
                try FileManager.default.createDirectory(
                    atPath: folder + name, withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700])
            }
            guard let lock = try FolderLock(folder: folder) else {
                throw LibraryError(
                    .folderInUse,
                    "\(folder) is in use by another process; give --disk-cache another folder")
            }
            self.lock = lock
            for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/staging") {
                try FileManager.default.removeItem(atPath: "\(folder)/staging/\(name)")
            }
            try findPacks()
        } catch let error as LibraryError {
            throw error
        } catch {
            throw LibraryError(.diskFailed, "the cache folder \(folder) cannot be used: \(error)")
        }
    }

    private func findPacks() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder + "/packs") {
            let path = "\(folder)/packs/\(name)"
            guard name.hasSuffix(".pack"), let digest = AdapterDigest(String(name.dropLast(5)))
            else {
                BinaryFile.remove(path)
                continue
            }
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            let size = (attributes[.size] as? NSNumber)?.intValue ?? 0
            packs[digest] = Pack(byteCount: size, lastUse: 0)
            byteCount += size
        }
    }

    package var digests: [AdapterDigest] { Array(packs.keys) }

    package func holds(_ digest: AdapterDigest) -> Bool { packs[digest] != nil }

    package func path(of digest: AdapterDigest) -> String { "\(folder)/packs/\(digest).pack" }

    /// A new folder for the files of one source.
    ///
    /// - Throws: `LibraryError`.
    package func makeStagingFolder() throws(LibraryError) -> String {
        let path = "\(folder)/staging/\(UUID().uuidString)"
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
        } catch {
            throw LibraryError(.diskFailed, "\(path) cannot be made: \(error)")
        }
        return path
    }

    /// Keeps an adapter, and lets others go for it as the quota demands.
    ///
    /// - Parameter keeping: adapters that stay.
    /// - Returns: those that went; nil when it was not kept: there is no room for it.
    /// - Throws: `FileError`.
    package func write(
        _ adapter: DeviceAdapter, keeping: Set<AdapterDigest>
    ) throws(FileError) -> [AdapterDigest]? {
        if holds(adapter.digest) { return [] }
        let size = AdapterPack.byteCount(of: adapter, base: base)
        guard let victims = victims(for: size, keeping: keeping) else { return nil }
        for victim in victims { remove(victim) }
        try AdapterPack.write(
            adapter, base: base, fingerprint: fingerprint, to: path(of: adapter.digest))
        clock += 1
        packs[adapter.digest] = Pack(byteCount: size, lastUse: clock)
        byteCount += size
        return victims
    }

    private func victims(for size: Int, keeping: Set<AdapterDigest>) -> [AdapterDigest]? {
        var missing = byteCount + size - quota
        var victims: [AdapterDigest] = []
        for (digest, pack) in packs.sorted(by: { $0.value.lastUse < $1.value.lastUse })
        where missing > 0 && !keeping.contains(digest) {
            victims.append(digest)
            missing -= pack.byteCount
        }
        return missing > 0 ? nil : victims
    }

    /// Notes that a pack is read.
    package func use(_ digest: AdapterDigest) {
        clock += 1
        packs[digest]?.lastUse = clock
    }

    package func remove(_ digest: AdapterDigest) {
        guard let pack = packs.removeValue(forKey: digest) else { return }
        byteCount -= pack.byteCount
        BinaryFile.remove(path(of: digest))
    }

    /// Puts a damaged pack aside, in place of any that was put there before.
    package func quarantine(_ digest: AdapterDigest) {
        guard let pack = packs.removeValue(forKey: digest) else { return }
        byteCount -= pack.byteCount
        let target = "\(folder)/quarantine/\(digest).pack"
        if (try? BinaryFile.rename(path(of: digest), to: target)) == nil {
            BinaryFile.remove(path(of: digest))
        }
    }

    /// How packs are read, on any thread.
    package var reader: @Sendable (AdapterDigest) throws(PackError) -> DeviceAdapter {
        let (folder, base, fingerprint, format) = (folder, base, fingerprint, format)
        return { (digest) throws(PackError) in
            try AdapterPack.read(
                "\(folder)/packs/\(digest).pack", digest: digest, base: base,
                fingerprint: fingerprint, format: format)
        }
    }
}
