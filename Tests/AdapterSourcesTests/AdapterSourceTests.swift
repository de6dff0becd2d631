import AdapterSources
import Testing

struct AdapterSourceTests {
    /// What is written, and what it is called from then on.
    @Test(arguments: [
        ("/data/adapters/a", "/data/adapters/a"), ("adapters/./a//b/../c", "/work/adapters/a/c"),
        ("/../..", "/"), ("./x.gguf", "/work/x.gguf"), ("~/a b", "/work/~/a b"),
        ("hf:acme/tiny", "hf:acme/tiny"), ("hf:acme/tiny@main", "hf:acme/tiny"),
        ("hf:acme/Tiny-1.5_x@refs/pr/3", "hf:acme/Tiny-1.5_x@refs/pr/3"),
        ("hf:acme/tiny/sub/folder@v1.0", "hf:acme/tiny/sub/folder@v1.0"),
        ("hf:acme/tiny/q8.gguf", "hf:acme/tiny/q8.gguf"),
        ("s3://bucket", "s3://bucket"), ("s3://my.bucket/a/b/", "s3://my.bucket/a/b"),
        ("s3://bucket/a b/x.gguf", "s3://bucket/a b/x.gguf"),
        ("https://Example.com/a", "https://example.com/a/"),
        ("HTTPS://example.com:443/a/", "https://example.com/a/"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com:8443/x.gguf", "https://example.com:8443/x.gguf"),
        ("http://[::1]:80/a%20b/", "http://[::1]/a%20b/"),
    ])
    func sourcesHaveOneName(text: String, canonical: String) throws {
        let source = try AdapterSource(text, workingFolder: "/work")
        #expect(source.description == canonical)
        #expect(try AdapterSource(canonical, workingFolder: "/elsewhere") == source)
    }

    @Test(arguments: [
        "", "a\u{0}b", "/a\nb", "hf:", "hf:acme", "hf:acme/", "hf:/tiny", "hf:acme/tiny/",
        "hf:acme/tiny@", "hf:acme/tiny@a@b", "hf:acme/tiny@../x", "hf:acme/tiny@a//b",
        "hf:acme/tiny@a b", "hf:acme/tiny@.git", "hf:acme/..", "hf:../tiny", "hf:acme/tiny/../x",
        "hf:acme/tiny/./x", "hf:acme/tiny//x", "hf:ac--me/tiny", "hf:acme/tiny.git",
        "hf:-acme/tiny", "hf:acme/tiny.", "hf:acme/ti%2Fny", "hf:acme/tiny?x", "hf:acme/tiny#x",
        "hf:acme/ti\\ny", "hf:acm\u{E9}/tiny", "hf:acme/" + String(repeating: "a", count: 97),
        "s3://", "s3://ab", "s3://Bucket/a", "s3://bucket//a", "s3://bucket/../a",
        "s3://bucket/a?versionId=1", "s3://-bucket/a", "s3://user@bucket/a", "s3://a..b/c",
        "https://", "https:///a", "https://user@example.com/a", "https://user:pw@example.com/a",
        "https://example.com/a?b", "https://example.com/a#b", "https://example.com/a/../b",
        "https://example.com/a//b", "https://example.com/%2e%2e/b", "https://example.com/a%2fb",
        "https://example.com/a%5Cb", "https://example.com/a%0ab", "https://example.com/%zz",
        "https://example.com/a%252e", "https://example.com:0/a", "https://example.com:65536/a",
        "https://example.com:/a", "https://example.com:+1/a", "https://exa mple.com/a",
        "https://example..com/a", "https://.example.com/a", "https://example.com./a",
        "https://[::1/a", "https://[1.2.3.4]/a", "https://[::1%25eth0]/a", "https://[]/a",
        "https://ex\u{E4}mple.com/a", "https://example.com\\@evil.com/a", "ftp://example.com/a",
        "file:///etc/passwd", "gs://bucket/a", String(repeating: "a", count: 4097),
    ])
    func whatIsNoSourceIsRefused(text: String) {
        let error = #expect(throws: SourceError.self) { try AdapterSource(text) }
        #expect(error?.code == .malformedSource, "\(text)")
    }
}
