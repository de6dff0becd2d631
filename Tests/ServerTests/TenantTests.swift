import Foundation
import HTTPTypes
import JSONTree
import Tenants
import Testing

/// What one key sees and does beside others.
struct TenantTests {
    private static func make(
        _ server: TinyServer, _ name: String, _ terms: String = ""
    ) async throws -> String {
        let answer = try await server.post(
            "/admin/keys", #"{"name":"\#(name)"\#(terms.isEmpty ? "" : ",")\#(terms)}"#)
        #expect(answer.status == 201, "\(answer.text)")
        return answer.json["key"]?.stringValue ?? ""
    }

    private static func ask(_ model: String, _ more: String = "") -> String {
        #"{"model":"\#(model)","prompt":"abcdefghijklmnopqrstuvwxyzabcdefgh","max_tokens":2\#(more)}"#
    }

    @Test func aKeyIsMadeAndEnded() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let key = try await Self.make(server, "acme")
            let asked = Self.ask("base")
            #expect(try await server.send(.post, "/v1/completions", asked, key: key).status == 200)
            let listed = try await server.send(.get, "/admin/keys")
            #expect(!listed.text.contains(key) && listed.text.contains(#""name":"acme""#))
            #expect(try await server.send(.get, "/admin/keys", key: key).status == 403)

            let blocked = try await server.send(.patch, "/admin/keys/acme", #"{"blocked":true}"#)
            #expect(blocked.json["blocked"] == true)
            let refused = try await server.send(.post, "/v1/completions", asked, key: key)
            #expect(refused.status == 403 && refused.code == "blocked_api_key")
            _ = try await server.send(.patch, "/admin/keys/acme", #"{"blocked":false}"#)
            let rotated = try await server.send(.post, "/admin/keys/acme/rotate", "{}")
            let next = rotated.json["key"]?.stringValue ?? ""
            #expect(try await server.send(.get, "/v1/models", key: key).status == 401)
            #expect(try await server.send(.get, "/v1/models", key: next).status == 200)
            #expect(try await server.send(.delete, "/admin/keys/acme").json["revoked"] != nil)
            let gone = try await server.send(.get, "/v1/models", key: next)
            #expect(gone.status == 401 && gone.code == "invalid_api_key")
        }
    }

    @Test(arguments: [
        (#"{"rpm_limit":5}"#, "missing_parameter", "name"),
        (#"{"name":"x","rpm":5}"#, "unsupported_parameter", "rpm"),
        (#"{"name":"x","role":"god"}"#, "invalid_value", "role"),
        (#"{"name":"a/b"}"#, "invalid_value", "name"),
        (#"{"name":"x","duration":"soon"}"#, "invalid_value", "duration"),
        (#"[1]"#, "invalid_body", nil), (#"{"name":"ann"}"#, "key_exists", "name"),
    ])
    func badKeysAreRefused(body: String, code: String, parameter: String?) async throws {
        try await TinyServer.run(adapters: [], hasKeys: true) { server in
            let answer = try await server.post("/admin/keys", body)
            #expect(answer.code == code)
            #expect(answer.json["error"]?["param"]?.stringValue == parameter)
            let keys = try await server.send(.get, "/admin/keys")
            #expect(keys.json["keys"]?.arrayValue?.isEmpty == true)
        }
    }

    /// What a key may not use does not exist for it: the same answer, byte for byte, as for a name that nobody has.
    @Test func whatAKeyMayNotUseDoesNotExist() async throws {
        try await TinyServer.run(adapters: ["plain", "dora", "all-linear"], hasKeys: true) {
            server in
            let key = try await Self.make(server, "acme", #""models":["pla*","base"]"#)
            let models = try await server.send(.get, "/v1/models", key: key)
            let names = models.json["data"]?.arrayValue?.compactMap { $0["id"]?.stringValue }
            #expect(names == ["base", "plain"])
            #expect(!models.text.contains("Goldens"))
            func text(_ path: String, _ method: HTTPRequest.Method, _ body: (String) -> String?)
                async throws
            {
                var texts: [String] = []
                for name in ["dora", "dorb"] {
                    let answer = try await server.send(
                        method, path.replacingOccurrences(of: "NAME", with: name), body(name),
                        key: key)
                    #expect(answer.status == 404 && answer.code == "model_not_found", "\(path)")
                    texts.append(answer.text.replacingOccurrences(of: name, with: "NAME"))
                }
                #expect(texts[0] == texts[1])
                #expect(!texts[0].contains("all-linear"))
            }
            try await text("/v1/models/NAME", .get) { _ in nil }
            try await text("/v1/completions", .post) { Self.ask($0) }
            try await text("/v1/completions", .post) {
                Self.ask("base", #","adapters":[{"name":"plain"},{"name":"\#($0)"}]"#)
            }
            for path in ["/v1/chat/completions", "/v1/chat/completions/render"] {
                try await text(path, .post) {
                    #"{"model":"\#($0)","messages":[{"role":"user","content":"a"}]}"#
                }
            }
            try await text("/v1/messages", .post) {
                #"{"model":"\#($0)","max_tokens":1,"messages":[{"role":"user","content":"a"}]}"#
            }
            try await text("/v1/responses", .post) { #"{"model":"\#($0)","input":"a"}"# }
            try await text("/tokenize", .post) { #"{"model":"\#($0)","prompt":"a"}"# }
            try await text("/detokenize", .post) { #"{"model":"\#($0)","tokens":[3]}"# }
            try await text("/generate", .post) { #"{"text":"a","lora_id":"\#($0)"}"# }
            let readers = try await server.send(.get, "/reader_groups", key: key)
            #expect(readers.text.contains("plain") && !readers.text.contains("dora"))
            // One letter off what it may use, it gets a hint.
            let near = try await server.send(.post, "/v1/completions", Self.ask("plan"), key: key)
            #expect(near.text.contains("Did you mean plain?"))
            let own = try await Self.make(server, "narrow", #""models":["plain"]"#)
            #expect(
                try await server.send(.post, "/v1/completions", Self.ask("base"), key: own).status
                    == 404)
        }
    }

    @Test func metricsNeedAnOperatorsKey() async throws {
        try await TinyServer.run(adapters: [], hasKeys: true) { server in
            let key = try await Self.make(server, "acme")
            let watcher = try await Self.make(server, "watch", #""role":"observer""#)
            #expect(try await server.send(.get, "/metrics", key: key).status == 403)
            #expect(try await server.send(.get, "/metrics", key: "none-at-all").status == 401)
            for path in ["/metrics", "/admin/adapters", "/admin/keys", "/admin/usage"] {
                #expect(try await server.send(.get, path, key: watcher).status == 200, "\(path)")
            }
            for (method, path) in [
                (HTTPRequest.Method.post, "/admin/keys"), (.delete, "/admin/keys/acme"),
                (.post, "/v1/load_lora_adapter"),
            ] {
                #expect(try await server.send(method, path, "{}", key: watcher).status == 403)
            }
        }
    }

    /// A manager names what is far away, within its name space, and touches nothing else.
    @Test func managersKeepToTheirNames() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let key = try await Self.make(
                server, "acme", #""role":"manager","namespace":"acme/","models":["plain"]"#)
            func put(_ name: String, _ body: String) async throws -> TinyServer.Answer {
                try await server.send(.put, "/admin/adapters/\(name)", body, key: key)
            }
            for name in ["plain", "acm/x", "acme", "Acme/x"] {
                let answer = try await put(name, #"{"source":"mix:plain=1"}"#)
                #expect(answer.status == 403 && answer.code == "outside_namespace", "\(name)")
                let gone = try await server.send(.delete, "/admin/adapters/\(name)", key: key)
                #expect(gone.code == "outside_namespace")
            }
            let path = try await put("acme/x", #"{"source":"/etc"}"#)
            #expect(path.status == 403 && path.code == "source_not_allowed")
            let load = try await server.send(
                .post, "/v1/load_lora_adapter", #"{"lora_name":"acme/x","lora_path":"/etc"}"#,
                key: key)
            #expect(load.code == "source_not_allowed")
            let foreign = try await put("acme/x", #"{"source":"mix:plain=1,dora=1"}"#)
            #expect(foreign.status == 404 && foreign.code == "model_not_found")
            let digest = try await server.send(.get, "/v1/models/dora").json["digest"]?.stringValue
            let pointed = try await put("acme/x", #"{"digest":"\#(digest ?? "")"}"#)
            #expect(pointed.status == 404)

            let guess = try await put(
                "acme/x", #"{"source":"mix:plain=1","if_digest":"\#(digest?.prefix(8) ?? "")"}"#)
            #expect(guess.status == 400 && guess.code == "invalid_value")
            let mix = try await put("acme/x", #"{"source":"mix:plain=0.5"}"#)
            #expect(mix.status == 200, "\(mix.text)")
            let listed = try await server.send(.get, "/admin/adapters", key: key)
            let names = listed.json["adapters"]?.arrayValue?.compactMap { $0["name"]?.stringValue }
            #expect(names == ["acme/x"])
            #expect(
                try await server.send(.post, "/v1/completions", Self.ask("acme/x"), key: key).status
                    == 200)
            for (action, status) in [("warm", 200), ("pin", 403), ("demote", 403)] {
                let answer = try await server.send(
                    .post, "/admin/adapters/acme/x/\(action)", key: key)
                #expect(answer.status == status, "\(action)")
            }
            for path in ["/admin/tiers", "/admin/keys", "/admin/usage", "/metrics"] {
                #expect(try await server.send(.get, path, key: key).status == 403, "\(path)")
            }
            #expect(
                try await server.send(.delete, "/admin/adapters/acme/x", key: key).status == 200)
        }
    }

    @Test func limitsAreSaidAndKept() async throws {
        try await TinyServer.run(adapters: [], hasKeys: true) { server in
            let key = try await Self.make(server, "acme", #""rpm_limit":3,"tpm_limit":1000"#)
            func header(_ answer: TinyServer.Answer, _ name: String) -> String? {
                HTTPField.Name("x-ratelimit-" + name).flatMap { answer.headers[$0] }
            }
            var left: [String?] = []
            for _ in 0..<3 {
                let answer = try await server.send(
                    .post, "/v1/completions", Self.ask("base"), key: key)
                #expect(answer.status == 200)
                #expect(header(answer, "limit-requests") == "3")
                #expect(header(answer, "limit-tokens") == "1000")
                left.append(header(answer, "remaining-requests"))
            }
            #expect(left == ["2", "1", "0"])
            let refused = try await server.send(
                .post, "/v1/completions", Self.ask("base"), key: key)
            #expect(refused.status == 429 && refused.code == "rate_limit_exceeded")
            #expect(Int(refused.headers[.retryAfter] ?? "") ?? 0 > 0)
            #expect(header(refused, "reset-requests")?.hasSuffix("s") == true)
            // Only completions count.
            let models = try await server.send(.get, "/v1/models", key: key)
            #expect(models.status == 200 && header(models, "remaining-requests") == "0")
            let small = try await Self.make(server, "small", #""tpm_limit":30"#)
            _ = try await server.send(.post, "/v1/completions", Self.ask("base"), key: small)
            let debt = try await server.send(
                .post, "/v1/completions", Self.ask("base"), key: small)
            #expect(debt.code == "rate_limit_exceeded")
            let user = try await server.send(
                .post, "/v1/completions", Self.ask("base"), key: TinyServer.userKey)
            #expect(user.status == 200 && header(user, "limit-requests") == nil)
        }
    }

    /// What the ledger has is what answers said, and the audit log has a line for each request.
    @Test func theLedgerIsWhatAnswersSaid() async throws {
        let path = NSTemporaryDirectory() + "martlet-audit-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await TinyServer.run(hasKeys: true, audit: try AuditLog(path: path)) { server in
            let keys = [
                "a": try await Self.make(server, "a"), "b": try await Self.make(server, "b"),
            ]
            var (said, count) = ([String: [Int]](), 0)
            for (name, key) in keys {
                for (model, more) in [
                    ("base", ""), ("plain", #","n":4"#), ("plain", #","seed":3"#),
                    ("plain", #","stream":true,"stream_options":{"include_usage":true}"#),
                    ("dora", #","temperature":9"#), ("nothing", ""),
                ] {
                    let answer = try await server.send(
                        .post, "/v1/completions", Self.ask(model, more), key: key)
                    count += 1
                    let last = answer.text.split(separator: "\n").last { $0.contains("usage") }
                    let json = try? JSON(parsing: Array((last ?? "").trimmingPrefix("data: ").utf8))
                    guard let usage = json?["usage"] else { continue }
                    let place = "\(name) \(model)"
                    let numbers = ["prompt_tokens", "completion_tokens"].map {
                        usage[$0]?.integerValue ?? -1
                    }
                    said[place] = zip(said[place] ?? [0, 0], numbers).map { $0 + $1 }
                }
            }
            let usage = try await server.send(.get, "/admin/usage?group_by=key,model")
            var (known, requests, errors) = ([String: [Int]](), 0, 0)
            for row in usage.json["usage"]?.arrayValue ?? [] {
                let place = "\(row["key"]?.stringValue ?? "") \(row["model"]?.stringValue ?? "")"
                let numbers = ["prompt_tokens", "completion_tokens"].map {
                    row[$0]?.integerValue ?? -1
                }
                if numbers != [0, 0] {
                    known[place] = numbers
                    #expect(row["device_seconds"]?.doubleValue ?? 0 > 0)
                }
                requests += row["requests"]?.integerValue ?? 0
                errors += row["errors"]?.integerValue ?? 0
            }
            #expect(known == said && known.count == 4)
            #expect(requests == count && errors == 4)
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
                .map { try JSON(parsing: Array($0.utf8)) }
            let asked = lines.filter { $0["event"] == "request" }
            #expect(asked.count == count)
            #expect(asked.filter { $0["outcome"] == "model_not_found" }.count == 2)
            #expect(Set(asked.map { $0["request"] }).count == count)
            #expect(
                asked.filter { $0["model"] == "plain" }.allSatisfy {
                    $0["digest"]?.stringValue?.count == 64
                })
            #expect(lines.filter { $0["event"] == "key_created" }.count == 2)
            for key in keys.values { #expect(!lines.contains { $0.text().contains(key) }) }
            _ = try await server.send(.get, "/v1/models", key: "some-other-key")
            let all = try String(contentsOfFile: path, encoding: .utf8)
            #expect(all.contains(#""event":"key_refused""#) && !all.contains("some-other-key"))
        }
    }

    @Test(arguments: ["", "?group_by=key", "?since=0&until=9999999999", "?key=a"])
    func usageIsAskedFor(query: String) async throws {
        try await TinyServer.run(adapters: [], hasKeys: true) { server in
            #expect(try await server.send(.get, "/admin/usage" + query).status == 200)
            for (query, parameter) in [
                ("?group_by=day", "group_by"), ("?since=yesterday", "since"), ("?limit=3", "limit"),
            ] {
                let answer = try await server.send(.get, "/admin/usage" + query)
                #expect(answer.status == 400)
                #expect(answer.json["error"]?["param"]?.stringValue == parameter)
            }
        }
    }

    @Test func whatIsRefusedCostsNothing() async throws {
        try await TinyServer.run(adapters: [], hasKeys: true) { server in
            var late = HTTPFields()
            if let name = HTTPField.Name("x-martlet-max-queue-delay") { late[name] = "0" }
            for headers in [HTTPFields(), late, late] {
                let answer = try await server.send(
                    .post, "/v1/completions", Self.ask("base"), headers: headers)
                #expect(answer.status == (headers.isEmpty ? 200 : 429))
                let vectors = try await server.send(
                    .post, "/v1/embeddings", #"{"model":"base","input":["ab","abc"]}"#,
                    headers: headers)
                #expect(vectors.status == (headers.isEmpty ? 200 : 429))
            }
            let usage = try await server.send(.get, "/admin/usage?group_by=key")
            let row = usage.json["usage"]?.arrayValue?.first
            #expect(row?["requests"] == 6 && row?["errors"] == 4)
            #expect(row?["prompt_tokens"] == 39, "\(usage.text)")
            #expect(row?["completion_tokens"] == 2)
        }
    }

    /// `cached_tokens`, and the time they save, tell a key of nobody's prompts but its own.
    @Test func cachedTokensAreAKeysOwn() async throws {
        try await TinyServer.run(adapters: ["plain"], hasKeys: true) { server in
            let keys = [try await Self.make(server, "a"), try await Self.make(server, "b")]
            func cached(_ key: String, _ model: String, _ more: String = "") async throws -> Int? {
                let answer = try await server.send(
                    .post, "/v1/completions", Self.ask(model, more), key: key)
                return answer.json["usage"]?["prompt_tokens_details"]?["cached_tokens"]?
                    .integerValue
            }
            for model in ["base", "plain"] {
                #expect(try await cached(keys[0], model) == 0)
                #expect(try await cached(keys[0], model) == 32)
                #expect(try await cached(keys[1], model) == 0)
                #expect(try await cached(keys[1], model) == 32)
                let salted = #","cache_salt":"s""#
                #expect(try await cached(keys[0], model, salted) == 0)
                #expect(try await cached(keys[0], model, salted) == 32)
                #expect(try await cached(keys[1], model, salted) == 0)
                #expect(try await cached(keys[0], model, #","cache_salt":"t""#) == 0)
            }
            let empty = try await server.send(
                .post, "/v1/completions", Self.ask("base", #","cache_salt":"""#), key: keys[0])
            #expect(empty.code == "invalid_value")
        }
    }

    @Test func prioritiesAreWhatTheKeyAllows() async throws {
        try await TinyServer.run(adapters: [], hasKeys: true) { server in
            let urgent = try await Self.make(server, "urgent", #""priority":-2"#)
            for (key, priority, status) in [
                (TinyServer.userKey, 0, 200), (TinyServer.userKey, 7, 200),
                (TinyServer.userKey, -1, 400), (urgent, -2, 200), (urgent, -3, 400),
            ] {
                let answer = try await server.send(
                    .post, "/v1/completions", Self.ask("base", #","priority":\#(priority)"#),
                    key: key)
                #expect(answer.status == status, "\(priority)")
            }
        }
    }
}

/// What an answer tells of the time it took, and who is told that it would take too long.
struct TimingTests {
    private static let body = #"{"model":"plain","prompt":"abc","max_tokens":4}"#

    private static func header(_ name: String, _ value: String) -> HTTPFields {
        var fields = HTTPFields()
        if let name = HTTPField.Name(name) { fields[name] = value }
        return fields
    }

    @Test func timesAreToldOnWish() async throws {
        try await TinyServer.run { server in
            let plain = try await server.post("/v1/completions", Self.body)
            #expect(plain.json["martlet"]?["timing"] == nil)
            let wish = Self.header("x-martlet-timing", "true")
            let told = try await server.send(.post, "/v1/completions", Self.body, headers: wish)
            let timing = told.json["martlet"]?["timing"]
            for name in [
                "text_ms", "adapter_ms", "queue_ms", "prefill_ms", "decode_ms", "device_ms",
            ] {
                #expect(timing?[name]?.doubleValue ?? -1 >= 0, "\(name)")
            }
            #expect(timing?["device_ms"]?.doubleValue ?? 0 > 0)
            #expect(timing?["neighbours"]?.doubleValue == 0)
            #expect(timing?["adapter_tier"]?.stringValue != nil)
            let share = timing?["adapter_share"]?.doubleValue ?? 0
            #expect(share > 0 && share < 1)
            let parts = HTTPField.Name("server-timing").flatMap { told.headers[$0] } ?? ""
            for name in ["text", "adapter", "queue", "prefill", "decode", "total"] {
                #expect(parts.contains("\(name);dur="), "\(parts)")
            }
            let stream = try await server.send(
                .post, "/v1/completions",
                #"{"model":"plain","prompt":"abc","max_tokens":4,"stream":true,"stream_options":{"include_usage":true}}"#,
                headers: wish)
            #expect(stream.text.contains(#""timing":{"text_ms""#))
        }
    }

    @Test func whatWouldComeTooLateIsRefused() async throws {
        try await TinyServer.run { server in
            func ask(_ seconds: String) async throws -> TinyServer.Answer {
                try await server.send(
                    .post, "/v1/completions", Self.body,
                    headers: Self.header("x-martlet-max-queue-delay", seconds))
            }
            #expect(try await ask("30").status == 200)
            // By now it is known that prompts take some time.
            let late = try await ask("0")
            #expect(late.status == 429 && late.code == "queue_delay_exceeded")
            #expect(late.headers[.retryAfter] == "1")
            for wrong in ["-1", "soon", "nan", "1e9", ""] {
                let answer = try await ask(wrong)
                #expect(answer.status == 400 && answer.code == "invalid_value", "\(wrong)")
            }
        }
    }
}
