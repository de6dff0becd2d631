internal import Foundation
internal import Synchronization

/// Requests that wait for room in RAM, in the order that they came.
extension AdapterLibrary {
    static func tooLarge(_ name: String, _ byteCount: Int) -> LibraryError {
        LibraryError(
            .tooLarge,
            "The adapter \"\(name)\" takes \(byteCount) bytes, more than --host-memory allows for all of them."
        )
    }

    func wakeNext() {
        state.withLock { $0.takeWaiter() }?.continuation.resume(returning: true)
    }

    /// - Parameters:
    ///   - isFirst: whoever was woken for nothing does not lose its place.
    ///   - seen: `State.wakesForNobody` when there was no room.
    func waitForRoom(
        until deadline: ContinuousClock.Instant, isFirst: Bool, seen: UInt64
    ) async throws {
        let id = UUID()
        defer { metrics.waiting(state.withLock { $0.waiters.count }) }
        let hasRoom = await withTaskGroup(of: Bool?.self) { group in
            group.addTask {
                try? await self.configuration.hooks.sleep(deadline)
                self.stopWaiting(id)
                return nil
            }
            group.addTask { await self.nextRoom(id, isFirst: isFirst, seen: seen) }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? false
        }
        guard hasRoom else {
            // It may have been woken just when it gave up.
            wakeNext()
            try Task.checkCancellation()
            try checkOpen()
            throw LibraryError(
                .noRoom,
                "The memory for adapters is full of adapters in use; try again, or give --host-memory more."
            )
        }
    }

    private func nextRoom(_ id: UUID, isFirst: Bool, seen: UInt64) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = state.withLock { state -> Bool? in
                    guard state.waiters.count < configuration.maximumWaiting, !Task.isCancelled
                    else { return false }
                    // Room was made between the look for it and now.
                    if state.wakesForNobody != seen { return true }
                    let waiter = Waiter(id: id, continuation: continuation)
                    state.waiters.insert(waiter, at: isFirst ? 0 : state.waiters.count)
                    metrics.waiting(state.waiters.count)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            stopWaiting(id)
        }
    }

    private func stopWaiting(_ id: UUID) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: index)
        }
        waiter?.continuation.resume(returning: false)
    }
}

extension AdapterLibrary.State {
    mutating func takeWaiter() -> AdapterLibrary.Waiter? {
        if !waiters.isEmpty { return waiters.removeFirst() }
        wakesForNobody += 1
        return nil
    }
}
