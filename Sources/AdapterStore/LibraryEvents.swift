package import Adapters
internal import Foundation
internal import Synchronization

/// What happens to adapters, for whoever listens.
package enum LibraryEvent: Sendable, Equatable {
    case registered(String)
    case fetching(String, done: Int, total: Int?)
    case loaded(AdapterDigest)
    case evicted(AdapterDigest, from: AdapterEntry.Tier)
    case replaced(String, digest: String)
    case removed(String)
    /// A source that is no adapter for this base.
    case refused(String, reason: String)
    case quarantined(AdapterDigest, reason: String)
    /// Served from memory, but there was no room on the disk.
    case notStored(AdapterDigest, reason: String)
}

/// Hands events to listeners. One that does not keep up loses the oldest.
package final class LibraryEvents: Sendable {
    private let listeners = Mutex<[UUID: AsyncStream<LibraryEvent>.Continuation]>([:])

    init() {}

    /// Events from now on, until `stop` is called or the stream is dropped.
    package func listen() -> (events: AsyncStream<LibraryEvent>, stop: @Sendable () -> Void) {
        let id = UUID()
        let (stream, continuation) = AsyncStream<LibraryEvent>.makeStream(
            bufferingPolicy: .bufferingNewest(256))
        listeners.withLock { $0[id] = continuation }
        continuation.onTermination = { [weak self] _ in
            self?.listeners.withLock { $0[id] = nil }
        }
        return (stream, { continuation.finish() })
    }

    func send(_ event: LibraryEvent) {
        let all = listeners.withLock { Array($0.values) }
        for listener in all { listener.yield(event) }
    }
}
