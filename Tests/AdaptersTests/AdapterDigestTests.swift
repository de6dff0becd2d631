import Adapters
import Tensors
import TestSupport
import Testing

/// Digests as texts, and what they tell apart.
struct AdapterDigestTests {
    @Test func itsTextIsReadBack() throws {
        let digest = try TinyEngine().adapter("plain").digest
        #expect(digest.description.utf8.count == 64)
        #expect(AdapterDigest(digest.description) == digest)
        #expect(digest.description.hasPrefix(digest.short) && digest.short.utf8.count == 12)
        let text = String(repeating: "0f", count: 32)
        #expect(AdapterDigest(text)?.description == text)
    }

    /// One text for each digest: what differs in case alone is not another name for it.
    @Test(arguments: [
        "", "0", String(repeating: "0", count: 63), String(repeating: "0", count: 65),
        String(repeating: "0F", count: 32), String(repeating: "+f", count: 32),
        String(repeating: "0g", count: 32), String(repeating: " 0", count: 32),
        String(repeating: "é", count: 32), String(repeating: "../", count: 21) + "0",
    ])
    func otherTextsAreRefused(_ text: String) {
        #expect(AdapterDigest(text) == nil)
    }

    /// The format of the memory is no part of what the adapter is.
    @Test func aDigestIsOfTheFileAlone() throws {
        let digests = try [WeightFormat.f32, .bf16, .q8].map {
            try TinyEngine(format: $0, adapterFormat: $0).adapter("dora").digest
        }
        #expect(Set(digests).count == 1)
    }
}
