internal import Hummingbird
internal import NIOCore

/// A response's writer in the hands of closures that run one after another.
final class EventWriter: @unchecked Sendable {
    // Safety: the task that writes the response is the only one that uses it, one call at a time.
    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) { self.writer = writer }

    @concurrent func write(_ text: String) async throws {
        try await writer.write(ByteBuffer(string: text))
    }

    @concurrent func finish() async throws { try await writer.finish(nil) }
}
