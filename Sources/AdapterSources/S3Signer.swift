internal import Crypto
package import Foundation

/// Signs requests without body as AWS Signature Version 4 has it for S3
/// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
package struct S3Signer: Sendable {
    let credentials: S3Credentials
    let region: String

    package init(credentials: S3Credentials, region: String) {
        self.credentials = credentials
        self.region = region
    }

    /// The headers that make a request a signed one, `Host` and the given ones among them.
    ///
    /// - Parameters:
    ///   - host: with its port when that is not the scheme's own.
    ///   - path: percent-encoded but for unreserved characters and slashes, from the first slash on.
    ///   - query: names and values, not encoded.
    ///   - headers: others that are to be signed.
    package func headers(
        method: String, host: String, path: String, query: [(String, String)] = [],
        headers: [(String, String)] = [], at date: Date
    ) -> [(name: String, value: String)] {
        let time = S3Signer.timestamp(date)
        var signed = headers
        signed += [
            ("Host", host), ("x-amz-content-sha256", S3Signer.emptyHash), ("x-amz-date", time),
        ]
        if let token = credentials.sessionToken {
            signed.append(("x-amz-security-token", token.value))
        }
        let canonical = signed.map { ($0.0.lowercased(), S3Signer.trimmed($0.1)) }
            .sorted { $0.0 < $1.0 }
        let names = canonical.map(\.0).joined(separator: ";")
        let request = [
            method, path, S3Signer.canonicalQuery(query),
            canonical.map { "\($0.0):\($0.1)\n" }.joined(), names, S3Signer.emptyHash,
        ].joined(separator: "\n")

        let scope = "\(time.prefix(8))/\(region)/s3/aws4_request"
        let text = [
            "AWS4-HMAC-SHA256", time, scope,
            SHA256.hash(data: Array(request.utf8)).hexadecimal,
        ].joined(separator: "\n")
        let authorization =
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope),"
            + "SignedHeaders=\(names),Signature=\(signature(of: text, day: String(time.prefix(8))))"
        return signed.map { (name: $0.0, value: $0.1) } + [
            (name: "Authorization", value: authorization)
        ]
    }

    private func signature(of text: String, day: String) -> String {
        let secret = Array("AWS4\(credentials.secretKey.value)".utf8)
        let key = [day, region, "s3", "aws4_request"].reduce(secret) { key, part in
            S3Signer.code(part, key)
        }
        return S3Signer.code(text, key).hexadecimal
    }

    private static func code(_ text: String, _ key: [UInt8]) -> [UInt8] {
        Array(
            HMAC<SHA256>.authenticationCode(
                for: Array(text.utf8), using: SymmetricKey(data: key)))
    }

    private static let emptyHash = SHA256.hash(data: [UInt8]()).hexadecimal

    private static func canonicalQuery(_ query: [(String, String)]) -> String {
        query.map { (PlainText.percentEncoded($0.0), PlainText.percentEncoded($0.1)) }
            .sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }

    /// Without spaces at the ends, and with single ones between.
    private static func trimmed(_ value: String) -> String {
        value.split(separator: " ").joined(separator: " ")
    }

    /// `YYYYMMDDTHHMMSSZ`, in the proleptic Gregorian calendar
    /// (https://howardhinnant.github.io/date_algorithms.html#civil_from_days).
    static func timestamp(_ date: Date) -> String {
        let seconds = Int(date.timeIntervalSince1970.rounded(.down))
        let shifted = seconds / 86_400 + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func digits(_ value: Int, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let clock = seconds % 86_400
        return digits(year, 4) + digits(month, 2) + digits(day, 2) + "T"
            + digits(clock / 3600, 2) + digits(clock / 60 % 60, 2) + digits(clock % 60, 2) + "Z"
    }
}
