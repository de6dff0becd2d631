import AdapterSources
import AdapterStore
import Adapters
import Catalog
import Foundation
import Tensors
import TestSupport

/// A tiny base with adapters for it, and folders in which libraries keep their packs.
final class LibraryFixture {
    let engine: TinyEngine
    let adapters: [TinyAdapter]
    let folder: TemporaryFolder
    let clock = ManualClock()
    var sources: SourceClient
    var hostBudget = 1 << 30
    var diskQuota = 1 << 30
    /// Prefixes of sources that requests may name.
    var justInTime: [String] = []
    var namesPerClient = 1000
    var settle = AdapterLibrary.Configuration().settle
    private let fingerprint: BaseFingerprint
    /// Of the library that was opened last.
    private(set) var faults: Faults
    private(set) var catalog: AdapterCatalog?

    static let format = WeightFormat.bf16
    static let patience = Duration.seconds(30)

    /// - Parameter equalSizes: whether all adapters have the same shape.
    init(adapterCount: Int, equalSizes: Bool) throws {
        let engine = try TinyEngine(format: .bf16, adapterFormat: LibraryFixture.format)
        let folder = try TemporaryFolder()
        self.engine = engine
        self.folder = folder
        sources = try RemoteShelf.client()
        fingerprint = BaseFingerprint(of: engine.checkpoint)
        adapters = try (0..<adapterCount).map { number in
            try TinyAdapter(
                number, rank: equalSizes ? 4 : 1 + number * 5 % 8,
                shape: equalSizes ? 0 : number % TinyAdapter.shapes.count,
                base: engine.checkpoint, format: LibraryFixture.format, folder: folder)
        }
        faults = Faults(folder: folder.path("cache-0"), image: folder.path("cache-1"))
    }

    /// Opens the library of the folder with some number.
    ///
    /// - Parameter number: a kill leaves what it leaves in the next folder.
    func open(_ number: Int = 0) throws -> AdapterLibrary {
        faults = Faults(
            folder: folder.path("cache-\(number)"), image: folder.path("cache-\(number + 1)"))
        let hooks = faults.hooks(clock)
        var configuration = AdapterLibrary.Configuration()
        configuration.hostBudget = hostBudget
        configuration.patience = LibraryFixture.patience
        configuration.hooks = hooks
        configuration.justInTime = justInTime
        configuration.namesPerClient = namesPerClient
        configuration.settle = settle
        let disk = try PackStore(
            folder: faults.folder, quota: diskQuota, base: engine.checkpoint,
            fingerprint: fingerprint, format: LibraryFixture.format, hooks: hooks)
        let catalog = try AdapterCatalog(path: faults.folder + "/catalog") {
            [faults] moment in try faults.change(moment)
        }
        self.catalog = catalog
        return try AdapterLibrary(
            configuration: configuration, base: engine.checkpoint, format: LibraryFixture.format,
            sources: sources, disk: disk, catalog: catalog)
    }

    /// Lets go of the catalog, whose other owner is the library.
    func close() { catalog = nil }

    /// Writes an adapter's files into a folder of their own, in place of what is there.
    @discardableResult
    func place(_ files: [String: [UInt8]], as name: String) throws -> AdapterSource {
        let path = folder.path("sources/\(name)")
        if FileManager.default.fileExists(atPath: path) {
            try FileManager.default.removeItem(atPath: path)
        }
        for (file, bytes) in files { try folder.write(bytes, to: "sources/\(name)/\(file)") }
        return try AdapterSource(path)
    }

    /// Opens a library in which the adapter with the number 3 has the name `a3`, and so on: all of them
    /// packed, none in RAM.
    func openFilled() async throws -> AdapterLibrary {
        let library = try open()
        for adapter in adapters {
            let name = "a\(adapter.number)"
            try await library.put(
                name: name, source: try place(adapter.files, as: name), replaces: false)
        }
        return library
    }

    // MARK: The folder as it is

    func packPath(_ adapter: TinyAdapter) -> String {
        "\(faults.folder)/packs/\(adapter.digest).pack"
    }

    /// The names of what is in a folder of the cache.
    func files(in name: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(faults.folder)/\(name)").sorted()
    }

    func isPacked(_ adapter: TinyAdapter) -> Bool {
        FileManager.default.fileExists(atPath: packPath(adapter))
    }

    /// What an adapter in RAM would be as a pack: all of its numbers.
    func packed(_ adapter: DeviceAdapter) throws -> [UInt8] {
        let path = folder.path("packed")
        try AdapterPack.write(
            adapter, base: engine.checkpoint, fingerprint: fingerprint, to: path)
        return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// Changes one byte of a pack.
    func damage(_ adapter: TinyAdapter, at position: Int, by flip: UInt8 = 1) throws {
        let url = URL(fileURLWithPath: packPath(adapter))
        var bytes = Array(try Data(contentsOf: url))
        bytes[position % bytes.count] ^= flip
        try Data(bytes).write(to: url)
    }
}

/// Asks for several adapters at the same time.
///
/// - Parameter meanwhile: what happens before anybody looks at the answers.
func leaseTogether(
    _ names: [String], of library: AdapterLibrary, meanwhile: () async throws -> Void = {}
) async throws -> [AdapterLease] {
    let tasks = names.map { name in Task { try await library.lease(name) } }
    try await meanwhile()
    var leases: [AdapterLease] = []
    for task in tasks { leases.append(try await task.value) }
    return leases
}
