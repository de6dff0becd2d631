import AdapterSources
import Foundation
import Testing

/// The examples of
/// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
struct S3SignerTests {
    static let credentials = S3Credentials(
        accessKey: "AKIAIOSFODNN7EXAMPLE",
        secretKey: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    static let date = Date(timeIntervalSince1970: 1_369_353_600)

    static func headers(
        _ path: String, query: [(String, String)] = [], headers: [(String, String)] = [],
        credentials: S3Credentials = S3SignerTests.credentials,
        at date: Date = S3SignerTests.date
    ) -> [String: String] {
        let signer = S3Signer(credentials: credentials, region: "us-east-1")
        let signed = signer.headers(
            method: "GET", host: "examplebucket.s3.amazonaws.com", path: path, query: query,
            headers: headers, at: date)
        return Dictionary(signed.map { ($0.name, $0.value) }) { first, _ in first }
    }

    @Test func getObject() {
        let headers = S3SignerTests.headers("/test.txt", headers: [("Range", "bytes=0-9")])
        #expect(
            headers["Authorization"]
                == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                + "aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                + "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
        #expect(headers["x-amz-date"] == "20130524T000000Z")
        #expect(
            headers["x-amz-content-sha256"]
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(headers["Range"] == "bytes=0-9")
    }

    @Test func queryWithoutValue() {
        let headers = S3SignerTests.headers("/", query: [("lifecycle", "")])
        #expect(
            headers["Authorization"]?.hasSuffix(
                "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
                == true)
    }

    @Test func queryIsSorted() {
        let headers = S3SignerTests.headers("/", query: [("prefix", "J"), ("max-keys", "2")])
        #expect(
            headers["Authorization"]?.hasSuffix(
                "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
                == true)
    }

    @Test func sessionTokensAreSigned() {
        var credentials = S3SignerTests.credentials
        credentials.sessionToken = Secret("session")
        let headers = S3SignerTests.headers("/a", credentials: credentials)
        #expect(headers["x-amz-security-token"] == "session")
        #expect(headers["Authorization"]?.contains(";x-amz-security-token,Signature=") == true)
    }

    @Test(arguments: [
        (0.0, "19700101T000000Z"), (951_782_399.9, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"), (1_709_251_200, "20240301T000000Z"),
        (4_102_444_799, "20991231T235959Z"),
    ])
    func timestamps(seconds: Double, text: String) {
        let headers = S3SignerTests.headers("/a", at: Date(timeIntervalSince1970: seconds))
        #expect(headers["x-amz-date"] == text)
    }
}
