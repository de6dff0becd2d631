import Testing
import martlet

struct ByteCountTests {
    @Test(arguments: [
        ("4GiB", 4 << 30), ("512 MiB", 512 << 20), ("100000000", 100_000_000), ("1.5kb", 1500),
        ("7b", 7),
    ])
    func sizesAreRead(_ text: String, _ bytes: Int) {
        #expect(ByteCount.parse(text) == bytes)
    }

    @Test(arguments: ["", "x", "-1", "1 cow", "1e400"])
    func otherTextsAreNone(_ text: String) {
        #expect(ByteCount.parse(text) == nil)
    }

    @Test func sizesAreWritten() {
        #expect(ByteCount.text(1023) == "1023 B")
        #expect(ByteCount.text(4 << 30) == "4.0 GiB")
        #expect(ByteCount.text((4 << 30) + 1) == "4.0 GiB")
        #expect(ByteCount.text(4 << 30, .up) == "4.0 GiB")
        #expect(ByteCount.text((4 << 30) + 1, .up) == "4.1 GiB")
    }

    /// Whoever takes the advice has enough.
    @Test(arguments: [
        1, 1000, 1024, 1025, 1_048_577, 3_276_800, 123_456_789, 4_402_341_478, 1 << 41,
    ])
    func whatIsRoundedUpIsEnough(_ bytes: Int) throws {
        for count in [bytes, bytes + 1, bytes * 3 + 7] {
            let parsed = try #require(ByteCount.parse(ByteCount.text(count, .up)))
            #expect(parsed >= count)
        }
    }
}
