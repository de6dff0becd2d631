package import Adapters
package import ModelFiles
internal import Synchronization
package import Tensors

/// The names that requests may ask for: the base model's, and those of loaded adapters.
package final class ModelRegistry: Sendable {
    /// An adapter under its name.
    package struct Entry: Sendable {
        package var name: String
        package var path: String
        package var adapter: DeviceAdapter
        /// Seconds since 1970.
        package var created: Int
    }

    /// What a name stands for.
    package enum Model: Sendable {
        case base
        case adapter(Entry)

        package var adapter: DeviceAdapter? {
            if case .adapter(let entry) = self { entry.adapter } else { nil }
        }
    }

    /// Names of the base, the first of them its own.
    package let baseNames: [String]
    package let checkpoint: Checkpoint
    package let created: Int
    private let format: WeightFormat
    private let limits: AdapterLimits
    private let adapterLimit: Int
    private let entries = Mutex<[String: Entry]>([:])

    package init(
        baseNames: [String], checkpoint: Checkpoint, format: WeightFormat, limits: AdapterLimits,
        adapterLimit: Int, created: Int
    ) {
        precondition(!baseNames.isEmpty, "The base needs a name.")
        self.baseNames = baseNames
        self.checkpoint = checkpoint
        self.format = format
        self.limits = limits
        self.adapterLimit = adapterLimit
        self.created = created
    }

    /// Adapters by name.
    package var adapters: [Entry] { entries.withLock { $0.values.sorted { $0.name < $1.name } } }

    /// - Throws: `GenerationError` with the names that are spelled like it.
    package func model(_ name: String) throws(GenerationError) -> Model {
        if baseNames.contains(name) { return .base }
        if let entry = entries.withLock({ $0[name] }) { return .adapter(entry) }
        let near = EditDistance.nearest(to: name, among: baseNames + adapters.map(\.name))
        let hint =
            near.isEmpty
            ? "GET /v1/models lists what is served."
            : "Did you mean \(near.joined(separator: ", "))?"
        throw GenerationError(
            .modelNotFound(near: near), "The model \"\(name.prefix(200))\" does not exist. \(hint)")
    }

    /// Reads, checks and packs an adapter and gives it a name. The name's previous adapter, if any,
    /// stays with the requests that use it.
    ///
    /// - Throws: `ModelFileError`, or `RegistryError` when the name is taken or not a name.
    @discardableResult
    package func load(
        name: String, path: String, replaces: Bool = false, created: Int
    ) throws -> Entry {
        guard ModelRegistry.isName(name) else {
            throw RegistryError(
                .invalidName,
                "An adapter's name has 1 to 200 letters, digits and . _ - / : and begins with a letter or digit."
            )
        }
        try checkFree(name, replaces: replaces)
        let file = try AdapterFile.open(path: path, base: checkpoint.configuration, limits: limits)
        let adapter = try DeviceAdapter(file, base: checkpoint, format: format)
        let entry = Entry(name: name, path: path, adapter: adapter, created: created)
        return try entries.withLock { entries in
            if entries[name] != nil, !replaces { throw taken(name) }
            guard entries[name] != nil || entries.count < adapterLimit else {
                throw RegistryError(
                    .full,
                    "\(adapterLimit) adapters are loaded, which is the limit. Unload one first.")
            }
            entries[name] = entry
            return entry
        }
    }

    /// Forgets a name. Requests under way finish on the adapter.
    package func unload(name: String) throws(RegistryError) {
        let entry = entries.withLock { $0.removeValue(forKey: name) }
        guard entry != nil else {
            throw RegistryError(.notFound, "There is no adapter \"\(name.prefix(200))\".")
        }
    }

    private func checkFree(_ name: String, replaces: Bool) throws(RegistryError) {
        if baseNames.contains(name) {
            throw RegistryError(.taken, "\"\(name)\" is the base model's name.")
        }
        if !replaces, entries.withLock({ $0[name] != nil }) { throw taken(name) }
    }

    private func taken(_ name: String) -> RegistryError {
        RegistryError(
            .taken, "The adapter \"\(name)\" is already loaded. Set load_inplace to replace it.")
    }

    /// Names are printed in logs, metrics and headers, so they are kept to harmless characters.
    package static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 200 else { return false }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte)
        }
        return isAlphanumeric(first)
            && name.utf8.allSatisfy { isAlphanumeric($0) || "._-/:".utf8.contains($0) }
    }
}

/// A name that cannot be loaded or unloaded.
package struct RegistryError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        case invalidName, taken, notFound, full
    }

    package var code: Code
    package var description: String

    init(_ code: Code, _ message: String) {
        self.code = code
        description = message
    }
}

/// Levenshtein's distance, for "did you mean".
enum EditDistance {
    static func nearest(to name: String, among names: [String]) -> [String] {
        guard name.utf8.count <= 200 else { return [] }
        let limit = max(1, name.count / 3)
        return names.map { ($0, distance(name, $0)) }.filter { $0.1 <= limit }
            .sorted { ($0.1, $0.0) < ($1.1, $1.0) }.prefix(3).map(\.0)
    }

    static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.lowercased().utf8), Array(b.lowercased().utf8))
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}
