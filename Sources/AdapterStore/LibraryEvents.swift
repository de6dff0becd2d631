package import Adapters
internal import Foundation
internal import Synchronization

/// What happens to adapters, for whoever listens.
package enum LibraryEvent: Sendable, Equatable {
    /// A name was given to a source that nobody has read yet.
    case registered(String)
    /// A name was given to an adapter.
    case added(String, digest: String)
    case fetching(String, done: Int, total: Int?)
    case loaded(AdapterDigest)
    case evicted(AdapterDigest, from: AdapterEntry.Tier)
    /// A name came to stand for something else.
    case replaced(String, digest: String)
    case removed(String)
    case pinned(String, Bool)
    /// A source that is no adapter for this base.
    case refused(String, reason: String)
    case quarantined(AdapterDigest, reason: String)
    /// Served from memory, but there was no room on the disk.
    case notStored(AdapterDigest, reason: String)
}

/// Hands events to listeners.
package final class LibraryEvents: Sendable {
    private let listeners = Mutex<[UUID: AsyncStream<LibraryEvent>.Continuation]>([:])

    init() {}

    /// Events from now on, until `stop` is called or the stream is dropped.
    ///
    /// - Parameter buffering: a listener from outside that does not keep up loses the oldest.
    package func listen(
        _ buffering: AsyncStream<LibraryEvent>.Continuation.BufferingPolicy = .bufferingNewest(256)
    ) -> (events: AsyncStream<LibraryEvent>, stop: @Sendable () -> Void) {
        let id = UUID()
        let (stream, continuation) = AsyncStream<LibraryEvent>.makeStream(
            bufferingPolicy: buffering)
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
