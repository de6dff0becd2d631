internal import Foundation
internal import Synchronization

/// Requests that wait for room in RAM, in the order that they came.
extension AdapterLibrary {
    func wakeNext() {
        state.withLock { $0.takeWaiter() }?.continuation.resume(returning: true)
    }

    /// - Parameter isFirst: whoever was woken for nothing does not lose its place.
    func waitForRoom(
        until deadline: ContinuousClock.Instant, isFirst: Bool
    ) async throws {
        let id = UUID()
        defer { metrics.waiting(state.withLock { $0.waiters.count }) }
        let hasRoom = await withTaskGroup(of: Bool?.self) { group in
            group.addTask {
                try? await ContinuousClock().sleep(until: deadline)
                self.stopWaiting(id)
                return nil
            }
            group.addTask { await self.nextRoom(id, isFirst: isFirst) }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? false
        }
        guard hasRoom else {
            // It may have been woken just when it gave up.
            wakeNext()
            try Task.checkCancellation()
            throw LibraryError(
                .noRoom,
                "The memory for adapters is full of adapters in use; try again, or give --host-memory more."
            )
        }
    }

    private func nextRoom(_ id: UUID, isFirst: Bool) async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isTooMany = state.withLock { state in
                    guard state.waiters.count < configuration.maximumWaiting, !Task.isCancelled
                    else { return true }
                    let waiter = Waiter(id: id, continuation: continuation)
                    state.waiters.insert(waiter, at: isFirst ? 0 : state.waiters.count)
                    metrics.waiting(state.waiters.count)
                    return false
                }
                if isTooMany { continuation.resume(returning: false) }
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
        waiters.isEmpty ? nil : waiters.removeFirst()
    }
}
