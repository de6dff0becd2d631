import AdapterSources
import AdapterStore
import Adapters
import Catalog
import Engine
import Foundation
import TestSupport

/// A library and an engine, with everything that can happen to them, drawn from a seed.
///
/// The library works on threads of its own. So each event is followed until all is quiet: until the
/// books agree with what is there, or will not. What a seed draws depends on nothing else than the
/// model and what is in RAM and on the disk then. Where requests come together, or beside a slow
/// source, threads may decide who is the least recently used afterwards, and nothing else.
final class LibrarySimulation {
    /// Where adapters come from.
    struct Source {
        enum Holding: Equatable {
            case adapter(Int)
            /// Files that are no adapter.
            case broken
            case nothing
        }

        let name: String
        let source: AdapterSource
        let isRemote: Bool
        var holding = Holding.nothing
        /// Whether its server never gives what it has.
        var isFailing = false

        var text: String { source.description }
    }

    /// A sequence on its way.
    struct Running {
        var content: Int
        var prompt: Int
        var completion = Completion()
    }

    /// An adapter that was in RAM, and is as long as somebody keeps it.
    struct Sighting {
        weak var adapter: DeviceAdapter?
    }

    static let names = (0..<12).map { "n\($0)" }
    static let folderCount = 8
    static let remoteCount = 4
    static let adapterCount = 18
    static let maximumRunning = 6
    static let blockFloor = 4
    private static let blockByteCount = 1 << 10

    let fixture: LibraryFixture
    let shelf: RemoteShelf
    var generator: SeededGenerator
    var sources: [Source] = []
    var model = LibraryModel()
    /// Nil only while nobody has the folder.
    var current: AdapterLibrary?
    /// Kills so far.
    var killCount = 0
    var core: EngineCore
    var running: [RequestID: Running] = [:]
    var sightings: [Int: Sighting] = [:]
    /// The packs on the disk, and whether they are whole.
    var packs: [Int: Bool] = [:]
    /// Packs that were written over and are still there, and all that ever were.
    var damaged: Set<Int> = []
    var everDamaged: Set<Int> = []
    /// What has happened, for whoever looks into a failure.
    var trail: [String] = []
    let deviceMemory: DeviceMemory
    private let numbers: [String: Int]
    private var requestCount: UInt64 = 0

    var adapters: [TinyAdapter] { fixture.adapters }

    /// - Parameters:
    ///   - shelf: what the server at the port has.
    init(seed: UInt64, shelf: RemoteShelf, port: Int) throws {
        let fixture = try LibraryFixture(adapterCount: Self.adapterCount, equalSizes: false)
        let sizes = fixture.adapters.map(\.byteCount)
        let largest = sizes.max() ?? 0
        let packSizes = fixture.adapters.map(\.pack.count)
        // Room for some four adapters in RAM, six on the disk, and two, or one large one, on the device.
        fixture.hostBudget = max(2 * largest, sizes.reduce(0, +) * 4 / sizes.count)
        fixture.diskQuota = packSizes.reduce(0, +) * 6 / packSizes.count
        let memory = DeviceMemory(
            byteCount: largest * 3 / 2 + 6 * Self.blockByteCount,
            blockByteCount: Self.blockByteCount, adapterFloor: largest,
            blockFloor: Self.blockFloor)
        self.fixture = fixture
        self.shelf = shelf
        generator = SeededGenerator(seed: seed)
        deviceMemory = memory
        core = Self.makeCore(fixture.engine, memory)
        numbers = Dictionary(
            uniqueKeysWithValues: fixture.adapters.map { ($0.digest.description, $0.number) })
        current = try fixture.open()
        for number in 0..<Self.folderCount + Self.remoteCount {
            let isRemote = number >= Self.folderCount
            let name = isRemote ? "r\(number - Self.folderCount)" : "f\(number)"
            let text =
                isRemote
                ? "http://files.test:\(port)/\(name)/" : fixture.folder.path("sources/\(name)")
            sources.append(
                Source(name: name, source: try AdapterSource(text), isRemote: isRemote))
            try setSource(number, .adapter(number))
        }
    }

    private static func makeCore(_ engine: TinyEngine, _ memory: DeviceMemory) -> EngineCore {
        engine.core(
            maximumSequences: 4, maximumStepTokens: 24, blockCount: 8, keptBlockCount: 3,
            deviceMemory: memory)
    }

    func run(eventCount: Int) async throws {
        for (number, name) in Self.names.enumerated() {
            let isRead = number % 2 == 0
            try await call(
                isRead
                    ? .put(name, source: number, replaces: false, expected: nil)
                    : .register(name, source: number))
            try await settle()
        }
        for _ in 0..<eventCount {
            try await happen()
            try await settle()
        }
        try drain()
        try await settle()
        note("the end")
        try await restart([model])
        try await settle()
    }

    func note(_ event: String) { trail.append("\(trail.count): \(event)") }

    func library() throws -> AdapterLibrary {
        guard let current else { throw Flaw("nobody has the folder") }
        return current
    }

    func number(ofText digest: String) -> Int? { numbers[digest] }

    func number(of digest: AdapterDigest?) -> Int? {
        digest.flatMap { number(ofText: $0.description) }
    }

    func number(ofPack file: String) -> Int? {
        file.hasSuffix(".pack") ? number(ofText: String(file.dropLast(5))) : nil
    }

    func setSource(_ number: Int, _ holding: Source.Holding) throws {
        let files: [String: [UInt8]] =
            switch holding {
            case .adapter(let content): adapters[content].files
            case .broken: adapters[number].brokenFiles
            case .nothing: [:]
            }
        sources[number].holding = holding
        if sources[number].isRemote {
            shelf.put(files, in: sources[number].name)
        } else {
            try fixture.place(files, as: sources[number].name)
        }
    }

    // MARK: The engine

    /// Hands a request to the engine, which keeps the lease until its completion is whole.
    func submit(_ lease: AdapterLease, expecting content: Int?) throws {
        guard let content, number(of: lease.adapter.digest) == content else {
            throw Flaw("a lease of \(lease.adapter.digest) and not of \(content ?? -1)")
        }
        sightings[content] = Sighting(adapter: lease.adapter)
        requestCount += 1
        let (id, prompt) = (RequestID(requestCount), roll(Reference.prompts.count))
        running[id] = Running(content: content, prompt: prompt)
        core.apply(
            .submit(
                Reference.request(id, prompt: prompt, adapter: lease.adapter, lease: lease)))
    }

    /// One step of the engine; completions that are whole must be those of the reference.
    func step() throws {
        for output in core.step() {
            guard case .step(let step) = output.event else { throw Flaw("a sequence failed") }
            running[output.id]?.completion.add(step)
            guard step.finish != nil, let done = running.removeValue(forKey: output.id) else {
                continue
            }
            let expected = try Reference.completion(
                of: adapters[done.content], prompt: done.prompt, on: fixture.engine)
            guard done.completion == expected else {
                throw Flaw(
                    "adapter \(done.content), prompt \(done.prompt): \(done.completion) and not \(expected)"
                )
            }
        }
    }

    func drain() throws {
        var count = 0
        while !core.isIdle {
            try step()
            count += 1
            guard count < 5_000 else { throw Flaw("the engine does not come to an end") }
        }
        guard running.isEmpty else { throw Flaw("requests were forgotten") }
    }

    // MARK: Kills

    /// Kills the process, and begins another one with what it has left.
    ///
    /// - Parameter possible: what names may stand for now.
    func restart(_ possible: [LibraryModel]) async throws {
        if !fixture.faults.isDead { try fixture.faults.die() }
        try leaveRubbish(besides: possible.reduce(into: []) { $0.formUnion($1.known) })
        core = Self.makeCore(fixture.engine, deviceMemory)
        running = [:]
        sightings = [:]
        let last = LastLibrary(library: current)
        current = nil
        fixture.close()
        try await until("a library goes with its last lease") { last.library == nil }
        killCount += 1
        current = try fixture.open(killCount)
        let flaws = try possible.map { try namesFlaw($0) }
        guard let index = flaws.firstIndex(of: nil) else {
            throw Flaw("neither as before nor as after what was not acknowledged: \(flaws)")
        }
        model = possible[index]
        packs = try readPacks()
        try checkKnown()
    }

    private struct LastLibrary {
        weak var library: AdapterLibrary?
    }

    /// What other kills would have left: a staging folder, half a pack, a pack that nobody knows of.
    private func leaveRubbish(besides known: Set<Int>) throws {
        let image = "cache-\(killCount + 1)"
        try fixture.folder.write([1, 2, 3], to: "\(image)/staging/left/adapter_config.json")
        try fixture.folder.write([4, 5, 6], to: "\(image)/packs/\(adapters[0].digest).pack.part")
        let stray = adapters[roll(adapters.count)]
        let name = "\(image)/packs/\(stray.digest).pack"
        guard !known.contains(stray.number),
            !FileManager.default.fileExists(atPath: fixture.folder.path(name))
        else { return }
        try fixture.folder.write(stray.pack, to: name)
    }

    /// No pack that the catalog does not know outlives a start.
    private func checkKnown() throws {
        let records = try fixture.catalog?.adapters() ?? []
        let known = Set(records.compactMap { number(ofText: $0.digest) })
        guard Set(packs.keys).isSubset(of: known) else {
            throw Flaw("packs \(packs.keys.sorted()), but the catalog knows \(known.sorted())")
        }
        model.known = known
    }

    // MARK: Dice

    func roll(_ count: Int) -> Int { Int.random(in: 0..<count, using: &generator) }

    func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[roll(elements.count)]
    }
}
