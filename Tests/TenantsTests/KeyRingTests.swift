import Catalog
import JSONTree
import OpenAIWire
import Tenants
import Testing

/// Keys from their making to their end.
struct KeyRingTests {
    private static func ring(_ store: TenantStore) throws -> KeyRing {
        try KeyRing(file: try APIKeys(text: "admin: admin-key-1\nann: user-key-22\n"), store: store)
    }

    private static func name(_ answer: KeyRing.Answer) -> String? {
        if case .holder(let holder) = answer { holder.name } else { nil }
    }

    @Test func aKeysLife() throws {
        let store = try TenantStore(path: ":memory:")
        let ring = try Self.ring(store)
        let (entry, key) = try ring.create(
            "acme", try KeyTerms(["models": ["acme/*"], "expires": 5000]), at: 1000)
        #expect(key.hasPrefix("mk-") && key.utf8.count == 46)
        #expect(
            !entry.record.hash.contains(key.dropFirst(3)) && entry.record.start == key.prefix(8))
        #expect(Self.name(ring.answer(to: key, at: 4999)) == "acme")
        #expect(ring.answer(to: key, at: 5000) == .expired)
        #expect(ring.answer(to: key + "x", at: 1000) == .unknown)
        #expect(ring.answer(to: entry.record.hash, at: 1000) == .unknown)

        _ = try ring.change("acme", by: ["expires": .null, "blocked": true], at: 1001)
        #expect(ring.answer(to: key, at: 6000) == .blocked)
        let changed = try ring.change("acme", by: ["blocked": false, "rpm_limit": 5], at: 1002)
        #expect(changed.terms?.models == ["acme/*"] && changed.terms?.requestLimit == 5)

        let rotated = try ring.rotate("acme", grace: 60, at: 2000)
        for known in [key, rotated.key] {
            #expect(Self.name(ring.answer(to: known, at: 2059)) == "acme")
        }
        #expect(ring.answer(to: key, at: 2060) == .unknown)
        let again = try ring.rotate("acme", grace: 0, at: 2100)
        #expect(ring.answer(to: rotated.key, at: 2100) == .unknown)
        #expect(Self.name(ring.answer(to: again.key, at: 2100)) == "acme")

        _ = try ring.revoke("acme", at: 3000)
        #expect(ring.answer(to: again.key, at: 3000) == .unknown)
        for work in [
            { _ = try ring.rotate("acme", grace: 0, at: 3001) },
            { _ = try ring.change("acme", by: [:], at: 3001) },
            { _ = try ring.revoke("nobody", at: 3001) },
        ] {
            let error = #expect(throws: APIError.self) { try work() }
            #expect(error?.code == "key_not_found")
        }
        // Its name stays its own: usage is told apart by it.
        let taken = #expect(throws: APIError.self) {
            _ = try ring.create("acme", KeyTerms(), at: 3002)
        }
        #expect(taken?.code == "key_exists")
    }

    /// Servers that share a file, and one that is started again, know the same keys.
    @Test func keysOutliveTheProcess() throws {
        let folder = try TemporaryPath()
        let first = try Self.ring(try TenantStore(path: folder.path))
        let second = try Self.ring(try TenantStore(path: folder.path))
        let (_, key) = try first.create("acme", KeyTerms(), at: 1)
        #expect(second.answer(to: key, at: 2) == .unknown)
        try second.refresh()
        #expect(Self.name(second.answer(to: key, at: 2)) == "acme")
        _ = try second.revoke("acme", at: 3)
        try first.refresh()
        #expect(first.answer(to: key, at: 4) == .unknown)
        let third = try Self.ring(try TenantStore(path: folder.path))
        #expect(third.answer(to: key, at: 5) == .unknown && third.entries.count == 1)
    }

    @Test func namesOfTheFileAreTaken() throws {
        let ring = try Self.ring(try TenantStore(path: ":memory:"))
        for name in ["ann", "admin", "", "a b", "a/b", String(repeating: "x", count: 101)] {
            #expect(throws: APIError.self) { _ = try ring.create(name, KeyTerms(), at: 1) }
        }
        #expect(Self.name(ring.answer(to: "user-key-22", at: 1)) == "ann")
        let file = try APIKeys(text: "admin: admin-key-9\n")
        try ring.replace(file: file)
        #expect(ring.answer(to: "user-key-22", at: 1) == .unknown)
        let without = try KeyRing(file: file)
        let error = #expect(throws: APIError.self) {
            _ = try without.create("x", KeyTerms(), at: 1)
        }
        #expect(error?.code == "no_tenant_store")
    }

    /// Otherwise two keys would share limits and usage.
    @Test func aFileMayNotTakeAKeysName() throws {
        let store = try TenantStore(path: ":memory:")
        let ring = try Self.ring(store)
        let (_, key) = try ring.create("acme", KeyTerms(), at: 1)
        let file = try APIKeys(text: "admin: admin-key-9\nacme: user-key-33\n")
        #expect(throws: APIKeysError.self) { try ring.replace(file: file) }
        #expect(throws: APIKeysError.self) { _ = try KeyRing(file: file, store: store) }
        #expect(Self.name(ring.answer(to: "user-key-22", at: 2)) == "ann")
        #expect(Self.name(ring.answer(to: key, at: 2)) == "acme")
        #expect(ring.answer(to: "user-key-33", at: 2) == .unknown)
    }

    /// Whatever a damaged file holds, a key that cannot be read opens nothing.
    @Test func unreadableTermsOpenNothing() throws {
        let store = try TenantStore(path: ":memory:")
        let (_, key) = try Self.ring(store).create("acme", KeyTerms(), at: 1)
        for terms in ["", "{", "[]", #"{"role":"god"}"#, #"{"models":7}"#, #"{"extra":1}"#] {
            _ = try store.update("acme") { (record: inout KeyRecord) throws(APIError) in
                record.terms = terms
            }
            #expect(try Self.ring(store).answer(to: key, at: 2) == .blocked, "\(terms)")
        }
    }

    @Test(arguments: [
        (["acme/*"], ["acme/x": true, "acme/": true, "acme": false, "other/acme/x": false]),
        (["*"], ["x": true, "": true]), ([], ["x": false]),
        (
            ["a*b*c", "base"],
            ["abc": true, "axxbyyc": true, "ab": false, "base": true, "Base": false]
        ),
        (["*-prod"], ["x-prod": true, "x-prod-2": false]),
        (["é*"], ["éa": true]), (["é*"], ["e\u{301}a": false]),
    ])
    func patternsOfModels(models: [String], names: [String: Bool]) throws {
        let terms = try KeyTerms(["models": .array(models.map { .string($0) })])
        for (name, isAllowed) in names { #expect(terms.allows(name) == isAllowed, "\(name)") }
    }

    /// A pattern that is made to take long does not.
    @Test func hostilePatternsTakeNoTime() throws {
        let pattern = String(repeating: "a*", count: 240) + "d"
        let terms = try KeyTerms(["models": [.string(pattern)]])
        #expect(!terms.allows(String(repeating: "a", count: 4000) + "b" + "c"))
    }

    @Test(arguments: [
        (#"{"role":"boss"}"#, "role"), (#"{"weight":0}"#, "weight"),
        (#"{"rpm_limit":0}"#, "rpm_limit"),
        (#"{"budget_duration":"1h"}"#, "budget_duration"), (#"{"role":"manager"}"#, "namespace"),
        (#"{"namespace":"a/"}"#, "namespace"), (#"{"priority":101}"#, "priority"),
        (#"{"token_budget":5,"budget_duration":"90m"}"#, "budget_duration"),
        (#"{"token_budget":5,"budget_duration":"1000000d"}"#, "budget_duration"),
        (#"{"models":[""]}"#, "models"), (#"{"metadata":3}"#, "metadata"), (#"{"rpm":3}"#, "rpm"),
    ])
    func termsThatCannotBe(text: String, parameter: String) throws {
        let json = try JSON(parsing: Array(text.utf8))
        let error = #expect(throws: APIError.self) { _ = try KeyTerms(json) }
        #expect(error?.parameter == parameter)
    }

    @Test func termsReadBackAsTheyAre() throws {
        let json: JSON = [
            "role": "manager", "models": ["a", "b*"], "namespace": "acme/", "rpm_limit": 1,
            "tpm_limit": 2, "max_parallel_requests": 3, "token_budget": 4, "budget_duration": "30d",
            "weight": 0.5, "priority": -3, "expires": 99, "blocked": true,
            "metadata": ["team": "x"],
        ]
        let terms = try KeyTerms(json)
        #expect(try KeyTerms(terms.json) == terms)
        #expect(terms.budget?.hours == 720)
        #expect(try terms.changed(by: ["token_budget": .null]).budget == nil)
        #expect(try terms.changed(by: [:]) == terms)
    }
}
