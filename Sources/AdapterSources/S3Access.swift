/// How S3-compatible storage is reached.
package struct S3Access: Hashable, Sendable {
    /// A server of one's own, which is asked in path style; nil for Amazon's.
    package var endpoint: WebAddress?
    package var region: String
    /// Nil reads public buckets.
    package var credentials: S3Credentials?

    package init(region: String) { self.region = region }

    /// The address of an object. Amazon's certificates do not cover buckets with dots in their names,
    /// so these are asked in path style too.
    func address(bucket: String, key: String) -> WebAddress {
        if let endpoint { return endpoint.appending(bucket + "/" + key) }
        let service = "s3.\(region).amazonaws.com"
        if bucket.contains(".") {
            return WebAddress(scheme: .https, host: service).appending(bucket + "/" + key)
        }
        return WebAddress(scheme: .https, host: bucket + "." + service).appending(key)
    }
}

package struct S3Credentials: Hashable, Sendable {
    package var accessKey: String
    package var secretKey: Secret
    package var sessionToken: Secret?

    package init(accessKey: String, secretKey: Secret, sessionToken: Secret? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken
    }
}
