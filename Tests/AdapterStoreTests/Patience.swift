import Foundation
import Synchronization

/// What a test says when something is not as it should be.
struct Flaw: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Waits for what the library's threads are about to do, without a clock: other threads get their turn
/// before every look.
func until(_ what: String, _ isSo: () throws -> Bool) async throws {
    for _ in 0..<200_000 {
        if try isSo() { return }
        await letOthersGoOn()
    }
    throw Flaw("in vain: \(what)")
}

/// Returns when a thread of the system's pool has come to it.
func letOthersGoOn() async {
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        DispatchQueue.global(qos: .utility).async { continuation.resume() }
    }
}

/// Something that has happened once and for all.
final class Flag: Sendable {
    private let state = Mutex(false)

    var isSet: Bool { state.withLock { $0 } }

    func set() { state.withLock { $0 = true } }
}
