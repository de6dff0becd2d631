import AdapterStore
import Catalog
import Foundation
import Glibc
import Synchronization
import Tensors

/// What goes wrong with the files of one library, and when.
final class Faults: Sendable {
    enum Plan: Sendable {
        case none
        /// The disk takes so many bytes of a pack and no more.
        case packsDoNotFit(beyond: Int)
        case catalogDoesNotFit
        /// The process is killed when so many bytes of a pack are written.
        case diesInPack(at: Int)
        /// The process is killed when a pack is there and nobody knows of it.
        case diesAfterPack
        case dies(AdapterCatalog.Moment)
    }

    /// What a process that is killed never sees. Here it ends what the library was doing.
    struct Killed: Error {}

    private struct State {
        var plan = Plan.none
        var isDead = false
        var readCount = 0
        var writeCount = 0
        var holdsReads = false
    }

    /// The library's folder.
    let folder: String
    /// A copy of the folder as it was in the instant of the kill: what the next process finds. Nothing
    /// that the library still does, as it does not know of its death, gets there.
    let image: String
    private let state = Mutex(State())

    init(folder: String, image: String) {
        self.folder = folder
        self.image = image
    }

    var isDead: Bool { state.withLock { $0.isDead } }
    /// Packs whose reading, or writing, has begun.
    var readCount: Int { state.withLock { $0.readCount } }
    var writeCount: Int { state.withLock { $0.writeCount } }

    func plan(_ plan: Plan) { state.withLock { $0.plan = plan } }

    /// Makes whoever is about to read a pack wait.
    func holdReads(_ isHolding: Bool) { state.withLock { $0.holdsReads = isHolding } }

    func hooks(_ clock: ManualClock) -> LibraryHooks {
        var hooks = LibraryHooks()
        hooks.now = { clock.now }
        hooks.sleep = { try await clock.sleep(until: $0) }
        hooks.write = { path, write in try self.write(path, write) }
        hooks.willRead = { _ in self.willRead() }
        return hooks
    }

    /// Kills the process.
    func die() throws {
        state.withLock { $0.isDead = true }
        try FileManager.default.copyItem(atPath: folder, toPath: image)
    }

    /// A change of the catalog.
    func change(_ moment: AdapterCatalog.Moment) throws {
        switch try livingPlan() {
        case .catalogDoesNotFit where moment == .beforeCommit: throw AdapterCatalog.NoSpace()
        case .dies(let instant) where instant == moment:
            try die()
            throw Killed()
        default: break
        }
    }

    private func livingPlan() throws -> Plan {
        try state.withLock { state in
            guard !state.isDead else { throw Killed() }
            return state.plan
        }
    }

    private func write(_ path: String, _ write: () throws -> Void) throws {
        let plan = try livingPlan()
        state.withLock { $0.writeCount += 1 }
        try write()
        switch plan {
        case .packsDoNotFit(let count):
            guard try Data(contentsOf: URL(fileURLWithPath: path)).count > count else { return }
            BinaryFile.remove(path)
            throw FileError(path: path, systemError: ENOSPC)
        case .diesInPack(let count):
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            BinaryFile.remove(path)
            try bytes.prefix(count).write(to: URL(fileURLWithPath: path + ".part"))
            try die()
            throw Killed()
        case .diesAfterPack:
            try die()
            throw Killed()
        case .none, .catalogDoesNotFit, .dies: break
        }
    }

    private func willRead() {
        state.withLock { $0.readCount += 1 }
        while state.withLock({ $0.holdsReads }) { sched_yield() }
    }
}
