import AdapterStore
import Adapters
import Catalog
import Engine
import Foundation

/// What must hold whenever all is quiet.
extension LibrarySimulation {
    /// Waits until all is quiet.
    func settle() async throws {
        var flaw: String?
        for _ in 0..<3_000 {
            try await look()
            flaw = try self.flaw()
            if flaw == nil { return }
            await letOthersGoOn()
        }
        throw Flaw(flaw ?? "")
    }

    /// Finds out what is in RAM, as far as names stand for it, and on the disk.
    private func look() async throws {
        let library = try self.library()
        for entry in library.entries where entry.tier == .host {
            guard let content = number(of: entry.digest) else {
                throw Flaw("\(entry.name) stands for what nobody made")
            }
            guard !isInMemory(content) else { continue }
            // It is there, so a lease changes nothing but counters.
            let lease = try await library.lease(entry.name)
            sightings[content] = Sighting(adapter: lease.adapter)
        }
        sightings = sightings.filter { $0.value.adapter != nil }
        packs = try readPacks()
        damaged = damaged.filter { packs[$0] == false }
    }

    /// The packs on the disk, and whether they are what was written.
    func readPacks() throws -> [Int: Bool] {
        var packs: [Int: Bool] = [:]
        for file in try fixture.files(in: "packs") {
            guard let content = number(ofPack: file) else {
                // One that is being written.
                guard file.hasSuffix(".part") else { throw Flaw("the file packs/\(file)") }
                continue
            }
            let path = URL(fileURLWithPath: fixture.packPath(adapters[content]))
            packs[content] = Array(try Data(contentsOf: path)) == adapters[content].pack
        }
        return packs
    }

    private func flaw() throws -> String? {
        if let flaw = try namesFlaw(model) { return flaw }
        if let flaw = try catalogFlaw() { return flaw }
        if let flaw = try memoryFlaw() { return flaw }
        if let flaw = try diskFlaw() { return flaw }
        return engineFlaw()
    }

    // MARK: Names

    func namesFlaw(_ model: LibraryModel) throws -> String? {
        flaw(of: try library().entries.map(\.alias), model)
    }

    private func catalogFlaw() throws -> String? {
        let aliases = try fixture.catalog?.aliases() ?? []
        return flaw(of: aliases, model).map { "in the catalog: " + $0 }
    }

    private func flaw(of aliases: [AliasRecord], _ model: LibraryModel) -> String? {
        let names = model.names.keys.sorted()
        guard aliases.map(\.name).sorted() == names else {
            return "the names are \(aliases.map(\.name)) and not \(names)"
        }
        for alias in aliases {
            guard let name = model.names[alias.name] else { continue }
            let found = LibraryModel.Name(
                source: alias.source,
                content: alias.digest.flatMap { number(ofText: $0) },
                isPinned: alias.pinned, isFaulty: alias.fault != nil)
            let isKnown = (alias.digest == nil) == (found.content == nil)
            guard found == name, isKnown, alias.served else {
                return "\(alias.name) is \(found) and not \(name)"
            }
        }
        return nil
    }

    // MARK: Tiers

    private func memoryFlaw() throws -> String? {
        let library = try self.library()
        let tiers = library.tiers
        let present = adapters.filter { isInMemory($0.number) }
        let byteCount = present.reduce(0) { $0 + $1.byteCount }
        guard tiers.hostCount == present.count, tiers.hostBytes == byteCount else {
            return "\(tiers) where \(present.count) adapters have \(byteCount) bytes"
        }
        guard byteCount <= fixture.hostBudget, tiers.waitingCount == 0 else {
            return "\(tiers) of \(fixture.hostBudget) bytes"
        }
        for one in running.values where !isInMemory(one.content) {
            return "adapter \(one.content) is leased and not there"
        }
        for one in present where !model.known.contains(one.number) && !isLeased(one.number) {
            return "adapter \(one.number) is in RAM for nobody"
        }
        for entry in library.entries {
            if let flaw = entryFlaw(entry) { return flaw }
        }
        return nil
    }

    private func entryFlaw(_ entry: AdapterEntry) -> String? {
        guard let content = number(of: entry.digest) else {
            return entry.tier == .source ? nil : "\(entry.name) is in \(entry.tier)"
        }
        let leaseCount = running.values.count { $0.content == content }
        let tier: AdapterEntry.Tier =
            isInMemory(content) ? .host : packs[content] == nil ? .source : .disk
        guard entry.leaseCount == leaseCount, entry.tier == tier else {
            return "\(entry.name) has \(entry.leaseCount) leases in \(entry.tier) and not "
                + "\(leaseCount) in \(tier)"
        }
        return nil
    }

    private func diskFlaw() throws -> String? {
        let tiers = try library().tiers
        let byteCount = packs.keys.reduce(0) { $0 + adapters[$1].pack.count }
        guard tiers.diskCount == packs.count, tiers.diskBytes == byteCount,
            byteCount <= fixture.diskQuota
        else { return "\(tiers) where \(packs.count) packs have \(byteCount) bytes" }
        for (content, isWhole) in packs where !isWhole && !damaged.contains(content) {
            return "pack \(content) is not what was written"
        }
        for content in packs.keys where !model.known.contains(content) {
            return "pack \(content) is kept for nobody"
        }
        let count = try fixture.files(in: "packs").count
        guard count == packs.count else { return "\(count) files where \(packs.count) are packs" }
        let staged = try fixture.files(in: "staging")
        guard staged.isEmpty else { return "staged: \(staged)" }
        for file in try fixture.files(in: "quarantine") {
            guard let content = number(ofPack: file), everDamaged.contains(content) else {
                return "quarantined: \(file)"
            }
        }
        return nil
    }

    private func engineFlaw() -> String? {
        let status = core.status
        let budget = deviceMemory.byteCount - Self.blockFloor * deviceMemory.blockByteCount
        guard status.deviceAdapterByteCount <= budget else {
            return "\(status.deviceAdapterByteCount) bytes of adapters on the device"
        }
        guard !core.isIdle || status.freeBlockCount >= Self.blockFloor else {
            return "\(status.freeBlockCount) blocks are left where nobody has any"
        }
        return nil
    }
}
