internal import JSONTree

/// A source of adapters that is refused, cannot be reached, or does not hold what it should.
///
/// The message names the source, host or file and says what to do.
package struct SourceError: Error, Hashable, CustomStringConvertible, Sendable {
    /// What went wrong, stable across releases; clients and scripts may compare it.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
    }

    package var code: Code
    package var message: String
    /// How long the server asked to wait before the next try.
    var retryAfter: Duration?

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message.shortened
    }

    package var description: String { "\(message) [\(code)]" }

    /// Whether the same request may succeed a little later.
    var isTransient: Bool {
        [.unreachable, .unavailable, .timeout, .truncated].contains(code)
    }
}

extension SourceError.Code {
    /// The text names no source.
    package static let malformedSource = Self("malformed_source")
    /// The policy has values that cannot work.
    package static let invalidPolicy = Self("invalid_policy")
    /// The policy has no place for this path, host or scheme.
    package static let sourceNotAllowed = Self("source_not_allowed")
    /// A host is at an address that may not be contacted.
    package static let privateAddress = Self("private_address")
    package static let redirectRefused = Self("redirect_refused")
    package static let notFound = Self("source_not_found")
    package static let unauthorized = Self("source_unauthorized")
    /// The adapter is only there as a pickle, which can run code.
    package static let pickleRefused = Self("pickle_refused")
    /// No connection, or it broke before an answer came.
    package static let unreachable = Self("source_unreachable")
    /// The server answers, but not now.
    package static let unavailable = Self("source_unavailable")
    package static let timeout = Self("source_timeout")
    /// A body ended before its declared length.
    package static let truncated = Self("source_truncated")
    package static let tooLarge = Self("source_too_large")
    /// An answer that the protocol does not allow.
    package static let malformedAnswer = Self("malformed_answer")
    package static let checksumMismatch = Self("checksum_mismatch")
    /// A file is not the one that was pinned.
    package static let changedMeanwhile = Self("changed_meanwhile")
    /// A file could not be read or written here.
    package static let unreadableFile = Self("unreadable_file")
    package static let unwritableFile = Self("unwritable_file")
    package static let cancelled = Self("source_cancelled")
}
