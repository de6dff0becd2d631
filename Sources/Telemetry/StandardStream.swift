internal import Foundation

/// Standard output and standard error, whose readers may go away and whose disks may fill.
package enum StandardStream {
    case output, error

    /// Writes text.
    ///
    /// - Returns: whether all of it could be written. A log goes on without the line; a command whose
    ///   output nobody takes ends.
    @discardableResult
    package func write(_ text: String) -> Bool {
        let handle: FileHandle =
            switch self {
            case .output: .standardOutput
            case .error: .standardError
            }
        do {
            try handle.write(contentsOf: Data(text.utf8))
            return true
        } catch {
            return false
        }
    }
}
