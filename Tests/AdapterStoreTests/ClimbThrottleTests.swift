import AdapterStore
import Foundation
import Synchronization
import Testing

/// Who pauses, and what ends a pause. The clock stands still: a debt is never paid by waiting.
@Suite(.timeLimit(.minutes(1)))
struct ClimbThrottleTests {
    /// Whether the engine has requests, for a test to change.
    final class Engine: Sendable {
        private let busy = Mutex(true)
        private let listener = Mutex<CheckedContinuation<Void, Never>?>(nil)

        func becomeIdle() { busy.withLock { $0 = false } }

        func answer() -> Bool {
            let asked = listener.withLock { listener in
                defer { listener = nil }
                return listener
            }
            asked?.resume()
            return busy.withLock { $0 }
        }

        /// Returns when somebody has asked, once something has begun.
        func question(after begin: () -> Void) async {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                listener.withLock { $0 = continuation }
                begin()
            }
        }
    }

    let engine: Engine
    let throttle: ClimbThrottle

    init() {
        let engine = Engine()
        self.engine = engine
        throttle = ClimbThrottle(isBusy: { engine.answer() }, clock: { .zero })
    }

    /// Pauses on a thread of its own.
    ///
    /// - Returns: what ends with the pause; it has begun, if there is one.
    private func pause() async -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let throttle = throttle
        await engine.question {
            let thread = Thread {
                _ = throttle.pause()
                continuation.finish()
            }
            thread.start()
        }
        return stream
    }

    private func end(of pause: AsyncStream<Void>) async {
        for await _ in pause {}
    }

    private func oweSomething() { throttle.charge(.seconds(1), isAwaited: false) }

    @Test func nobodyPausesWithoutADebt() async throws {
        await end(of: await self.pause())
        let value = try await throttle.background { 7 }
        #expect(value == 7)
    }

    @Test func aRequestThatHurriesEndsAPause() async {
        oweSomething()
        let pause = await self.pause()
        let throttle = throttle
        let paused = await throttle.hurrying {
            await end(of: pause)
            // Nor does anybody begin to pause as long as it waits.
            return throttle.pause()
        }
        #expect(paused == .zero && !throttle.isHurried)
    }

    @Test func anEngineThatHasNothingToDoEndsAPause() async throws {
        oweSomething()
        let pause = await self.pause()
        engine.becomeIdle()
        await end(of: pause)
        let value = try await throttle.background { 7 }
        #expect(value == 7)
    }

    @Test func theEndEndsAPause() async throws {
        oweSomething()
        let pause = await self.pause()
        throttle.end()
        await end(of: pause)
        let value = try await throttle.background { 7 }
        #expect(value == 7)
    }

    @Test func whatWaitsToBeginCanBeCancelled() async {
        oweSomething()
        let throttle = throttle
        let work = Task { try await throttle.background { 7 } }
        work.cancel()
        await #expect(throws: CancellationError.self) { try await work.value }
    }

    /// Nor does what its tasks do.
    @Test func whatNobodyWaitsForDoesNotHurry() async throws {
        engine.becomeIdle()
        let throttle = throttle
        let inside = try await throttle.background {
            await throttle.hurrying { throttle.isHurried }
        }
        let insideTask = try await throttle.background {
            await Task { await throttle.hurrying { throttle.isHurried } }.value
        }
        let outside = await throttle.hurrying { throttle.isHurried }
        #expect(!inside && !insideTask && outside && !throttle.isHurried)
    }
}
