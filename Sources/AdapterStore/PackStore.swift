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
    private let hooks: LibraryHooks
    private let lock: FolderLock
    private(set) var packs: [AdapterDigest: Pack] = [:]
    /// Packs that came or went since somebody asked.
    private var touched: Set<AdapterDigest> = []
    /// Packs that are being written.
    private var reserved: [AdapterDigest: Int] = [:]
    package private(set) var byteCount = 0
    private var clock = 0

    struct Pack {
        var byteCount: Int
        var lastUse: Int
        /// Tells it from others that the same adapter had before.
        var edition: Int
    }

    /// Takes the folder, and throws away what an earlier process left unfinished.
    ///
    /// - Throws: `LibraryError`: `cache_in_use` when another process has it, `cache_full`,
    ///   `cache_unusable`.
    package init(
        folder: String, quota: Int, base: Checkpoint, fingerprint: BaseFingerprint,
        format: WeightFormat, hooks: LibraryHooks = LibraryHooks()
    ) throws(LibraryError) {
        self.folder = folder
        self.quota = quota
        self.base = base
        self.fingerprint = fingerprint
        self.format = format
        self.hooks = hooks
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
            let isFull =
                (error as? CocoaError)?.code == .fileWriteOutOfSpace
                || (error as? FileError)?.isDiskFull == true
            throw LibraryError(
                isFull ? .diskFull : .diskFailed,
                "the cache folder \(folder) cannot be used: \(error)")
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
            let size = FileVersion(of: path)?.byteCount ?? 0
            packs[digest] = Pack(byteCount: size, lastUse: 0, edition: 0)
            byteCount += size
        }
    }

    package var digests: [AdapterDigest] { Array(packs.keys) }

    /// Packs that came or went since the last call.
    package func takeTouched() -> Set<AdapterDigest> {
        defer { touched = [] }
        return touched
    }

    package var count: Int { packs.count }

    package func holds(_ digest: AdapterDigest) -> Bool { packs[digest] != nil }

    package func path(of digest: AdapterDigest) -> String { "\(folder)/packs/\(digest).pack" }

    /// A new folder for the files of one source.
    ///
    /// - Throws: `LibraryError`.
    package func makeStagingFolder() throws(LibraryError) -> String {
        let path = "\(folder)/staging/\(UUID().uuidString)"
        try TemporaryStaging.make(path)
        return path
    }

    /// How a pack is written, on any thread, and those that had to go for it.
    package typealias Room = (
        write: @Sendable () throws -> Void, gone: [AdapterDigest]
    )

    /// Whether a pack is there or on its way.
    package func expects(_ digest: AdapterDigest) -> Bool {
        holds(digest) || reserved[digest] != nil
    }

    /// Makes room for an adapter's pack, as the quota demands.
    ///
    /// - Parameters:
    ///   - keeping: adapters that stay.
    ///   - named: adapters that names stand for; others go before them.
    /// - Returns: nil when it is not to be written: it is there already, or there is no room for it.
    ///   Else `add` or `giveUp` has to follow.
    package func makeRoom(
        for adapter: DeviceAdapter, keeping: Set<AdapterDigest>, named: Set<AdapterDigest>
    ) -> Room? {
        if expects(adapter.digest) { return nil }
        let size = AdapterPack.byteCount(of: adapter, base: base)
        guard let victims = victims(for: size, keeping: keeping, named: named) else { return nil }
        for victim in victims { remove(victim) }
        reserved[adapter.digest] = size
        byteCount += size
        let (base, fingerprint, path) = (base, fingerprint, path(of: adapter.digest))
        let hook = hooks.write
        return (
            {
                try hook(path) { () throws(FileError) in
                    try AdapterPack.write(adapter, base: base, fingerprint: fingerprint, to: path)
                }
            }, victims
        )
    }

    /// Counts a pack that has been written.
    package func add(_ adapter: DeviceAdapter) {
        guard let size = reserved.removeValue(forKey: adapter.digest) else { return }
        clock += 1
        packs[adapter.digest] = Pack(byteCount: size, lastUse: clock, edition: clock)
        touched.insert(adapter.digest)
    }

    /// Gives back the room for a pack that could not be written.
    package func giveUp(_ digest: AdapterDigest) {
        guard let size = reserved.removeValue(forKey: digest) else { return }
        byteCount -= size
        // It may have its name already, and only not have been made durable.
        BinaryFile.remove(path(of: digest))
    }

    private func victims(
        for size: Int, keeping: Set<AdapterDigest>, named: Set<AdapterDigest>
    ) -> [AdapterDigest]? {
        var missing = byteCount + size - quota
        guard missing > 0 else { return [] }
        var victims: [AdapterDigest] = []
        let order = packs.sorted {
            (named.contains($0.key) ? 1 : 0, $0.value.lastUse)
                < (named.contains($1.key) ? 1 : 0, $1.value.lastUse)
        }
        for (digest, pack) in order where missing > 0 && !keeping.contains(digest) {
            victims.append(digest)
            missing -= pack.byteCount
        }
        return missing > 0 ? nil : victims
    }

    /// Notes that a pack is read.
    ///
    /// - Returns: which pack it is of those that the adapter has had; nil when there is none.
    package func use(_ digest: AdapterDigest) -> Int? {
        clock += 1
        packs[digest]?.lastUse = clock
        return packs[digest]?.edition
    }

    /// Removes a pack, unless it is another one by now.
    package func remove(_ digest: AdapterDigest, edition: Int) {
        if packs[digest]?.edition == edition { remove(digest) }
    }

    package func remove(_ digest: AdapterDigest) {
        guard let pack = packs.removeValue(forKey: digest) else { return }
        touched.insert(digest)
        byteCount -= pack.byteCount
        BinaryFile.remove(path(of: digest))
    }

    /// Puts a damaged pack aside, in place of any that was put there before.
    ///
    /// - Returns: whether it was this one; another one that was made meanwhile stays.
    package func quarantine(_ digest: AdapterDigest, edition: Int) -> Bool {
        guard packs[digest]?.edition == edition, let pack = packs.removeValue(forKey: digest) else {
            return false
        }
        touched.insert(digest)
        byteCount -= pack.byteCount
        let target = "\(folder)/quarantine/\(digest).pack"
        if (try? BinaryFile.rename(path(of: digest), to: target)) == nil {
            BinaryFile.remove(path(of: digest))
        }
        return true
    }

    /// Calls what it is given between pieces of the work.
    package typealias Reader =
        @Sendable (AdapterDigest, _ pace: () -> Void) throws(PackError) -> DeviceAdapter

    /// How packs are read, on any thread.
    package var reader: Reader {
        let (folder, base, fingerprint, format) = (folder, base, fingerprint, format)
        let hook = hooks.willRead
        return { (digest, pace) throws(PackError) in
            let path = "\(folder)/packs/\(digest).pack"
            hook(path)
            return try AdapterPack.read(
                path, digest: digest, base: base, fingerprint: fingerprint, format: format,
                pace: pace)
        }
    }
}
