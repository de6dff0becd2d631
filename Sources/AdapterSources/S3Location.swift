/// A place in S3-compatible storage: a bucket, and a prefix or object in it.
package struct S3Location: Hashable, Sendable, CustomStringConvertible {
    package let bucket: String
    /// Components of the key; none for the bucket's top.
    let components: [String]

    /// Reads what follows `s3://`: `bucket`, `bucket/prefix` or `bucket/prefix/file.gguf`.
    init(_ text: Substring) throws(SourceError) {
        var place = text
        if place.hasSuffix("/") { place.removeLast() }
        guard let parts = PlainText.components(place), let first = parts.first,
            S3Location.isBucket(first)
        else {
            throw SourceError(
                .malformedSource,
                "\"s3://\(text)\" is no place in S3: write s3://BUCKET/PREFIX, the bucket in "
                    + "lower-case letters, digits, . and -, the prefix in printable ASCII without "
                    + "empty components, . and ..")
        }
        bucket = first
        components = Array(parts.dropFirst())
    }

    /// The prefix without slashes at its ends, or the object's key.
    var key: String { components.joined(separator: "/") }

    package var description: String { "s3://" + ([bucket] + components).joined(separator: "/") }

    private static func isBucket(_ text: String) -> Bool {
        guard (3...63).contains(text.utf8.count), !text.contains("..") else { return false }
        func isEdge(_ byte: UInt8?) -> Bool {
            byte.map { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) } ?? false
        }
        return isEdge(text.utf8.first) && isEdge(text.utf8.last)
            && text.utf8.allSatisfy {
                isEdge($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
            }
    }
}
