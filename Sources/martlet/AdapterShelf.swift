import AdapterSources
import AdapterStore
import Adapters
import Catalog
import Foundation
import Generation
import ModelFiles
import Tensors

/// Opens the library of adapters that settings ask for.
enum AdapterShelf {
    /// What takes long, and what the server starts in spite of.
    enum News {
        /// The base is read once more, to be told from others.
        case hashing(String)
        /// An adapter that cannot be served.
        case refused(String, reason: String)
        /// What was found out is not kept, on a full disk.
        case notStored(String)
    }

    /// - Parameters:
    ///   - text: the base's.
    ///   - isBusy: whether the engine has requests.
    ///   - tell: told of what goes wrong on the way.
    /// - Throws: whatever makes it unusable, and what is wrong with an adapter that the command line
    ///   names on its own.
    static func open(
        _ settings: ModelSettings, model: LoadedModel, baseNames: [String], policy: SourcePolicy,
        justInTime: [String], text: ModelText, isBusy: @escaping @Sendable () -> Bool,
        progress: Progress,
        tell: (News) -> Void
    ) async throws -> AdapterLibrary {
        var configuration = AdapterLibrary.Configuration()
        configuration.hostBudget = settings.hostByteCount
        configuration.justInTime = justInTime
        configuration.reservedNames = Set(baseNames)
        configuration.isBusy = isBusy
        configuration.settle = text.settled
        let base = model.checkpoint
        var disk: PackStore?
        do {
            disk = try AdapterShelf.disk(settings, model) {
                progress.show("hashing \(base.path), this once")
                tell(.hashing(base.path))
            }
        } catch let error as LibraryError where error.code == .diskFull {
            tell(.notStored(error.description))
        }
        var known: (catalog: AdapterCatalog, contents: CatalogContents)?
        if let folder = disk?.folder {
            do {
                known = try AdapterShelf.catalog(in: folder, settings)
            } catch let error as CatalogError where error.isDiskFull {
                tell(.notStored(error.description))
            }
            if known == nil { disk = nil }
        }
        let (catalog, contents) = (known?.catalog, known?.contents)
        var limits = AdapterLimits()
        limits.allowsOtherVocabularies = !model.isOnDevice
        let library = try AdapterLibrary(
            configuration: configuration, base: base, format: settings.adapterWeights,
            limits: limits, sources: try SourceClient(policy: policy), disk: disk, catalog: catalog,
            contents: contents)
        var keepsOthers = false
        if case .own = settings.diskCache { keepsOthers = true }
        let adapters = try settings.adapters.filter { name, _ in
            do {
                try library.check(name)
                return true
            } catch {
                if settings.explicitAdapters.contains(name) { throw error }
                tell(.refused(name, reason: "\(error)"))
                return false
            }
        }
        let failure = try await library.adopt(
            adapters, watched: settings.watchedFolders, keepsOthers: keepsOthers,
            contents: contents)
        if let failure { tell(.notStored(failure.description)) }
        for entry in library.entries where entry.digest == nil {
            do {
                try await library.check(entry)
            } catch {
                if settings.explicitAdapters.contains(entry.name) { throw error }
                tell(.refused(entry.name, reason: "\(error)"))
            }
        }
        return library
    }

    /// The catalog and all that is in it. One that cannot be read is an operator's concern where names are
    /// kept in it; elsewhere a new one takes its place, or none.
    private static func catalog(
        in folder: String, _ settings: ModelSettings
    ) throws -> (catalog: AdapterCatalog, contents: CatalogContents)? {
        func open() throws(CatalogError) -> (catalog: AdapterCatalog, contents: CatalogContents) {
            let catalog = try AdapterCatalog(path: folder + "/catalog")
            return (catalog, try catalog.contents())
        }
        guard case .common = settings.diskCache else { return try open() }
        do {
            return try open()
        } catch {
            guard error.isDamaged else { return nil }
            for suffix in ["", "-wal", "-shm"] {
                try? FileManager.default.removeItem(atPath: folder + "/catalog" + suffix)
            }
            return try? open()
        }
    }

    private static func disk(
        _ settings: ModelSettings, _ model: LoadedModel, willHash: () -> Void
    ) throws -> sending PackStore? {
        let root: String
        switch settings.diskCache {
        case .none: return nil
        case .own(let folder), .common(let folder): root = folder
        }
        let base = model.checkpoint
        try? FileManager.default.createDirectory(
            atPath: root, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let fingerprint = BaseFingerprint(
            of: base, rememberedIn: root, now: Int(Date().timeIntervalSince1970), team: model.team,
            willRead: willHash)
        func store(_ suffix: String) throws -> PackStore {
            try PackStore(
                folder: "\(root)/\(fingerprint.short)-\(settings.adapterWeights.rawValue)\(suffix)",
                quota: settings.diskQuota, base: base, fingerprint: fingerprint,
                format: settings.adapterWeights)
        }
        guard case .common = settings.diskCache else { return try store("") }
        // Several servers of one base have a folder each.
        for number in 1...16 {
            do {
                return try store(number == 1 ? "" : "-\(number)")
            } catch let error as LibraryError where error.code == .folderInUse {
                continue
            } catch {
                // A place that nobody asked for may be missing.
                return nil
            }
        }
        return nil
    }
}
