import AdapterSources
import Testing

struct SourcePolicyTests {
    @Test(arguments: [
        "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.2.7",
        "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1",
        "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200",
        "::", "fe80::1", "febf::1", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "2001:1ff::1",
        "2002:7f00:1::1", "3fff::1", "::2", "::127.0.0.1", "100::1", "64:ff9b:1::1", "4000::1",
        "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "::ffff:0.0.0.0",
        "fd00:ec2::254", "fd20:ce::254",
    ])
    func specialAddresses(text: String) throws {
        let address = try #require(NetworkAddress(text))
        #expect(address.reach == .special, "\(text)")
    }

    @Test(arguments: [
        "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
        "172.16.0.1", "172.31.255.255", "192.168.0.1", "::1", "fc00::1", "fdff::1",
        "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:ffff:10.0.0.1", "64:ff9b::10.0.0.1",
    ])
    func localAddresses(text: String) throws {
        let address = try #require(NetworkAddress(text))
        #expect(address.reach == .local, "\(text)")
    }

    @Test(arguments: [
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.1.1.1",
        "128.0.0.1", "169.253.1.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "192.169.1.1",
        "198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888",
        "2001:200::1", "2003::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    ])
    func globalAddresses(text: String) throws {
        let address = try #require(NetworkAddress(text))
        #expect(address.reach == .global, "\(text)")
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.-4", "1.2.3.+4",
        "0x7f.0.0.1",
        "1.2.3.4 ", ":", ":::", "1::2::3", "12345::", "::g", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::", "::1.2.3", "::1.2.3.4:5", "fe80::1%eth0", "[::1]", "::+1",
    ])
    func whatIsNoAddress(text: String) { #expect(NetworkAddress(text) == nil) }

    @Test func addressesAreWrittenAsTheyAreRead() throws {
        for text in ["1.2.3.4", "2606:4700:0:0:0:0:0:1111"] {
            let address = try #require(NetworkAddress(text))
            #expect(address.description == text)
        }
    }

    @Test func hostPatterns() throws {
        let exact = try HostPattern("CDN.example.com")
        #expect(exact.matches("cdn.example.com") && !exact.matches("a.cdn.example.com"))
        let below = try HostPattern("*.example.com")
        #expect(below.matches("a.example.com") && below.matches("a.b.example.com"))
        #expect(!below.matches("example.com") && !below.matches("badexample.com"))
        for bad in ["", "*", "*.", "a.*.com", "https://a", "a/b", "a:80", "*.[::1]", "a..b"] {
            #expect(throws: SourceError.self) { try HostPattern(bad) }
        }
    }

    @Test func pausesGrowUpToTheLongest() {
        var schedule = RetrySchedule()
        schedule.limit = 3
        schedule.firstPause = .seconds(1)
        schedule.longestPause = .seconds(3)
        func pause(_ failures: Int, _ jitter: Double, _ asked: Duration? = nil) -> Duration? {
            schedule.pause(after: failures, jitter: jitter, retryAfter: asked)
        }
        #expect(pause(1, 0) == .milliseconds(500) && pause(1, 0.5) == .milliseconds(750))
        #expect(pause(2, 0) == .seconds(1) && pause(3, 0) == .milliseconds(1500))
        #expect(pause(1, 0, .seconds(2)) == .seconds(2))
        #expect(pause(1, 0, .seconds(4)) == nil && pause(4, 0) == nil)
    }

    @Test func policiesThatCannotWorkAreRefused() throws {
        let changes: [(inout SourcePolicy) throws -> Void] = [
            { $0.byteLimit = 0 }, { $0.configurationByteLimit = -1 }, { $0.redirectLimit = -1 },
            { $0.retries.limit = 100 }, { $0.idleTimeout = .zero }, { $0.allowedRoots = ["a"] },
            { $0.hub?.token = Secret("a b") }, { $0.hub?.token = Secret("a\r\nX: y") },
            { $0.s3 = S3Access(region: "") }, { $0.s3 = S3Access(region: "eu.evil.com/") },
            { policy in
                var access = S3Access(region: "eu-west-1")
                access.endpoint = try WebAddress("https://minio.example.com/path/")
                policy.s3 = access
            },
        ]
        for change in changes {
            var policy = SourcePolicy()
            try change(&policy)
            let error = #expect(throws: SourceError.self) { try SourceClient(policy: policy) }
            #expect(error?.code == .invalidPolicy)
        }
        _ = try SourceClient()
    }

    @Test func secretsStaySecret() {
        var hub = HubAccess()
        hub.token = Secret("hf_token")
        var policy = SourcePolicy()
        policy.hub = hub
        #expect(
            !"\(policy)".contains("hf_token") && !String(reflecting: policy).contains("hf_token"))
    }
}
