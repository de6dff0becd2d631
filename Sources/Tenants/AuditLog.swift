internal import Foundation
package import JSONTree
internal import Synchronization
package import Tensors

/// Who did what, one line of JSON each: changes by operators, keys that were refused, requests with the adapter that
/// answered. Never a text, never a key.
package final class AuditLog: Sendable {
    private struct State {
        var file: BinaryFile
        var isFailing = false
    }

    private let path: String
    private let state: Mutex<State>
    private let fail: @Sendable (FileError) -> Void

    /// - Parameter fail: told why lines cannot be written, once until they can again.
    /// - Throws: `FileError`.
    package init(
        path: String, fail: @escaping @Sendable (FileError) -> Void = { _ in }
    ) throws(FileError) {
        self.path = path
        self.fail = fail
        state = Mutex(State(file: try BinaryFile(appendingTo: path)))
    }

    /// Goes on in a new file of the same name, after the old one was moved away.
    ///
    /// - Throws: `FileError`.
    package func reopen() throws(FileError) {
        try state.withLock { state throws(FileError) in
            state.file = try BinaryFile(appendingTo: path)
        }
    }

    /// - Parameter fields: beside the time and the event.
    package func write(_ event: String, _ fields: [(String, JSON)]) {
        let time = (Date().timeIntervalSince1970 * 1000).rounded() / 1000
        let object = JSON.Object([("time", .number(time)), ("event", .string(event))] + fields)
        let line = Array((JSON.object(object).text() + "\n").utf8)
        state.withLock { state in
            do throws(FileError) {
                try state.file.write(line)
                state.isFailing = false
            } catch {
                if !state.isFailing { fail(error) }
                state.isFailing = true
            }
        }
    }
}
