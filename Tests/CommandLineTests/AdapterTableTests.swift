import JSONTree
import Testing
import martlet

/// What `martlet adapters` prints of a server's answers.
struct AdapterTableTests {
    static let adapters = [
        #"{"name":"pirate","tier":"host","rank":16,"bytes":9768960,"hits":12,"loads":1,"leases":2,"last_use":995,"pinned":true,"digest":"0123456789abcdef"}"#,
        #"{"name":"a/b","tier":"source","rank":null,"bytes":null,"digest":null,"hits":0,"fault":"tensor x has another shape [wrong_shape]"}"#,
        #"{"name":"shout","tier":"disk","rank":8,"bytes":19537920,"hits":12,"loads":3,"last_use":400,"digest":"fedcba9876543210"}"#,
    ]

    static func statuses() throws -> [AdapterStatus] {
        try adapters.map { text in
            let json = try JSON(parsing: text)
            return try #require(AdapterStatus(json))
        }
    }

    @Test func tableAlignsAndSaysWhatIsMissing() throws {
        let text = AdapterTable.text(try Self.statuses(), by: .hits, now: 1000)
        #expect(
            text == """
                name    tier    rank      size  hits  loads  leases  last use  pinned  digest        fault
                pirate  host      16   9.3 MiB    12      1       2    5s ago  yes     0123456789ab  -
                shout   disk       8  18.6 MiB    12      3       0   10m ago  -       fedcba987654  -
                a/b     source     -         -     0      0       0     never  -       -             wrong_shape
                """)
    }

    static let orders: [(AdapterTable.Order, [String])] = [
        (.hits, ["pirate", "shout", "a/b"]), (.name, ["a/b", "pirate", "shout"]),
        (.size, ["shout", "pirate", "a/b"]), (.tier, ["pirate", "shout", "a/b"]),
    ]

    @Test(arguments: orders)
    func ordersPutTheHotLargeAndNearFirst(order: AdapterTable.Order, names: [String]) throws {
        let lines = AdapterTable.text(try Self.statuses(), by: order, now: 0).split(separator: "\n")
        #expect(lines.dropFirst().map { String($0.prefix { $0 != " " }) } == names)
    }

    @Test func tiersSayHowFullTheyAre() throws {
        let json = try JSON(
            parsing: """
                {"host": {"adapters": 3, "bytes": 805306368, "budget": 1073741824},
                 "disk": {"adapters": 0, "bytes": 0, "budget": 0}, "waiting": 2, "thrashing": 0.126}
                """)
        #expect(
            AdapterTable.text(TiersStatus(json)) == """
                tier  adapters       size   budget  full
                host         3  768.0 MiB  1.0 GiB  75 %
                disk         0        0 B      off     -
                waiting for room: 2, thrashing: 0.13
                """)
    }

    @Test func whatIsNoEntryIsNone() throws {
        let model = try JSON(parsing: #"{"id":"pirate"}"#)
        #expect(AdapterStatus(model)?.tier == nil)
        #expect(AdapterStatus(.null)?.tier == nil)
    }

    @Test func faultsAreNamedByTheirCode() {
        func code(_ fault: String) -> String? {
            AdapterStatus(["name": "x", "tier": "source", "fault": .string(fault)])?.faultCode
        }
        #expect(code("a [b] tensor [wrong_shape]") == "wrong_shape")
        #expect(code("no code") == "refused")
    }
}
