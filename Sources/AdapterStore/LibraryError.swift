/// An adapter that cannot be had, or a change that cannot be made.
package struct LibraryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, stable across releases.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
    }

    package var code: Code
    package var description: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        description = message
    }
}

extension LibraryError.Code {
    package static let invalidName = Self("invalid_value")
    package static let taken = Self("adapter_exists")
    package static let notFound = Self("adapter_not_found")
    package static let tooMany = Self("too_many_adapters")
    /// The name's adapter is not the one that the change expected.
    package static let conflict = Self("adapter_changed")
    /// Everything that could make room stayed in use for as long as a request may wait.
    package static let noRoom = Self("adapter_memory_full")
    package static let stopping = Self("shutting_down")
    package static let tooLarge = Self("adapter_too_large")
    /// The cache's folder is in use by another process.
    package static let folderInUse = Self("cache_in_use")
    package static let diskFull = Self("cache_full")
    package static let diskFailed = Self("cache_unusable")
}
