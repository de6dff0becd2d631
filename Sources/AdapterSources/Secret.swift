/// A token or key, which no log line or error message shows.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    let value: String

    package init(_ value: String) { self.value = value }

    package var description: String { "(secret)" }
    package var debugDescription: String { description }
}
